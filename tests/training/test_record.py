"""A run's folder: what other processes read of it, also when the one that wrote it is gone."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from huvidpo_core.errors import UserError
from huvidpo_core.training.carrier import carrying
from huvidpo_core.training.record import VERSION, RunFolder, RunState, identity

ASKED = {"action": "rain", "name": "wet", "profile": "tiny", "settings": {"steps": 4, "lr": 0.1}}


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", ASKED)


@pytest.fixture
def process():
    """Another process that does nothing."""
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    yield sleeping
    sleeping.kill()
    sleeping.wait()


def test_what_was_asked_for_is_read_by_who_opens_it(run):
    """The same values; umlauts survive; a second run in the same folder is refused."""
    assert RunFolder.open(run.path).asked()["action"] == "rain"
    with pytest.raises(UserError, match="holds a run already"):
        RunFolder.create(run.path, {})
    assert run.asked()["version"] == VERSION and run.asked()["created"] <= time.time()
    assert RunFolder.create(run.path / "ö", ASKED | {"name": "Pferdchen, süß"}).asked()["name"] == "Pferdchen, süß"


def test_only_the_number_of_steps_can_be_changed_later(run):
    """Everything else stays as it was asked for."""
    before = run.asked()
    run.prolong(9)
    assert run.asked() == before | {"settings": {"steps": 9, "lr": 0.1}}
    with pytest.raises(UserError, match="number of steps is -1"):
        run.prolong(-1)


def test_a_running_one_is_left_as_it_was_asked_for(run):
    """Its process has read what it goes by; a later one would go by something else."""
    before = run.asked()
    with carrying(run.path):
        run.tell(status="running")
        with pytest.raises(UserError, match="running already"):
            run.prolong(9)
    assert run.asked() == before


def test_no_fewer_steps_than_it_has_done_can_be_asked_for(run):
    """As many neither, also where 0 comes to that; nor more of one that ended by itself. The record stays."""
    run.tell(status="stopped", step=10, steps=20)
    before = run.asked()
    for asked, sentence in (
        ((10,), "It has done 10 steps already"),
        ((3,), "It has done 10 steps already"),
        ((0, 6), "0 would be 6, and it has done 10"),
    ):
        with pytest.raises(UserError, match=sentence):
            run.prolong(*asked)
    run.tell(status="finished", message="Ended at step 10: the sample clips move 60% less than the base model's.")
    with pytest.raises(UserError, match=r"would change nothing\. Ended at step 10: the sample clips"):
        run.prolong(30)
    assert run.asked() == before
    run.tell(status="finished", step=20)
    run.prolong(30)
    assert run.asked()["settings"]["steps"] == 30


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no training run"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{}", "damaged"),
        (json.dumps({"version": VERSION + 1}), "newer version"),
        (json.dumps(ASKED | {"version": "2"}), "damaged"),
        (json.dumps(ASKED | {"version": 1, "kind": "paint"}), "damaged .its kind is 'paint'"),
        (json.dumps(ASKED | {"version": 1, "name": 3}), "damaged .'name' is 3"),
        (json.dumps(ASKED | {"version": 1, "kind": "teach"}), "damaged .'title'"),
        (json.dumps(ASKED | {"version": 1, "created": "today"}), "damaged"),
        (json.dumps(ASKED | {"version": 1, "settings": []}), "damaged"),
    ],
)
def test_a_folder_that_cannot_be_opened_is_a_sentence(tmp_path, text, words):
    """None there, damaged, or from a newer version of the program, which is not touched."""
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=words):
        RunFolder.open(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ([] if text is None else [text])


def test_a_run_is_running_while_its_process_lives_and_has_died_when_it_is_killed(run, process):
    """`kill -9`, so it cannot say anything; also while it is a zombie whose parent has not looked."""
    assert run.state().status == "new"
    run.tell(status="running", step=3, **identity(process.pid))
    assert run.state().status == "running"
    process.send_signal(signal.SIGKILL)
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert (run.state().status, run.state().step) == ("died", 3)
    process.wait()
    state = RunFolder.open(run.path).state()
    assert state.status == "died" and "Resume it" in state.message
    assert json.loads((run.path / "state.json").read_text())["status"] == "running"  # looking changes nothing


def test_another_process_with_the_same_number_is_not_mistaken_for_it(run, process):
    """Numbers are used again: what counts is when the process was created, too."""
    mine = identity(process.pid)
    run.tell(status="running", **mine | {"born": mine["born"] - 1000})
    assert run.state().status == "died"


def test_a_clock_that_was_set_does_not_end_a_run(run):
    """When a process was created moves with it, as another's would look; but it holds the run's lock, so nobody else
    carries the run out. With the process the lock goes."""
    words = "import time, pathlib; from huvidpo_core.training.carrier import carrying\n"
    words += f"with carrying(pathlib.Path({str(run.path)!r})): print('held', flush=True); time.sleep(1000)"
    holding = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True)
    try:
        assert holding.stdout.readline() == "held\n"
        mine = identity(holding.pid)
        run.tell(status="running", **mine | {"born": mine["born"] - 1000})
        assert run.state().status == "running"
        with pytest.raises(UserError, match="running already"), carrying(run.path):
            pass
    finally:
        holding.kill()
        holding.wait()
    assert run.state().status == "died"
    with carrying(run.path):
        pass


@pytest.mark.parametrize("status", ["stopped", "finished", "failed"])
def test_a_run_that_has_ended_stays_what_it_is(run, status):
    """Whether its process is there or not."""
    run.tell(status=status, pid=2**22 + 1, born=1.0)
    assert run.state().status == status


def test_telling_changes_what_it_names_and_says_who_and_when(run):
    """By default as this process."""
    run.tell(status="running", step=2, steps=8, stage="training", seconds_left=3.5)
    run.tell(step=3)
    state = run.state()
    assert replace(state, updated=0.0, born=0.0) == RunState("running", "training", 3, 8, 3.5, pid=os.getpid())
    assert abs(state.updated - time.time()) < 600 and state.born == psutil.Process().create_time()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"status": "running", "colour": 1}', '{"step": "three"}'])
def test_a_damaged_state_is_that_of_a_new_run(run, text):
    """It can be resumed from the checkpoint all the same."""
    (run.path / "state.json").write_text(text)
    assert run.state() == RunState()
    run.tell(status="stopped")
    assert run.state().status == "stopped"


def test_stop_is_a_file(run):
    """Asked for by one process, seen by another, withdrawn before it goes on; twice is once."""
    other = RunFolder.open(run.path)
    assert not other.asked_to_stop
    run.ask_to_stop()
    run.ask_to_stop()
    assert other.asked_to_stop
    run.withdraw_stop()
    run.withdraw_stop()
    assert not other.asked_to_stop


def test_metrics_come_back_by_kind_and_a_half_written_line_is_left_out(run):
    """The process was killed while it wrote the last one."""
    assert run.metrics("step") == []
    run.note("check", {"step": 0, "motion": 1.0})
    run.note("step", {"step": 1, "loss": 0.5})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "step", "st')
    assert run.metrics("step") == [{"step": 1, "loss": 0.5}]
    assert run.metrics("check") == [{"step": 0, "motion": 1.0}]


def test_what_a_checkpoint_does_not_know_is_forgotten(run):
    """Steps and checks behind it, and a half-written line; what comes then is whole again."""
    for kind, step in (("check", 0), ("step", 1), ("step", 2), ("check", 2), ("step", 3)):
        run.note(kind, {"step": step})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"kind"')
    run.forget_after(steps=2, checked=0)
    run.note("check", {"step": 2})
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["step"]) for line in lines] == [("check", 0), ("step", 1), ("step", 2), ("check", 2)]


def test_samples_are_found_by_step(run):
    """In their order; something else in the folder is none."""
    for step, number in ((0, 0), (50, 1), (50, 0), (100, 0)):
        path = run.sample(step, number)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (run.path / "samples" / ".half.mp4").touch()
    assert {step: [path.name for path in paths] for step, paths in run.samples().items()} == {
        0: ["00000-0.mp4"],
        50: ["00050-0.mp4", "00050-1.mp4"],
        100: ["00100-0.mp4"],
    }


def test_a_full_disk_is_a_sentence(run, monkeypatch):
    """For the state, which is as it was, as for the metrics."""
    run.tell(status="running", step=1)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    before = asdict(run.state())
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="the disk is full"):
        run.tell(step=2)
    assert asdict(run.state()) == before
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match="the disk is full"):
        run.note("step", {"step": 2})
