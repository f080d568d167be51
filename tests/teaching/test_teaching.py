"""An action taught from its record to a pack, on tiny models: killed and resumed, stopped, and what is kept of it."""

import signal
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from huvidpo_core import media
from huvidpo_core.engine import Engine
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models import motion_parameters
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import MOTION, ActionPack
from huvidpo_core.training import checkpoint
from huvidpo_core.training.record import PACK, RunFolder
from tests.teaching.taught_here import CPU, SETTINGS, lines, work
from tests.training.whole import DEATHS, in_a_process


@pytest.fixture(scope="module")
def left_alone(profile, clips, tmp_path_factory) -> RunFolder:
    """A finished run that nothing disturbed, in a process of its own."""
    place = tmp_path_factory.mktemp("left")
    engine = Engine(profile, place / "data", device="cpu", packs=place / "packs")
    run = engine.trainings.prepare_teaching(
        "jump", [clips], "a square of {} jumps", SETTINGS, output=place / "alone", adopt=False
    )
    assert in_a_process(run.path, profile, engine.data) == 0
    return run


def test_a_run_killed_again_and_again_ends_as_one_left_alone(begin, left_alone, engine, profile):
    """`kill -9` in the middle of a line and of a checkpoint, and between and right after them: the pack's tensors, the
    weights, their average, the optimizer and every line of the metrics are those of a run left alone."""
    run, stood = begin(), []
    for where, times, every_step in DEATHS:
        assert in_a_process(run.path, profile, engine.data, (where, times), every_step) == -signal.SIGKILL
        assert run.state().status == "died"
        path = run.path / "checkpoint.pt"
        stood.append(torch.load(path)["step"] if path.exists() else None)
    assert stood == [0, 0, 0, 2, 2, 3]
    assert in_a_process(run.path, profile, engine.data) == 0

    assert lines(run) == lines(left_alone) and len(lines(run)) == 7
    assert (run.path / PACK / MOTION).read_bytes() == (left_alone.path / PACK / MOTION).read_bytes()
    mine, theirs = (torch.load(each.path / "checkpoint.pt") for each in (run, left_alone))
    for part in ("motion", "average"):
        assert theirs[part] and all(torch.equal(mine[part][name], value) for name, value in theirs[part].items())
    for number, wanted in theirs["optimizer"]["state"].items():
        found = mine["optimizer"]["state"][number]
        assert all(torch.equal(found[name], wanted[name]) for name in ("step", "exp_avg", "exp_avg_sq"))
    state = run.state()
    assert (state.status, state.step, state.steps) == ("finished", 4, 4)
    assert [len(paths) for paths in run.samples().values()] == [4, 4, 4]


def test_stop_finishes_the_step_and_resume_goes_on(begin, left_alone, engine, clips):
    """Asked for by a file, as the app does, and by Ctrl-C's event, also while somebody else has the device: a
    checkpoint of the step, the record says so, and the run ends as one left alone."""
    run, stop = begin(), threading.Event()
    going = work(run, engine)
    while (progress := next(going)).stage != "training":
        pass
    assert progress.step == 1 and run.state().status == "running"
    with engine._bench.reserved(threading.Event()):
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
    list(work(run, engine))
    assert run.state().status == "finished" and lines(run) == lines(left_alone)
    found, wanted = (load_file(each.path / PACK / MOTION) for each in (run, left_alone))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_the_record_tells_what_is_taught_and_how_it_goes(left_alone, profile):
    """What was asked; checks with the loss on the clip that was kept back; samples that play and begin as their
    clips."""
    asked = left_alone.asked()
    assert (asked["kind"], asked["action"], asked["title"], asked["clips"]) == ("teach", "jump", "Jump", 8)
    assert asked["notes"] == [] and asked["settings"]["steps"] == 4
    checks = left_alone.metrics("check")
    assert [check["step"] for check in checks] == [0, 2, 4]
    assert all(check["loss"] > 0 and check["trained_loss"] > 0 and check["motion"] > 0 for check in checks)
    assert set(left_alone.metrics("step")[0]) == {"step", "steps", "loss", "lr"}
    video = profile.video
    for paths in left_alone.samples().values():
        frames = [media.read_video(path).frames for path in paths]
        assert {clip.shape for clip in frames} == {(video.frames, video.height, video.width, 3)}
    assert left_alone.state().message.startswith("Ended at step 4: all 4 steps are done.")


def test_what_was_taught_is_what_create_loads(left_alone, engine, profile):
    """The pack, adopted and put in by `apply_pack`, makes of a clip what the trained weights make of it; it says what
    it is made from."""
    pack = ActionPack.load(left_alone.path / PACK)
    assert (pack.action, pack.title, pack.prompt) == ("jump", "Jump", "a square of {} jumps")
    facts = pack.training
    assert (facts["stage"], facts["steps"], facts["clips"], facts["held_out"]) == (1, 4, 7, 1)
    assert len(facts["examples"]) == 4 and facts["examples"][0].startswith("a square of number ")
    assert len(facts["scenes"]) == 1 and facts["scenes"][0] not in facts["examples"]

    assert "jump" not in engine.actions
    assert engine.trainings.adopt(left_alone) == "jump"
    assert engine.actions["jump"].examples == tuple(facts["examples"])
    trained, created, base = (Animator.load(profile.video, device=CPU, dtype=torch.float32).unet for _ in range(3))
    apply_pack(created, ActionPack.load(engine._packs_folder / "jump"))
    kept = torch.load(left_alone.path / "checkpoint.pt")["average"]
    generator = torch.Generator().manual_seed(0)
    sample, text = torch.randn(1, 4, 4, 6, 8, generator=generator), torch.randn(1, 5, 32, generator=generator)
    clip = sample, torch.tensor(300), text
    with torch.no_grad():
        for name, value in motion_parameters(trained).items():
            value.copy_(kept[name].half())
        wanted, plain = trained.eval()(*clip).sample, base.eval()(*clip).sample
        assert (wanted - plain).abs().max() > 1e-3  # or this would prove nothing
        torch.testing.assert_close(created.eval()(*clip).sample, wanted, rtol=1e-5, atol=1e-5)


def test_what_may_not_be_put_to_use_is_a_sentence(begin, left_alone, engine):
    """Not finished; a name that is taken, and one that cannot be one."""
    with pytest.raises(UserError, match="has not finished"):
        engine.trainings.adopt(begin())
    with pytest.raises(UserError, match="there already"):
        engine.trainings.adopt(left_alone, "rain")
    with pytest.raises(UserError, match="cannot be the name"):
        engine.trainings.adopt(left_alone, "../up")
    assert engine.trainings.adopt(left_alone, "leap") == "leap" and engine.actions["jump"].title == "Jump"


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
    assert run.state().status == "failed" and torch.load(run.path / "checkpoint.pt")["step"] == 0
    monkeypatch.undo()
    list(work(run, engine))
    assert lines(run) == lines(left_alone) and not list(run.path.glob(".*.part"))
