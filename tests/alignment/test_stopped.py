"""A person presses Stop: in any stage of an alignment, in one process and in two."""

import pickle
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from huvidpo_core.errors import Stopped
from huvidpo_core.training import probe
from huvidpo_core.training.record import RESULT
from tests.alignment.conftest import lines, work
from tests.training.launched import in_two
from tests.training.whole import DROPOUT

PATIENCE = 300  # seconds until a test that waits gives up


def test_stop_finishes_the_step_and_resume_goes_on(begin, left_alone, engine):
    """Asked for by a file, as the app does, and by Ctrl-C's event: a checkpoint of the step, the record says so, and
    the run ends as one left alone."""
    run, stop = begin(), threading.Event()
    going = work(run, engine)
    while (progress := next(going)).stage != "training":
        pass
    assert progress.step == 1 and run.state().status == "running"
    run.ask_to_stop()
    with pytest.raises(Stopped):
        next(going)
    state = run.state()
    assert (state.status, state.step) == ("stopped", 1) and "Resume" in state.message
    assert torch.load(run.path / "checkpoint.pt")["step"] == 1 and not run.asked_to_stop

    with pytest.raises(Stopped):
        for progress in work(run, engine, stop):
            if progress.step == 3:
                stop.set()
    assert run.state().step == 3
    list(work(run, engine))
    assert run.state().status == "finished" and lines(run) == lines(left_alone)
    found, wanted = load_file(run.path / RESULT), load_file(left_alone.path / RESULT)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_a_wish_to_stop_from_before_does_not_count(begin, engine):
    """The process died before it could; who resumes does not want it any more."""
    run = begin(settings=replace(DROPOUT, steps=1))
    run.tell(status="running", pid=2**22 + 1, born=1.0)
    run.ask_to_stop()
    assert run.state().status == "died"
    list(work(run, engine))
    assert run.state().status == "finished"


class Wish:
    """Stop, asked for from the n-th time on that somebody looks: twice for every turn on the device."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_stop_does_not_wait_for_the_end_of_the_start(begin, engine, monkeypatch):
    """Asked for while clips are encoded, then while beta is measured with a scratch LoRA: it ends there and then, and
    resumed it ends as a run left alone."""
    monkeypatch.setattr(probe, "STEPS", 2)
    monkeypatch.setattr(probe, "LOOKS", 2)
    settings = replace(DROPOUT, beta=0.0, steps=2)
    alone, run = begin("alone", settings), begin("run", settings)
    list(work(alone, engine))
    encoded = []
    for looks in (6, 2 * (1 + 10 + 1) + 6):  # the models, eight clips and a text and their end, the training
        with pytest.raises(Stopped):
            list(work(run, engine, Wish(looks)))
        assert run.state().status == "stopped" and run.metrics("check") == []
        encoded.append((run.path / "lessons.json").exists())
    assert encoded == [False, True]
    with pytest.raises(Stopped):  # nothing is encoded again, so this is later: in the second step of the measuring
        list(work(run, engine, Wish(2 * (1 + 1 + 1) + 4)))
    list(work(run, engine))
    assert lines(run) == lines(alone)
    found, wanted = load_file(run.path / RESULT), load_file(alone.path / RESULT)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_stop_while_another_has_the_device(begin, engine):
    """Somebody makes a clip; the training, which waits, stops all the same and keeps what it has learned."""
    run = begin()
    going = work(run, engine)
    while next(going).stage != "training":
        pass
    with engine._bench.reserved(threading.Event()):
        run.ask_to_stop()
        with pytest.raises(Stopped):
            next(going)
    assert run.state().status == "stopped" and torch.load(run.path / "checkpoint.pt")["step"] == 1


def until(true: Callable[[], bool]) -> bool:
    """Whether it becomes so."""
    deadline = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def test_stop_ends_both_of_two_processes_and_resume_goes_on_with_both(begin, engine, profile, tmp_path):
    """`accelerate launch`, two processes on the CPU: both end in order, with a whole checkpoint of the last step in the
    record; started again both go on from there to the end, and no step is missing or done twice."""
    run = begin(settings=replace(DROPOUT, batch=2, steps=500, check_every=100))
    job = tmp_path / "job"
    job.write_bytes(pickle.dumps((run.path, profile, engine.data)))

    def together(folder: str) -> tuple[subprocess.Popen, Path]:
        (tmp_path / folder).mkdir()
        return in_two("tests.training.whole_together", str(job), str(tmp_path / folder)), tmp_path / folder

    process, ends = together("stopped")
    assert until(lambda: bool(run.metrics("step")) or process.poll() is not None)
    run.ask_to_stop()
    _, words = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, words[:6000]
    assert [(ends / rank).read_text() for rank in "01"] == ["stopped"] * 2
    state, step = run.state(), torch.load(run.path / "checkpoint.pt")["step"]
    assert (state.status, state.step) == ("stopped", step) and 0 < step < 500
    assert [line["step"] for line in run.metrics("step")] == [*range(1, step + 1)]

    run.prolong(step + 3)
    process, ends = together("finished")
    _, words = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, words[:6000]
    assert [(ends / rank).read_text() for rank in "01"] == ["finished"] * 2
    assert run.state().status == "finished" and (run.path / RESULT).exists()
    assert [line["step"] for line in run.metrics("step")] == [*range(1, step + 4)]
