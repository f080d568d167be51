"""How a run that teaches an action is begun and put to use, on tiny models, and what is refused."""

import json
import time
from dataclasses import replace

import pytest

from huvidpo_core import runs
from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.models.packs import MOTION, ActionPack
from huvidpo_core.teaching import Teaching
from huvidpo_core.training.crew import Crew
from tests.teaching.taught_here import CPU, SETTINGS, work


def test_a_finished_pack_is_put_to_use_under_a_free_name(begin, engine):
    """Asked for at the start: a new action by its name, one there is with a number; nothing there is replaced. Resumed
    after its end it stays one; a longer run is another."""
    one = replace(SETTINGS, steps=1, average=0.0, decay=0.0)
    new, old = begin("new", one, adopt=True), begin("old", one, "rain", adopt=True)
    before = (engine._packs_folder / "rain" / MOTION).read_bytes()
    for run in (new, old):
        list(work(run, engine))
    assert "It was put to use as “Jump”." in new.state().message and "as “Rain 2”." in old.state().message
    assert (engine._packs_folder / "rain" / MOTION).read_bytes() == before
    assert [choice.title for choice in engine.packs("rain")][:2] == ["Rain (motion)", "Rain 2 (motion)"]
    assert engine.trainings.use(new).adopted == "jump" and engine.actions["jump"].title == "Jump"

    list(work(new, engine))
    assert engine.trainings.adopt(new) == "jump"
    new.prolong(2)
    list(work(new, engine))
    assert {path.name for path in engine._packs_folder.iterdir()} == {"rain", "rain-2", "jump", "jump-2"}


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
