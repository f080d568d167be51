"""Generation and training share a device: real processes, whose steps begin and end when the test says so."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from huvidpo_core.config import load_profile
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.workbench import Workbench

ROOT = Path(__file__).parents[1]
PATIENCE = 120  # seconds until a test that waits gives up

TRAINING = """
import sys
from pathlib import Path
from huvidpo_core.device_lock import DeviceLock
lock = DeviceLock(Path(sys.argv[1]))
while sys.stdin.readline():
    with lock.for_a_step(lambda: False):
        print("begun", flush=True)
        sys.stdin.readline()
    print("ended", flush=True)
"""


class Training:
    """A process that takes a step when told to and ends it when told to."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(folder)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self.said: list[str] = []
        self._reader = threading.Thread(target=lambda: self.said.extend(iter(self.process.stdout.readline, "")))
        self._reader.start()

    def tell(self) -> None:
        """To begin the next step, or to end this one."""
        self.process.stdin.write("\n")

    def has_said(self, count: int) -> bool:
        """Wait until it has said so many words."""
        return until(lambda: len(self.said) >= count)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close(), self.process.stdout.close()


def until(true) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


def taken(folder: Path, name: str) -> bool:
    """Whether somebody holds a lock file."""
    try:
        with FileLock(folder / f".{name}.lock", timeout=0, is_singleton=False):
            return False
    except Timeout:
        return True


@pytest.fixture
def training(tmp_path) -> Iterator[Training]:
    process = Training(tmp_path)
    yield process
    process.end()


class Job(threading.Thread):
    """Somebody who wants a clip."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._lock, self.has_it, self.done, self.stop = (
            DeviceLock(folder), threading.Event(), threading.Event(), threading.Event(),
        )  # fmt: skip
        self.stopped = False
        self.start()

    def run(self) -> None:
        try:
            with self._lock.for_a_job(self.stop.is_set):
                self.has_it.set()
                self.done.wait(PATIENCE)
        except Stopped:
            self.stopped = True


def test_who_wants_a_clip_goes_before_the_trainings_next_step(training, tmp_path):
    """The job waits for the end of the step that is under way; the training, which wants its next at once, waits for
    the job."""
    training.tell()
    assert training.has_said(1)
    job = Job(tmp_path)
    assert until(lambda: taken(tmp_path, "gate")) and not job.has_it.is_set()
    training.tell(), training.tell()  # end this one, begin another
    assert training.has_said(2) and job.has_it.wait(PATIENCE)
    assert training.said == ["begun\n", "ended\n"] and taken(tmp_path, "device")
    job.done.set()
    job.join()
    assert training.has_said(3) and training.said[2] == "begun\n"


def test_a_training_takes_step_after_step_when_nobody_waits(training):
    """Three, without anybody's doing."""
    for count in (1, 2, 3):
        training.tell()
        training.tell()
        assert training.has_said(2 * count)
    assert training.said == ["begun\n", "ended\n"] * 3


def test_a_training_knows_when_it_is_waited_for(training, tmp_path):
    """From the moment somebody stands at the gate to the end of that job; not of itself, nor of who works on another
    GPU."""
    lock = DeviceLock(tmp_path)
    training.tell()
    assert training.has_said(1) and not lock.wanted
    job = Job(tmp_path)
    assert until(lambda: lock.wanted) and not job.has_it.is_set() and not DeviceLock(tmp_path, "cuda:1").wanted
    training.tell()
    assert job.has_it.wait(PATIENCE) and lock.wanted
    job.done.set()
    job.join()
    assert not lock.wanted


def test_who_waits_can_stop(training, tmp_path):
    """The job goes, and nothing of it stays in the way of the next."""
    training.tell()
    assert training.has_said(1)
    job = Job(tmp_path)
    assert until(lambda: taken(tmp_path, "gate"))
    job.stop.set()
    job.join(PATIENCE)
    assert job.stopped and not taken(tmp_path, "gate")
    training.tell(), training.tell()
    assert training.has_said(3)


def test_a_training_that_waits_can_stop(tmp_path):
    """While a job has the device; both locks are then as before."""
    lock = DeviceLock(tmp_path)
    with lock.for_a_job(lambda: False):
        asked = iter([False, True])
        with pytest.raises(Stopped), lock.for_a_step(lambda: next(asked)):
            pass
        assert taken(tmp_path, "device")
    assert not taken(tmp_path, "device") and not taken(tmp_path, "gate")


def test_a_killed_process_holds_nothing(training, tmp_path):
    """`kill -9` in the middle of a step: the job gets the device."""
    training.tell()
    assert training.has_said(1)
    job = Job(tmp_path)
    assert until(lambda: taken(tmp_path, "gate"))
    training.process.kill()
    assert job.has_it.wait(PATIENCE)
    job.done.set()
    job.join()


def test_an_error_in_a_step_frees_the_device(tmp_path):
    """And is raised as it is."""
    with pytest.raises(ValueError, match="mine"), DeviceLock(tmp_path).for_a_step(lambda: False):
        raise ValueError("mine")
    assert not taken(tmp_path, "device") and not taken(tmp_path, "gate")


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path):
    """Here it is a file."""
    (tmp_path / "data").touch()
    with pytest.raises(UserError, match="cannot be used"), DeviceLock(tmp_path / "data").for_a_job(lambda: False):
        pass


def test_the_apps_jobs_hold_the_device(tmp_path):
    """As long as a job has the models, no other process takes a step; then it may."""
    bench = Workbench(load_profile("miniature"), "cpu", DeviceLock(tmp_path))
    with bench.reserved(threading.Event()):
        assert taken(tmp_path, "device") and taken(tmp_path, "gate")
    assert not taken(tmp_path, "device") and not taken(tmp_path, "gate")


def test_gpus_of_their_own_are_used_side_by_side(tmp_path):
    """Each GPU from the second on by one job at a time, whatever the others do; all else is one device."""

    def free(device: str | None) -> bool:
        asked = iter([False, False, True])
        with suppress(Stopped), DeviceLock(tmp_path, device).for_a_job(lambda: next(asked)):
            return True
        return False

    with DeviceLock(tmp_path).for_a_job(lambda: False), DeviceLock(tmp_path, "cuda:1").for_a_job(lambda: False):
        assert free("cuda:2") and free("cuda:11") and free("cuda:1") is False
        assert not any(map(free, (None, "cuda", "cuda:0", "cpu", "mps")))
    assert free("cuda:1") and free("cpu")
