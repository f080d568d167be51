"""Evaluation and pair making by two processes that `accelerate launch` starts, on a CPU, against one alone."""

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from huvidpo_core import cli, cli_together, media
from huvidpo_core.config import ASSETS, ROOT
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.engine import Engine
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.evaluation import Evaluation, evaluate
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress
from huvidpo_core.together import gathered, meet, share
from huvidpo_core.training import crew
from huvidpo_core.training.crew import Crew
from tests.evaluation.conftest import moving
from tests.tiny_models import make_profile
from tests.training.launched import in_two

PATIENCE = 300  # seconds until a test that waits gives up
PROMPTS = ("a red horse runs", "a blue horse runs", "a horse at night")


@pytest.fixture
def clips(tmp_path) -> Path:
    """Five, of two lengths and sizes, one of them in a folder of its own; two processes have three and two."""
    recipe = {"prompt": "rain on a roof", "action": "rain", "style": "cartoon"}
    for number in range(4):
        frames = moving(3 + number % 2, seed=number)
        media.write_mp4(tmp_path / "clips" / f"clip{number}.mp4", frames, 8, recipe if number else None)
    media.write_gif(tmp_path / "clips" / "others" / "blue.gif", moving(6, 40, 24, seed=9), 10)
    return tmp_path / "clips"


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


@pytest.mark.skipif(not (ASSETS / "miniature").exists(), reason="assets/miniature is not there yet")
def test_two_processes_evaluate_as_one(clips, tmp_path, monkeypatch):
    """With the miniature's judge: the same JSON to the last digit, and the table is printed once."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # sums in the same order
    command = ["evaluate", "--clips", str(clips), "--profile", "miniature", "--data", str(tmp_path / "data"), "--json"]
    alone = [sys.executable, "-m", "huvidpo_core", *command, str(tmp_path / "one.json")]
    table = subprocess.run(alone, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True).stdout
    status, out, err = ended(in_two("huvidpo_core", *command, str(tmp_path / "two.json")))
    assert status == 0, err
    assert (tmp_path / "two.json").read_bytes() == (tmp_path / "one.json").read_bytes()
    assert out == table and "all 5 clips" in table
    assert "accuracy_action" in json.loads((tmp_path / "two.json").read_text())["total"]


def test_shares_are_put_together_in_order(clips):
    """Also of more processes than clips."""
    *_, whole = evaluate(clips)
    for size in (1, 2, 3, 7):
        parts = [list(evaluate(clips, share=share(Crew(rank, size))))[-1] for rank in range(size)]
        assert Evaluation.joined(parts) == whole


def test_an_error_in_one_share_is_everybodys(clips, tmp_path):
    """A damaged clip in the second process's share: nothing is written, and nobody waits for ever."""
    (clips / "clip1.mp4").write_bytes((clips / "clip1.mp4").read_bytes()[:900])
    command = ["evaluate", "--clips", str(clips), "--profile", "miniature", "--data", str(tmp_path / "data")]
    status, out, err = ended(in_two("huvidpo_core", *command, "--json", str(tmp_path / "a.json")))
    assert status != 0 and "clip1.mp4 is damaged" in err and out == ""
    assert not (tmp_path / "a.json").exists()


def test_a_failed_share_ends_as_the_sentence_of_whoever_failed():
    """Told to all by the crew; progress comes through until then."""

    class Told(Crew):
        def all_told(self, word):
            return [word, (None, "The disk of the other is full.")]

    work = gathered(Told(0, 2), iter([Progress("working", 0, 1), 3]))
    assert next(work).stage == "working"
    with pytest.raises(UserError, match="The disk of the other is full"):
        next(work)


def test_with_others_each_has_a_gpu_of_its_own(monkeypatch):
    """The GPU that Accelerate gave this process, by its number, be one wished for or not; alone, or on a CPU, what was
    wished for. A number that all would take is a sentence that says to leave it out."""

    def started(size: int, own: str) -> None:
        state = SimpleNamespace(process_index=size - 1, num_processes=size, device=torch.device(own))
        monkeypatch.setattr(crew, "PartialState", lambda **_: state)

    for size, own, wish, wanted in (
        (2, "cuda:1", None, "cuda:1"),
        (2, "cuda:1", "cuda", "cuda:1"),
        (2, "cpu", None, None),
        (2, "cpu", "cpu", "cpu"),
        (2, "cpu", "cuda", "cuda"),  # that there is none is told by whoever looks for it
        (1, "cuda:0", None, None),
        (1, "cuda:0", "cuda", "cuda"),
        (1, "cuda:0", "cuda:1", "cuda:1"),
    ):
        started(size, own)
        assert meet(wish) == (Crew(size - 1, size), wanted)
        assert Crew.gather(wish)[1] == torch.device(wanted or own)
    for wish in ("cuda:0", "cuda:1"):
        started(4, "cuda:3")
        with pytest.raises(UserError, match=r"Each of 4 processes .* Leave the number out: --device cuda"):
            meet(wish)


def test_the_engines_work_holds_its_own_gpu(profile, tmp_path):
    """An engine for the second GPU waits for whoever works there, and for nobody who works on the first."""
    engine = Engine(profile, tmp_path, "cuda:1")
    asked = SimpleNamespace(is_set=iter([False, False, True]).__next__)
    with DeviceLock(tmp_path).for_a_job(lambda: False), engine._bench.reserved(asked):
        pass
    asked = SimpleNamespace(is_set=iter([False, False, True]).__next__)
    with DeviceLock(tmp_path, "cuda:1").for_a_job(lambda: False), pytest.raises(Stopped), engine._bench.reserved(asked):
        pass


@pytest.fixture
def prompts(tmp_path) -> Path:
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(PROMPTS[:2]) + f"\n\n  {PROMPTS[2]}\n", encoding="utf-8")
    return file


def check_pairs(data: Path, wanted: Counter) -> list[dict]:
    """Exactly these pairs by prompt, of clips that are all there and none besides; the clips' recipes."""
    store = Store(data)
    assert not store.list(paired=False), "a clip without its pair"
    clips = {clip.id: clip for clip in store.list()}
    assert len(clips) == len(list((data / "clips").glob("*.mp4"))) == 2 * wanted.total()
    found = Counter()
    while showing := store.votes.show("ann"):
        one, two = clips[showing.left], clips[showing.right]
        assert one.recipe["first_frame"] == two.recipe["first_frame"] and one.recipe["seed"] != two.recipe["seed"]
        assert one.recipe["prompt"] == two.recipe["prompt"] == showing.prompt
        found[showing.prompt] += 1
        store.votes.vote(showing.id, "ann", Ballot("tie"))
    assert found == wanted
    return [clip.recipe for clip in clips.values()]


def test_two_processes_make_exactly_the_pairs_that_were_asked_for(prompts, profile, tmp_path):
    """Five pairs of three prompts in turn, into one data folder."""
    job = tmp_path / "job"
    job.write_bytes(pickle.dumps((profile, tmp_path / "packs")))
    command = ["make-pairs", "--action", "horse_run", "--prompts", str(prompts), "--count", "5", "--source", "seeds"]
    more = ["--pack", "", "--painter", "plain", "--style", "cartoon", "--data", str(tmp_path / "data")]
    status, out, err = ended(in_two("tests.commanded", str(job), *command, *more))
    assert status == 0, err
    assert out == "5 pairs\n"
    recipes = check_pairs(tmp_path / "data", Counter({PROMPTS[0]: 2, PROMPTS[1]: 2, PROMPTS[2]: 1}))
    assert len({recipe["first_frame"] for recipe in recipes}) == 5
    assert {(recipe["painter"], recipe["pack"], recipe["style"]) for recipe in recipes} == {("plain", "", "cartoon")}


@pytest.fixture
def run(profile, tmp_path, monkeypatch, capsys):
    """`make-pairs` in this process; exit status, stdout, stderr."""
    monkeypatch.setattr(cli_together, "choose_profile", lambda *_: profile)

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = cli.main(
                ["make-pairs", "--action", "horse_run", "--data", str(tmp_path / "data"), *map(str, arguments)]
            )
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_one_process_makes_pairs_of_two_settings(run, prompts, tmp_path):
    """As the app does by default; the style is the first there is."""
    assert run("--prompts", prompts, "--count", 2, "--pack", "") == (0, "2 pairs\n", "")
    recipes = check_pairs(tmp_path / "data", Counter(PROMPTS[:2]))
    assert len({(recipe["steps"], recipe["guidance"]) for recipe in recipes}) > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", "0"], "--count is 0"),
        (["--prompts", "none.txt"], "none.txt cannot be read"),
        (["--prompts", os.devnull], "is empty"),
        (["--action", "sing"], "no action 'sing'"),
        (["--style", "oil"], "no style 'oil'"),
        (["--pack", "nobody"], "no action pack 'nobody'"),
        (["--painter", "nobody"], "no painter 'nobody'"),
        (["--source", "structural"], "invalid choice"),
    ],
)
def test_a_mistake_is_one_line_and_makes_nothing(run, prompts, tmp_path, arguments, words):
    """Told before a model is loaded."""
    status, _, err = run("--prompts", prompts, "--count", 2, *arguments)
    assert status == 2 and words in err and err.count("\n") == 1
    assert not list(tmp_path.glob("data/clips/*"))
