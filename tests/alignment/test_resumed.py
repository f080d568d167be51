"""One alignment from its record to a LoRA: killed and resumed, refused, or ended by an error."""

import json
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from huvidpo_core.alignment import Alignment
from huvidpo_core.errors import UserError
from huvidpo_core.models.packs import MOTION
from huvidpo_core.training import checkpoint
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.record import RESULT
from tests.alignment.conftest import CPU, lines, work
from tests.training.whole import ACTION, DEATHS, DROPOUT, in_a_process, make_dataset


def test_a_run_killed_again_and_again_ends_as_one_left_alone(begin, left_alone, engine, profile):
    """`kill -9` in the middle of a line and of a checkpoint, and between and right after them, with dropout: the
    finished LoRA, the last state of the optimizer and every line of the metrics are those of a run left alone."""
    run, stood = begin(), []
    for where, times, every_step in DEATHS:
        assert in_a_process(run.path, profile, engine.data, (where, times), every_step) == -signal.SIGKILL
        assert run.state().status == "died"
        path = run.path / "checkpoint.pt"
        stood.append(torch.load(path)["step"] if path.exists() else None)
    assert stood == [0, 0, 0, 2, 2, 3]
    assert in_a_process(run.path, profile, engine.data) == 0

    assert lines(run) == lines(left_alone) and len(lines(run)) == 7
    assert (run.path / RESULT).read_bytes() == (left_alone.path / RESULT).read_bytes()
    mine, theirs = (torch.load(each.path / "checkpoint.pt") for each in (run, left_alone))
    assert all(torch.equal(mine["lora"][name], value) for name, value in theirs["lora"].items())
    for number, wanted in theirs["optimizer"]["state"].items():
        found = mine["optimizer"]["state"][number]
        assert all(torch.equal(found[name], wanted[name]) for name in ("step", "exp_avg", "exp_avg_sq"))
    state = run.state()
    assert (state.status, state.step, state.steps) == ("finished", 4, 4)
    assert [len(paths) for paths in run.samples().values()] == [4, 4, 4]


def test_an_action_pack_that_has_changed_is_noticed(begin, engine):
    """Trained on another motion meanwhile: a sentence, and with the former one back the run goes on."""
    run = begin(settings=replace(DROPOUT, steps=2))
    going = work(run, engine)
    while next(going).stage != "training":
        pass
    going.close()
    motion = engine._packs_folder / ACTION / MOTION
    former = motion.read_bytes()
    tensors = load_file(motion)
    save_file({name: tensor * 1.5 for name, tensor in tensors.items()}, motion)
    with pytest.raises(UserError, match="action pack rain has changed since"):
        list(work(run, engine))
    assert run.state().status == "failed" and "Put the former pack back" in run.state().message
    motion.write_bytes(former)
    list(work(run, engine))
    assert run.state().status == "finished"


def test_an_error_is_in_the_record(engine, profile, tmp_path, begin):
    """A clip that is gone before it was encoded: failed, with the sentence."""
    clips = make_dataset(tmp_path / "clips", profile, pairs=1)
    run = begin(dataset=clips)
    (clips / "chosen0.mp4").unlink()
    with pytest.raises(UserError) as caught:
        list(work(run, engine))
    state = run.state()
    assert (state.status, state.message) == ("failed", str(caught.value)) and "chosen0.mp4" in state.message


def test_a_full_disk_in_a_checkpoint_is_a_sentence_and_the_run_can_go_on(begin, engine, left_alone, monkeypatch):
    """ENOSPC at step 2's checkpoint: failed, said in words; with space again it ends as if nothing had been."""
    run = begin()
    write, count = checkpoint.write, iter(range(9))

    def full(folder: Path, state: dict) -> None:
        if next(count) == 1:
            monkeypatch.setattr(Path, "write_bytes", no_space)
        write(folder, state)

    def no_space(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(bytes(data)[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", full)
    with pytest.raises(UserError, match="disk is full"):
        list(work(run, engine))
    assert run.state().status == "failed" and "disk is full" in run.state().message
    assert torch.load(run.path / "checkpoint.pt")["step"] == 0
    monkeypatch.undo()
    list(work(run, engine))
    assert lines(run) == lines(left_alone) and not list(run.path.glob(".*.part"))


def test_a_full_disk_at_the_first_check_is_a_sentence(begin, engine, monkeypatch):
    """There is no room for the folder of the sample clips."""
    run, make = begin(), Path.mkdir

    def full(path: Path, *how, **options) -> None:
        if path.name == "samples":
            raise OSError(28, "No space left on device")
        make(path, *how, **options)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UserError, match="the disk is full"):
        list(work(run, engine))
    assert run.state().status == "failed" and "disk is full" in run.state().message


def test_a_run_is_carried_out_by_one_process_with_its_own_profile(begin, engine, profile):
    """While it is running elsewhere, or under another profile, it is refused and its record left alone."""
    run = begin()
    run.tell(status="running", step=3, pid=1, born=psutil.Process(1).create_time())
    with pytest.raises(UserError, match="running already"):
        next(work(run, engine))
    assert run.state().status == "running" and run.state().pid == 1
    run.tell(status="stopped")
    other = Alignment(run, replace(profile, name="other"), CPU, Crew(), engine.data)
    with pytest.raises(UserError, match="begun with the profile tiny"):
        next(other.carry_out(threading.Event()))
    assert run.state().status == "stopped"


def test_settings_that_were_tampered_with_are_a_sentence(begin, engine):
    """An unknown key, a value out of range."""
    run = begin()
    asked = json.loads((run.path / "run.json").read_text())
    for change, words in (({"colour": 1}, "unknown key 'colour'"), ({"lr": -1.0}, "'lr'")):
        (run.path / "run.json").write_text(json.dumps(asked | {"settings": asked["settings"] | change}))
        with pytest.raises(UserError, match=words):
            work(run, engine)


def test_running_out_of_memory_goes_on_by_what_needs_less(begin, left_alone, engine, monkeypatch):
    """In the middle of a step: the record says that Resume computes activations twice from now on; resumed so, the
    LoRA is that of a run left alone. Where that was the case already, what else can be done is said."""
    run, step, steps = begin(), Aligner._take_step, []

    def full(training: Aligner) -> object:
        steps.append(training.settings.checkpointing)
        if len(steps) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return step(training)

    monkeypatch.setattr(Aligner, "_take_step", full)
    with pytest.raises(UserError, match=r"not enough memory for this training\. .* Resume goes on from there"):
        list(work(run, engine))
    state = run.state()
    assert (state.status, state.spare) == ("failed", True) and "computes activations twice" in state.message
    list(work(run, engine))
    assert steps == [False] * 3 + [True] * (len(steps) - 3) and run.state().status == "finished"
    found, wanted = (load_file(each.path / RESULT) for each in (run, left_alone))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert re.search(r"Memory at the peak: \d+\.\d GB \(\d+\.\d GB were expected\)\.$", run.state().message)

    steps[:] = [None, None]
    with pytest.raises(UserError, match=r"though activations are not kept.* smaller batch"):
        list(work(begin("other", replace(DROPOUT, checkpointing=True)), engine))
