"""What the record tells while a training goes on, with a clock of the test's own."""

import threading
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock

from huvidpo_core import carrying_out, progress
from huvidpo_core.carrying_out import RunProcess, in_room
from huvidpo_core.config import load_profile
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.errors import Stopped
from huvidpo_core.training.course import Course, StepRecord
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.record import RunFolder
from huvidpo_core.training.settings import AlignSettings

STEP, CHECK = 1.0, 10.0  # seconds


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Counting(Course):
    """Steps and checks that only take their time; each keeps the stage that the record tells meanwhile."""

    def __init__(self, run: RunFolder, clock: Clock, steps: int, every: int) -> None:
        self.settings = SimpleNamespace(steps=steps, check_every=every)
        self.step, self.checked, self.ended, self._begun = 0, -1, "", True
        self.record, self.clock, self.stages = run, clock, []

    def save(self) -> None: ...

    def _take_step(self) -> StepRecord:
        self._take(STEP)
        self.step += 1
        return StepRecord(self.step, self.settings.steps, 0.5, 1e-3)

    def _check(self) -> SimpleNamespace:
        self._take(CHECK)
        return SimpleNamespace(step=self.step, clips=())

    def _take(self, seconds: float) -> None:
        self.stages.append(self.record.state().stage)
        self.clock.now += seconds

    def _begin(self): ...
    def _identity(self): ...
    def _state(self): ...
    def _take_up(self, state): ...


class Process(RunProcess):
    def _load(self): ...
    def _course(self, animator): ...
    def _finish(self, course, animator): ...
    def _expected(self): ...

    def _of_check(self, check, course):
        return {"step": check.step}

    def _in_turns(self, work, stop):
        yield from work


@pytest.fixture
def run(tmp_path) -> RunFolder:
    asked = {"action": "rain", "profile": "miniature", "name": "calm", "settings": {}}
    return RunFolder.create(tmp_path / "run", asked)


def test_who_waits_for_the_gpu_gets_the_memory_that_only_a_step_needs(run, tmp_path, monkeypatch):
    """Given back at the end of a step during which somebody came, and before a turn that has to be waited for; kept,
    for it takes time to get it again, where nobody wants it, or somebody wants another GPU."""
    given = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given.append("back"))
    process = Process(run, load_profile("miniature"), torch.device("cuda:1"), Crew(), tmp_path)
    stop = threading.Event()
    with DeviceLock(tmp_path).for_a_job(stop.is_set), process._device_for_a_step(stop):
        pass
    assert given == []
    with FileLock(tmp_path / ".gate-1.lock", is_singleton=False) as gate:
        gate.release()
        with process._device_for_a_step(stop):
            gate.acquire()
            assert given == []
        assert given == ["back"]
    stop.set()
    with DeviceLock(tmp_path, "cuda:1").for_a_job(lambda: False):
        with pytest.raises(Stopped), process._device_for_a_step(stop):
            pass
        assert given == ["back"] * 2


@pytest.mark.parametrize("said", [None, False, True])
def test_activations_are_computed_twice_where_the_plan_says_so_or_memory_ran_out(said, monkeypatch):
    """What the settings say goes before the plan; that memory ran out before, before both."""
    settings, cuda = AlignSettings(checkpointing=said), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=25.4e9))
    full = load_profile("full")

    def decided(*plan: str, **how: bool) -> bool:
        return in_room(settings, full, cuda, *plan, **how).checkpointing

    assert decided() is bool(said) and decided("12") is (said is not False)
    assert decided(spare=True) is True
    assert in_room(settings, full, torch.device("cpu")).checkpointing is bool(said)


def test_how_far_the_preparation_is_is_told(run, tmp_path):
    """Each pause of the work is one thing done, and says how many are left; before the first it is said what is
    begun."""
    process = Process(run, load_profile("miniature"), torch.device("cpu"), Crew(), tmp_path)
    told = []

    def work():
        for left in (2, 1, 0):
            told.append(run.state().stage)
            yield left

    process._prepare("encoding the clips", work(), None)
    assert told == ["encoding the clips", "encoding the clips, 1 of 3", "encoding the clips, 2 of 3"]
    assert run.state().stage == "encoding the clips, 3 of 3"


def test_checks_are_told_of_and_counted_in_the_time_left(run, tmp_path, monkeypatch):
    """Steps of one second, checks of ten after 0, 3, 6 and the last, 7: what is left at each step is what comes."""
    clock = Clock()
    for module in (carrying_out, progress):
        monkeypatch.setattr(module, "time", clock)
    run.tell(status="running", stage="measuring the start")
    course = Counting(run, clock, steps=7, every=3)
    process = Process(run, load_profile("miniature"), torch.device("cpu"), Crew(), tmp_path)
    left = [told.seconds_left for told in process._follow(course, None)]
    assert left == [
        None,
        5 + 3 * CHECK,
        4 + 3 * CHECK,
        *(pytest.approx(3 - step + 2 * CHECK) for step in range(3)),
        CHECK,
    ]
    assert "".join(stage[0] for stage in course.stages) == "ctttctttctc"  # checking, training
    assert run.state().seconds_left == left[-1] and [line["step"] for line in run.metrics("check")] == [0, 3, 6, 7]
