"""`train-motion` on the command line: a whole run on tiny models, resumed and prolonged; mistakes in words."""

import json
import signal

import pytest

from huvidpo_core import cli, cli_training, engine, media
from huvidpo_core.training.record import PACK, RunFolder
from tests.clips import moving_clip
from tests.tiny_models import make_profile

SETTINGS = "steps = 9\nlr = 1e-2\ncheck_every = 2\nmirror = false\n"


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture
def run(profile, tmp_path, monkeypatch, capsys):
    """Runs `train-motion` with the tiny profile in a folder with two clips; status, stdout and stderr."""
    asked = []

    def choose(name, device):
        asked.append(name)
        return profile

    monkeypatch.setattr(cli_training, "choose_profile", choose)
    monkeypatch.setattr(engine.Engine.__init__, "__defaults__", (None, tmp_path / "packs", ""))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SETTINGS)
    for number in range(2):
        clip = moving_clip(4)
        clip[:, :6, :6] = 90 * number
        media.write_mp4(tmp_path / "clips" / f"{number}.mp4", clip, 8)

    def run(*arguments) -> tuple[int, str, str]:
        try:
            status = cli.main(["train-motion", "--device", "cpu", *map(str, arguments)])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    run.profiles = asked
    return run


GOOD = ["--action", "jump", "--clips", "clips", "--prompt", "a square jumps"]


def test_a_whole_run_resumed_and_prolonged(run, profile, tmp_path):
    """The pack's path on stdout, what could be better on stderr, the record finished, the action in a new engine's
    list; to resume it takes the run's own profile; with more steps it goes on."""
    status, out, err = run(*GOOD, "--settings", "mine.toml", "--steps", 3, "--title", "A jump", "--output", "out/run")
    output = tmp_path / "out" / "run"
    assert (status, out) == (0, f"{output / PACK}\n") and "There are 2 clips only" in err
    assert "A step needs about" in err and "GB were expected)" in err
    assert "It was put to use as “A jump”." in err
    record = RunFolder.open(output)
    assert record.state().status == "finished" and [line["step"] for line in record.metrics("step")] == [1, 2, 3]
    assert [check["step"] for check in record.metrics("check")] == [0, 2, 3]
    found = engine.Engine(profile, tmp_path / "data")
    assert found.actions["jump"].title == "A jump" and found.packs("jump")[0].id == "jump"

    assert run("--resume", "--output", "out/run")[:2] == (0, f"{output / PACK}\n")
    assert run.profiles == [None, "tiny"] and len(record.metrics("step")) == 3
    assert run("--resume", "--steps", 5, "--output", "out/run")[0] == 0
    assert record.state().step == 5 and record.asked()["settings"]["steps"] == 5


def test_a_pack_may_stay_in_its_folder(run, tmp_path):
    """--no-adopt: it is there, and nowhere else."""
    status, out, _ = run(*GOOD, "--settings", "mine.toml", "--steps", 1, "--no-adopt", "--output", "run")
    assert status == 0 and out == f"{tmp_path / 'run' / PACK}\n"
    assert (tmp_path / "run" / PACK / "pack.json").is_file() and not (tmp_path / "packs").exists()


def test_ctrl_c_stops_after_the_step_and_says_how_to_go_on(run, tmp_path, monkeypatch):
    """The signal during a step: status 0, the step is kept, and the printed command continues it."""
    note = RunFolder.note

    def interrupted(record, kind, values):
        note(record, kind, values)
        if kind == "step":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "note", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    status, out, _ = run(*GOOD, "--settings", "mine.toml", "--output", tmp_path / "run")
    assert status == 0 and f"train-motion --resume --output {tmp_path / 'run'}" in out
    assert signal.getsignal(signal.SIGINT) is handler
    record = RunFolder.open(tmp_path / "run")
    assert (record.state().status, record.state().step) == ("stopped", 1)
    monkeypatch.setattr(RunFolder, "note", note)
    assert run("--resume", "--steps", 2, "--output", tmp_path / "run")[0] == 0
    assert [line["step"] for line in record.metrics("step")] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--action is missing"),
        (GOOD[:2], "--clips is missing"),
        (GOOD[:4], "--prompt is missing"),
        ([*GOOD[:5], " "], "What do the clips show?"),
        (["--action", "a jump", *GOOD[2:]], "cannot be the name of an action"),
        ([*GOOD[:3], "gone", *GOOD[4:]], "There is no file or folder gone"),
        ([*GOOD[:3], "clips/0.mp4", *GOOD[4:]], "There is one clip only"),
        ([*GOOD[:3], "mine.toml", *GOOD[4:]], "mine.toml is not a video"),
        ([*GOOD, "--steps", 0], "'steps' of the teaching must be 1 or more"),
        ([*GOOD, "--settings", "best"], "no preset 'best'. Choose one of: lamp, miniature"),
        ([*GOOD, "--settings", "gone.toml"], "gone.toml"),
        ([*GOOD, "--steps", "many"], "invalid int value"),
        (["--resume"], "no training run"),
        (["--resume", "--clips", "clips"], "Leave out --clips"),
        (["--resume", "--no-adopt"], "Leave out --no-adopt"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_nothing(run, tmp_path, arguments, words):
    """Status 2, one line on stderr, no run."""
    status, out, err = run(*arguments, "--output", tmp_path / "run")
    assert status == 2 and out == "" and words in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_resumed_stays_as_it_is(run, tmp_path):
    """Of a newer version; of the other stage; prolonged to nothing."""
    (tmp_path / "run").mkdir()
    known = {"version": 1, "action": "rain", "settings": {}, "profile": "tiny"}
    for record, flags, words in (
        ({"version": 99}, [], "newer version"),
        (known | {"name": "wet"}, [], "Resume it with `align`"),
        (known | {"kind": "teach", "title": "Rain"}, ["--steps", 0], "number of steps is 0"),
    ):
        (tmp_path / "run" / "run.json").write_text(json.dumps(record))
        status, _, err = run("--resume", *flags, "--output", tmp_path / "run")
        assert status == 2 and words in err, err
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]
        assert json.loads((tmp_path / "run" / "run.json").read_text()) == record
