"""An action taught from its record to a pack, on tiny models: killed and resumed, stopped, refused, and put to use."""

import json
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from huvidpo_core import media, runs
from huvidpo_core.engine import Engine
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models import motion_parameters
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import MOTION, ActionPack
from huvidpo_core.teaching import Teaching
from huvidpo_core.training import checkpoint
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.motion_settings import MotionSettings
from huvidpo_core.training.record import PACK, RunFolder
from tests.clips import moving_clip
from tests.tiny_models import make_profile
from tests.training.whole import DEATHS, in_a_process, make_pack

CPU = torch.device("cpu")
SETTINGS = MotionSettings(
    steps=4, check_every=2, lr=1e-2, average=0.5, decay=0.5, steady=0.5, lean=0.5, unprompted=0.3, batch=2
)


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def clips(profile, tmp_path_factory) -> Path:
    """Eight clips, one of them long, each with words of its own."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(8):
        clip = moving_clip(9 if number == 3 else 4)
        clip[:, :6, :6] = 30 * number
        media.write_mp4(folder / f"clip{number}.mp4", clip, profile.video.fps)
        (folder / f"clip{number}.txt").write_text(f"number {number}")
    return folder


@pytest.fixture
def engine(profile, tmp_path):
    """With an action pack, and an empty data folder."""
    make_pack(profile, tmp_path / "packs" / profile.family)
    return Engine(profile, tmp_path / "data", device="cpu", packs=tmp_path / "packs")


@pytest.fixture(autouse=True)
def one_thread():
    """As the processes of `in_a_process`: sums in another order differ in the last digit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def begin(engine, clips, tmp_path):
    """Begins runs, each in its folder."""

    def begin(name: str = "run", settings=SETTINGS, action="jump", **how) -> RunFolder:
        how = {"output": tmp_path / name, "adopt": False} | how
        return engine.trainings.prepare_teaching(action, [clips], "a square of {} jumps", settings, **how)

    return begin


def work(run: RunFolder, engine: Engine, stop: threading.Event | None = None):
    """The run carried out in this process, step by step."""
    return Teaching(run, engine.profile, CPU, Crew(), engine.data).carry_out(stop or threading.Event())


def lines(run: RunFolder) -> list[str]:
    return (run.path / "metrics.jsonl").read_text().splitlines()


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


def test_a_finished_pack_is_put_to_use_under_a_free_name(begin, engine):
    """Asked for at the start: a new action by its name, one there is with a number; nothing there is replaced. Resumed
    after its end it stays one; a longer run is another."""
    one = replace(SETTINGS, steps=1, average=0.0, decay=0.0)
    new, old = begin("new", one, adopt=True), begin("old", one, "rain", adopt=True)
    before = (engine._packs_folder / "rain" / MOTION).read_bytes()
    for run in (new, old):
        list(work(run, engine))
    assert "Create offers it as “Jump”." in new.state().message and "as “Rain 2”." in old.state().message
    assert (engine._packs_folder / "rain" / MOTION).read_bytes() == before
    assert [choice.title for choice in engine.packs("rain")][:2] == ["Rain (motion)", "Rain 2 (motion)"]
    assert engine.trainings.use(new).adopted == "jump" and engine.actions["jump"].title == "Jump"

    list(work(new, engine))
    assert engine.trainings.adopt(new) == "jump"
    new.prolong(2)
    list(work(new, engine))
    assert {path.name for path in engine._packs_folder.iterdir()} == {"rain", "rain-2", "jump", "jump-2"}


def test_what_may_not_be_put_to_use_is_a_sentence(begin, left_alone, engine):
    """Not finished; a name that is taken, and one that cannot be one."""
    with pytest.raises(UserError, match="has not finished"):
        engine.trainings.adopt(begin())
    with pytest.raises(UserError, match="there already"):
        engine.trainings.adopt(left_alone, "rain")
    with pytest.raises(UserError, match="cannot be the name"):
        engine.trainings.adopt(left_alone, "../up")
    assert engine.trainings.adopt(left_alone, "leap") == "leap" and engine.actions["jump"].title == "Jump"


def test_a_disk_that_is_full_at_the_end_keeps_the_pack(begin, engine, monkeypatch):
    """It is in the run's folder, the record says why it is not in Create, and it can be put there later."""
    run = begin(settings=replace(SETTINGS, steps=1), adopt=True)
    save = ActionPack.save

    def full(pack, folder, *rest, **how):
        if folder.parent == engine._packs_folder:
            raise UserError("jump could not be written: the disk is full. Please free some space.")
        return save(pack, folder, *rest, **how)

    monkeypatch.setattr(ActionPack, "save", full)
    list(work(run, engine))
    state = run.state()
    assert state.status == "finished" and "could not be put to use: jump could not be written" in state.message
    monkeypatch.undo()
    assert engine.trainings.adopt(run) == "jump"


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


def test_the_clips_are_the_run_s_own(engine, clips, tmp_path):
    """Deleted where they came from before the first step, they are still learned from; without its own copies the run
    fails with a sentence in the record."""
    for name in ("kept", "lost"):
        brought = tmp_path / "brought"
        brought.mkdir()
        for number in range(2):
            (brought / f"{number}.mp4").write_bytes((clips / f"clip{number}.mp4").read_bytes())
        settings = replace(SETTINGS, steps=1, mirror=False)
        how = {"output": tmp_path / name, "adopt": False}
        run = engine.trainings.prepare_teaching("jump", [brought], "a jump", settings, **how)
        assert "There are 2 clips only" in run.asked()["notes"][0]
        for path in brought.iterdir():
            path.unlink()
        brought.rmdir()
        if name == "lost":
            (run.path / "clips" / "01.mp4").unlink()
            with pytest.raises(UserError, match=r"01\.mp4"):
                list(work(run, engine))
            assert run.state().status == "failed" and "01.mp4" in run.state().message
        else:
            list(work(run, engine))
            assert run.state().status == "finished" and run.metrics("check")[0]["loss"] is None


def test_the_app_teaches_in_a_process_of_its_own(engine, clips, monkeypatch):
    """Asked for from outside: clips copied below the data folder, to be put to use, the process asked to go on with
    this run; listed with its like only, and gone when it is removed. (`echo` in place of Python: its log is what it was
    asked.)"""
    monkeypatch.setattr(runs.sys, "executable", "/bin/echo")
    files = sorted(clips.glob("clip[0-3].*"))
    run = engine.trainings.teach("jump", files, "a {} jump", title=" A  jump ", steps=7, lr=1e-3)
    asked = run.asked()
    assert (asked["title"], asked["adopt"], asked["clips"], asked["profile"]) == ("A jump", True, 4, "tiny")
    assert (asked["settings"]["steps"], asked["settings"]["lr"], asked["settings"]["weight_decay"]) == (7, 1e-3, 0.01)
    deadline = time.monotonic() + 60
    while not (words := (run.path / "log.txt").read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    asked = f"--output {run.path} --profile tiny --data {engine.data} --device cpu"
    assert words == f"-m huvidpo_core train-motion --resume {asked}\n"
    trainings = Engine(engine.profile, engine.data, "cpu", engine._packs_folder.parent).trainings
    assert [each.path for each in trainings.runs("teach")] == [run.path] and trainings.runs() == []
    assert trainings.find(run.path.name, "teach").path == run.path
    with pytest.raises(UserError, match="no longer there"):
        trainings.find(run.path.name)
    assert trainings.use(run).adopted == ""
    while run.state().status == "running" and time.monotonic() < deadline:
        time.sleep(0.01)
    trainings.remove(run)
    assert trainings.runs("teach") == [] and not run.path.exists()


def test_what_the_app_asks_wrongly_is_a_sentence_and_leaves_nothing(engine, clips):
    """A preset that is a file of this machine, a value out of range, a name, clips."""
    for action, files, how, words in (
        ("jump", [clips], {"preset": "/etc/mine.toml"}, "no preset '/etc/mine.toml'. Choose one of: lamp, miniature"),
        ("jump", [clips], {"steps": 0}, "'steps'"),
        ("my jump", [clips], {}, "cannot be the name"),
        ("jump", [], {}, "There is no clip"),
    ):
        with pytest.raises(UserError, match=words):
            engine.trainings.teach(action, files, "a jump", **how)
    assert not (engine.data / "runs").exists()
    assert engine.trainings.presets("teach") == ["lamp", "miniature"]
    assert engine.trainings.settings(kind="teach").steps == 25_000


def test_a_folder_is_never_written_over(begin, engine, clips, tmp_path):
    """A run's, and one that holds the clips themselves or a pack, where ours would lie."""
    begin()
    with pytest.raises(UserError, match="holds a run already"):
        begin()
    for name in ("clips", "pack"):
        mine = tmp_path / "mine" / name / "dear.txt"
        mine.parent.mkdir(parents=True)
        mine.write_text("mine")
        with pytest.raises(UserError, match=f"holds a folder '{name}' already"):
            begin("mine")
        assert mine.read_text() == "mine"
        mine.unlink()
        mine.parent.rmdir()


def test_settings_that_were_tampered_with_are_a_sentence(begin, engine):
    """An unknown key, a value out of range, lost words."""
    run = begin()
    asked = json.loads((run.path / "run.json").read_text())
    for change, words in (({"colour": 1}, "unknown key 'colour'"), ({"lr": -1.0}, "'lr'")):
        (run.path / "run.json").write_text(json.dumps(asked | {"settings": asked["settings"] | change}))
        with pytest.raises(UserError, match=words):
            work(run, engine)
    (run.path / "run.json").write_text(json.dumps(asked))
    (run.path / "material.json").unlink()
    with pytest.raises(UserError, match="Start the training anew"):
        work(run, engine)


def test_a_compiled_profile_is_not_compiled_for_training(begin, engine):
    """Compiled blocks and recomputed activations do not go together: `compile = true` is for making clips."""
    profile = replace(engine.profile, video=replace(engine.profile.video, compile=True))
    unet = Teaching(begin(), profile, CPU, Crew(), engine.data)._load().unet
    assert all(module._compiled_call_impl is None for module in unet.modules())
