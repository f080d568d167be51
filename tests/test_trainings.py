"""Trainings as a person meets them: what is refused when one is asked for, and the process it becomes."""

import json
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from huvidpo_core import media, runs
from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.judges import ProfileRater
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.training.record import RunFolder
from huvidpo_core.training.settings import AlignSettings, load_settings
from huvidpo_core.training.source import Source
from tests.clips import moving_clip
from tests.tiny_models import make_profile
from tests.training.whole import ACTION

PATIENCE = 120  # seconds until a test that waits gives up
PROMPT = "rain on a roof"


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return media.write_mp4(tmp_path_factory.mktemp("clips") / "clip.mp4", moving_clip(4), 8)


@pytest.fixture
def engine(profile, tmp_path):
    """An empty data folder, no packs."""
    return Engine(profile, tmp_path / "data", device="cpu", packs=tmp_path / "packs")


@pytest.fixture
def vote(engine, video):
    """`vote(rater, number, better)` on pair number 0, 1, ..., whose clips are `aN` and `bN`."""
    votes = engine.store.votes

    def add(number: int) -> None:
        for side in "ab":
            clip = f"{side}{number}"
            shutil.copyfile(video, engine.store.video(clip))
            recipe = {"prompt": PROMPT, "action": ACTION, "style": "cartoon"}
            engine.store.add(clip, recipe, 1.0, frames=4, fps=8)
        votes.add_pair(f"a{number}", f"b{number}", source="seeds", prompt=PROMPT, action=ACTION)

    def vote(rater: str, number: int, better: str) -> None:
        if not engine.store.video(f"a{number}").exists():
            add(number)
        showing = votes.show(rater, ACTION)
        assert {showing.left, showing.right} == {f"a{number}", f"b{number}"}
        side = {showing.left: "left", showing.right: "right"}
        votes.vote(showing.id, rater, Ballot(side.get(f"{better}{number}", better)))

    return vote


# --- asking ---


def test_votes_become_pairs_with_the_whole_text(engine, vote):
    """Two votes: winners first, the text as the models see it, the settings as they were; it is listed."""
    vote("ann", 0, "a")
    vote("ann", 1, "b")
    settings = engine.trainings.settings("densedpo", steps=7)
    run = engine.trainings.prepare(ACTION, settings)
    source = Source.load(run.path)
    assert [(pair.first, pair.second, pair.mask) for pair in source.pairs] == [
        ("a0", "b0", (0, 1, 1, 1)),
        ("b1", "a1", (0, 1, 1, 1)),
    ]
    assert {pair.text for pair in source.pairs} == {engine.trainings.supply.text(PROMPT, ACTION, "cartoon")}
    assert PROMPT in source.pairs[0].text != PROMPT
    asked = run.asked()
    assert asked["settings"]["steps"] == 7 and asked["settings"]["beta"] == 500
    assert asked["pairs"] == asked["taught"] == 2
    assert [each.path for each in engine.trainings.runs()] == [run.path] and run.state().status == "new"


def test_nothing_to_learn_from_is_refused_before_anything_is_written(engine, vote):
    """No votes; only ties; two raters who contradict each other; votes of somebody else; all clips gone."""
    settings = AlignSettings()
    with pytest.raises(UserError, match="no votes to learn from yet"):
        engine.trainings.prepare(ACTION, settings)
    vote("ann", 0, "tie")
    with pytest.raises(UserError, match="ties alone"):
        engine.trainings.prepare(ACTION, settings)
    vote("bob", 0, "a")
    vote("cem", 0, "b")
    with pytest.raises(UserError, match="raters contradict each other"):
        engine.trainings.prepare(ACTION, settings)
    assert engine.trainings.prepare(ACTION, settings, raters=["bob"]).asked()["pairs"] == 1
    with pytest.raises(UserError, match=r"Nobody called 'nobody' has rated\. Choose from: ann, bob, cem"):
        engine.trainings.prepare(ACTION, settings, raters=["nobody"])
    engine.store.video("b0").unlink()
    with pytest.raises(UserError, match="no longer there"):
        engine.trainings.prepare(ACTION, settings, raters=["bob"])
    assert len(list((engine.data / "runs").iterdir())) == 1


def test_people_are_learned_from_and_a_machine_where_it_is_named(engine, vote, monkeypatch):
    """As the command line and programs ask: without names a judge that contradicts a person does not count, and the
    run says whose votes do; by name, or where nobody else has voted, it does. A press comes twice here, too."""
    judge, settings, trainings = ProfileRater.name, AlignSettings(), engine.trainings
    vote(judge, 0, "b")
    alone = trainings.prepare(ACTION, settings)
    vote("ann", 0, "a")
    people, machine = trainings.prepare(ACTION, settings), trainings.prepare(ACTION, settings, raters=[judge])
    for run, raters, winner in ((alone, [], "b0"), (people, ["ann"], "a0"), (machine, [judge], "b0")):
        assert run.asked()["raters"] == raters
        assert [(pair.first, any(pair.mask)) for pair in Source.load(run.path).pairs] == [(winner, True)]
    monkeypatch.setattr(trainings, "start", lambda run: run.tell(status="running"))
    assert trainings.begin(ACTION, name="mine").asked()["raters"] == ["ann"]
    with pytest.raises(UserError, match="running already"):
        trainings.begin(ACTION, name="mine")


def test_a_button_pressed_twice_begins_one_training(engine, vote, tmp_path, monkeypatch):
    """While it runs the same is refused, and so it is without a name, whatever the first is called; of another name, of
    other votes, with other settings, or once it has ended it is another training."""
    vote("ann", 0, "a")
    vote("bob", 0, "a")
    trainings = engine.trainings
    monkeypatch.setattr(trainings, "start", lambda run: run.tell(status="running"))
    first = trainings.begin(ACTION, name="mine")
    for same in ({"name": "mine"}, {}):
        with pytest.raises(UserError, match="running already"):
            trainings.begin(ACTION, **same)
    first.tell(status="stopped")
    assert trainings.begin(ACTION).asked()["name"] == "aligned"
    with pytest.raises(UserError, match="running already"):
        trainings.begin(ACTION)
    for other in ({"name": "other"}, {"raters": ["ann"]}, {"steps": 7}, {"name": "mine", "steps": 7}):
        trainings.begin(ACTION, **other)
    assert len(trainings.runs()) == 6
    for run in trainings.runs():
        run.tell(status="finished")
    assert trainings.begin(ACTION, name="mine").path != first.path
    clips = [media.write_mp4(tmp_path / f"{number}.mp4", moving_clip(6), 8) for number in range(3)]
    trainings.teach("ball", clips, "a ball", preset="lamp")
    with pytest.raises(UserError, match="running already"):
        trainings.teach("ball", clips, "a  ball", preset="lamp")


def test_one_clip_is_nothing_to_learn_from(engine, video):
    """Rated, but with nothing beside it."""
    shutil.copyfile(video, engine.store.video("one"))
    engine.store.add("one", {"prompt": PROMPT, "action": ACTION}, 1.0, frames=4, fps=8)
    engine.store.votes.rate_clip("one", "ann", 5)
    with pytest.raises(UserError, match="no votes to learn from yet"):
        engine.trainings.prepare(ACTION, AlignSettings())


def test_what_is_unknown_is_a_sentence(engine, vote, tmp_path):
    """Action, pack, preset, loss, and a key, a table and a value of a settings file."""
    vote("ann", 0, "a")
    for ask, words in (
        (lambda: engine.trainings.prepare("sing", AlignSettings()), "no action 'sing'"),
        (lambda: engine.trainings.prepare(ACTION, AlignSettings(), pack="gone"), "no action pack"),
        (lambda: engine.trainings.settings("best"), "no preset 'best'. Choose one of: densedpo, huvidpo"),
        (lambda: engine.trainings.settings(loss="ppo"), "no loss 'ppo'. Choose one of: huvidpo, dense"),
    ):
        with pytest.raises(UserError, match=words):
            ask()
    for text, words in (
        ("colour = 1", "unknown key 'colour'"),
        ("[lora]\nrank = 0", "'lora.rank'"),
        ("lr = 'much'", "should be float"),
        ("lr = nan", "'lr'"),
        ("timesteps = [900, 100]", "'timesteps'"),
        ("loss_type = 'hinge'\nlabel_smoothing = 0.1", "neither label_smoothing"),
        ("eps = 0.0", "'eps'"),
        ("steps = -1", "'steps'"),
        ("seed = -1", "'seed'"),
        ("seed = 4294967296", "'seed'"),
        ("[lora]\nalpha = inf", "'lora.alpha'"),
    ):
        (tmp_path / "mine.toml").write_text(text)
        with pytest.raises(UserError, match=words):
            engine.trainings.settings(str(tmp_path / "mine.toml"))
    with pytest.raises(UserError, match="gone"):
        engine.trainings.settings(str(tmp_path / "gone.toml"))


def test_a_settings_file_may_say_little_and_every_preset_is_valid(engine, tmp_path):
    """What is not said is the published value; the shipped presets can be read."""
    (tmp_path / "mine.toml").write_text("lr = 1e-3")
    assert load_settings(tmp_path / "mine.toml") == AlignSettings(lr=1e-3)
    assert {load_settings(name).loss for name in engine.trainings.presets()} <= {"huvidpo", "dense"}
    published = load_settings("huvidpo")
    assert (published.beta, published.lr, published.eps) == (50, 1e-4, 1e-3)
    assert (published.lora.rank, published.lora.alpha, published.lora.dropout) == (16, 32, 0.1)


# --- a process of its own ---


@pytest.fixture
def run(engine, vote):
    vote("ann", 0, "a")
    return engine.trainings.prepare(ACTION, AlignSettings(), name="mine")


@pytest.fixture
def interpreter(monkeypatch, tmp_path):
    """In place of Python a program that writes down what it was asked and then does nothing until it is killed."""
    program = tmp_path / "interpreter"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\necho hello\nexec sleep 1000\n')
    program.chmod(0o755)
    monkeypatch.setattr(runs.sys, "executable", str(program))
    yield tmp_path / "asked"
    for child in psutil.Process().children():
        if child.name() == "sleep":
            child.kill()


def until(true) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def test_a_beta_goes_with_the_loss_it_was_found_for(engine):
    """Another loss over the same mean keeps a preset's; one over a sum, or of single clips, has it measured, unless it
    comes with one of its own."""
    for preset, loss, beta in (
        ("densedpo", "dense", 500), ("densedpo", "huvidpo", 500), ("densedpo", "dense-sum", 0), ("huvidpo", "kto", 0),
    ):  # fmt: skip
        assert engine.trainings.settings(preset, loss=loss).beta == beta
    assert engine.trainings.settings("huvidpo", loss="kto", beta=25.0).beta == 25


def test_a_run_is_a_process_of_its_own_with_a_record(engine, run, interpreter):
    """It is asked to resume this run, on the app's own device; what it prints is in the log; it is running for whoever
    opens the folder, is not started twice or removed; killed, it has died without a zombie, and can be started again
    and removed."""
    run.ask_to_stop()  # an old wish
    engine.trainings.start(run)
    assert until(lambda: interpreter.exists() and interpreter.read_text().count("\n") == 12)
    wanted = ["-m", "huvidpo_core", "align", "--resume", "--output", str(run.path), "--profile", "tiny", "--data"]
    assert interpreter.read_text().splitlines() == [*wanted, str(engine.data), "--device", "cpu"]
    assert until(lambda: (run.path / "log.txt").read_text() == "hello\n")
    found = Engine(engine.profile, engine.data, "cpu").trainings.find(run.path.name)
    state = found.state()
    assert state.status == "running" and not found.asked_to_stop
    assert psutil.Process(state.pid).ppid() == psutil.Process().pid
    with pytest.raises(UserError, match="running already"):
        engine.trainings.start(found)
    with pytest.raises(UserError, match="Stop it first"):
        engine.trainings.remove(found)

    psutil.Process(state.pid).send_signal(signal.SIGKILL)
    assert until(lambda: not psutil.pid_exists(state.pid))
    assert found.state().status == "died"
    engine.trainings.start(found)
    again = found.state()
    assert again.status == "running" and again.pid != state.pid
    psutil.Process(again.pid).kill()
    assert until(lambda: found.state().status == "died")
    engine.trainings.remove(found)
    assert engine.trainings.runs() == [] and not run.path.exists()


@pytest.mark.parametrize(("device", "plan"), [(None, ""), ("cuda:1", "12")])
def test_the_process_goes_by_what_the_app_was_told_to_go_by(profile, run, engine, interpreter, device, plan):
    """Device and plan, where somebody insists on them; else it finds its own."""
    Engine(profile, engine.data, device, plan=plan).trainings.start(run)
    end = ["--device", "cuda:1", "--plan", "12"] if device else []
    assert until(lambda: interpreter.exists() and interpreter.read_text().count("\n") == 10 + len(end))
    assert interpreter.read_text().splitlines()[10:] == end


def test_whoever_shares_the_device_is_told_when_a_training_has_begun(engine, run, interpreter):
    """Once the record says that it is running, so that whoever looks later sees it as well; and not when it ends."""
    seen, trainings = [], engine.trainings
    trainings.begun = lambda: seen.append(trainings.running())
    assert not trainings.running()
    trainings.start(run)
    assert seen == [True]
    psutil.Process(run.state().pid).kill()
    assert until(lambda: not trainings.running()) and seen == [True]


def test_what_follows_a_training_is_done_when_its_process_has_ended(engine, run, interpreter, caplog):
    """Told of the run once its process is gone, not before; a failure there is written down and harms nothing."""
    seen = []

    def follow(ended: RunFolder) -> None:
        seen.append((ended, ended.state().status, engine.trainings.attended(ended)))
        raise ValueError("no room")

    engine.trainings.afterwards = follow
    engine.trainings.start(run)
    assert until(lambda: interpreter.exists()) and not seen and engine.trainings.attended(run)
    psutil.Process(run.state().pid).kill()
    assert until(lambda: seen == [(run, "died", True)])
    assert until(lambda: "what follows a training failed" in caplog.text)
    assert until(lambda: not engine.trainings.attended(run))


def test_a_process_that_cannot_be_started_is_a_sentence(engine, run, monkeypatch):
    """No Python there; the run stays as it was."""
    monkeypatch.setattr(runs.sys, "executable", "/nowhere/python")
    with pytest.raises(UserError, match="could not be started"):
        engine.trainings.start(run)
    assert run.state().status == "new" and sys.executable == "/nowhere/python"


def test_what_is_no_run_is_not_listed(engine, run):
    """A folder without a record is none; of a damaged one and one of a newer version it is told why; the others are
    there."""
    for name, text in (
        ("empty", None),
        ("damaged", "{"),
        ("odd", '{"version": "2"}'),
        ("newer", json.dumps({"version": 99})),
    ):
        folder = run.path.parent / name
        folder.mkdir()
        if text:
            (folder / "run.json").write_text(text)
    assert [each.path for each in engine.trainings.runs()] == [run.path]
    reasons = ("damaged/run.json is damaged", "newer was written by a newer version", "odd/run.json is damaged")
    told = engine.trainings.unlisted()
    assert len(told) == 3 and all(reason in sentence for reason, sentence in zip(reasons, told, strict=True))
    shutil.rmtree(run.path.with_name("odd"))
    assert len(engine.trainings.unlisted()) == 2
    with pytest.raises(UserError, match="no longer there"):
        engine.trainings.find("newer")


def test_one_process_for_all_is_this_one_when_alone(engine):
    """It leads, and its mistake is raised."""
    with engine.trainings.one_for_all() as leads:
        assert leads
    with pytest.raises(UserError, match="mine"), engine.trainings.one_for_all():
        raise UserError("mine")
