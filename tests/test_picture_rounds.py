"""Blind rounds of first frames: what is drawn, what is shown, what is counted."""

import json
import math
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from huvidpo_core.config import load_actions, load_styles
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.picture_rounds import Look, PictureRounds
from huvidpo_core.preferences.picture_choices import picture_hash
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress
from huvidpo_core.results import Picture
from huvidpo_core.training.lessons import Lesson
from huvidpo_core.training.record import RESULT, RunFolder
from huvidpo_core.training.source import Source
from tests.finished import finish

ASKED = {"kind": "picture", "action": "", "name": "liked", "pack": "", "profile": "miniature", "settings": {}}
ACTIONS, STYLES = load_actions(), load_styles()
BRIGHT = 40  # what the LoRA adds to every pixel


def text(prompt: str, action: str, style: str) -> str:
    return f"{prompt}|{action}|{style}"


class Easel:
    """Draws the same picture for the same words and seed; with a LoRA a brighter one."""

    def __init__(self, change: int = BRIGHT) -> None:
        self.change, self.drawn = change, []

    def draw(self, recipe, stop, *, lora, patient) -> Iterator[Progress | Picture]:
        if stop.is_set():
            raise Stopped
        self.patient = patient
        self.drawn.append((recipe, lora))
        yield Progress("drawing", 1, 1)
        draw = random.Random(f"{recipe.prompt}{recipe.action}{recipe.style}{recipe.seed}")
        large = np.full((32, 48, 3), draw.randrange(200), np.uint8) + np.uint8(self.change if lora else 0)
        yield Picture(large[::2, ::2], recipe.with_(profile="miniature"), large)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "data")


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """Trained on every scene of the first action but one, in all styles."""
    run = RunFolder.create(tmp_path / "run", ASKED)
    action = next(iter(ACTIONS))
    prompts = list(dict.fromkeys((*ACTIONS[action].scenes, *ACTIONS[action].examples)))[1:]
    texts = [text(prompt, action, style) for prompt in prompts for style in STYLES]
    Source(tuple(Lesson("a", "b", (0, 1), each) for each in texts), {}, "").save(run.path)
    return finish(run)


def rounds(store: Store, easel: Easel, attended: Sequence[Path] = ()) -> PictureRounds:
    return PictureRounds(easel.draw, store.picture_choices, ACTIONS, STYLES, text, lambda run: run.path in attended)


def bright_side(look: Look) -> str:
    return "left" if look.left.mean() > look.right.mean() else "right"


def judge_all(made: PictureRounds, run: RunFolder, rater: str, likes_new: list[bool]) -> None:
    for likes in likes_new:
        look = made.next(run, rater)
        new = bright_side(look)
        made.choose(run, look.offer, new if likes else {"left": "right", "right": "left"}[new], rater)


def test_what_is_drawn(store, run):
    """Each scene twice with one seed, without and with the LoRA; of all actions in turn, none trained on."""
    easel = Easel()
    made = rounds(store, easel)
    *progress, count = made.make(run, threading.Event(), 16)
    assert count == 16 and progress[0].stage == "drawing, pair 1 of 16"
    without, with_ = easel.drawn[::2], easel.drawn[1::2]
    assert [recipe for recipe, _ in without] == [recipe for recipe, _ in with_]
    assert {lora for _, lora in without} == {None} and {lora for _, lora in with_} == {run.path / RESULT}
    assert set(Counter(recipe.action for recipe, _ in without).values()) == {16 // len(ACTIONS)}
    trained = {lesson.text for lesson in Source.load(run.path).pairs}
    assert not trained & {text(recipe.prompt, recipe.action, recipe.style) for recipe, _ in without}
    assert len({recipe.seed for recipe, _ in without}) == 16


def test_blind_and_counted(store, run):
    """Each rater sees each pair once; the rate is that of what was liked, with Wilson's interval (6 of 8: 0.409 to
    0.929)."""
    made = rounds(store, Easel())
    assert made.score(run).pairs == 0 and made.next(run, "ann") is None
    list(made.make(run, threading.Event(), 8))
    judge_all(made, run, "ann", [True] * 6 + [False] * 2)
    assert made.next(run, "ann") is None and made.next(run, "ben") is not None
    score = made.score(run)
    assert (score.pairs, score.rated, score.wins, score.ties, score.losses) == (8, 8, 6, 0, 2)
    rate = score.win_rate
    assert (rate.value, rate.low, rate.high) == pytest.approx((0.75, 0.409, 0.929), abs=1e-3)
    judge_all(made, run, "ben", [False])
    score = made.score(run)  # the pair counts, not the vote: 5.5 of 8
    assert (score.rated, score.losses) == (8, 3) and score.win_rate.value == pytest.approx(5.5 / 8)


def test_no_difference_is_an_answer_and_no_choice(store, run, tmp_path):
    """It is there when everything is opened anew, and that rater is not asked again; nothing can learn from it. It
    counts half: of eight pairs with four won, one lost and three alike 5.5. Wilson's limits are the shares from which
    what was found lies 1.96 deviations away."""
    made = rounds(store, Easel())
    list(made.make(run, threading.Event(), 8))
    judge_all(made, run, "ann", [True] * 4 + [False])
    for _ in range(3):
        made.choose(run, made.next(run, "ann").offer, "neither", "ann")
    again = rounds(Store(tmp_path / "data"), Easel())
    assert again.next(run, "ann") is None and again.next(run, "ben") is not None
    assert len(again.choices.list()) == 5
    score = again.score(run)
    assert (score.pairs, score.rated, score.wins, score.ties, score.losses) == (8, 8, 4, 3, 1)
    rate = score.win_rate
    assert rate.low < rate.value == 5.5 / 8 < rate.high
    for limit in (rate.low, rate.high):
        assert abs(limit - rate.value) == pytest.approx(1.96 * math.sqrt(limit * (1 - limit) / 8), rel=1e-4)
    values = json.loads((run.path / "run.json").read_text()) | {"raters": ["ben"]}
    (run.path / "run.json").write_text(json.dumps(values))
    assert again.score(run).rated == 0


def test_the_last_word_on_a_pair_counts(store, run):
    """A choice, then no difference, then the other choice: one standing answer each time, and what was taken back
    teaches nothing. A name that cannot be a rater's changes nothing."""
    made = rounds(store, Easel())
    list(made.make(run, threading.Event(), 1))
    look = made.next(run, "ann")
    new = bright_side(look)
    old = {"left": "right", "right": "left"}[new]
    for side, wanted in ((new, (1, 0, 0)), ("neither", (0, 1, 0)), ("neither", (0, 1, 0)), (old, (0, 0, 1))):
        made.choose(run, look.offer, side, "ann")
        score = made.score(run)
        assert (score.wins, score.ties, score.losses) == wanted and score.rated == 1
        assert len(store.picture_choices.list()) == (side != "neither")
    with pytest.raises(UserError, match="name"):
        made.choose(run, look.offer, "neither", " ")
    assert made.score(run).losses == 1


def test_what_is_said_while_more_is_drawn_stays(store, run):
    """Of a pair that is there while the next ones are written down beside it."""
    made = rounds(store, Easel())
    drawn = made.make(run, threading.Event(), 3)
    while not made.score(run).pairs:
        next(drawn)
    made.choose(run, made.next(run, "ann").offer, "neither", "ann")
    list(drawn)
    assert (made.score(run).pairs, made.score(run).ties) == (3, 1)


def test_a_round_from_before_there_was_no_difference_to_say(store, run):
    """Its record says nothing of it."""
    made = rounds(store, Easel())
    list(made.make(run, threading.Event(), 2))
    old = json.loads((run.path / "round.json").read_text())
    for pair in old:
        assert pair.pop("alike") == []
    (run.path / "round.json").write_text(json.dumps(old))
    look = made.next(run, "ann")
    assert made.score(run).pairs == 2 and look.offer == old[0]["offer"]
    made.choose(run, look.offer, "neither", "ann")
    assert made.score(run).ties == 1


def test_whether_a_round_is_being_drawn(store, run, tmp_path):
    """From the end of a training that the app has started until its round is begun, and while it is; not after one of
    the command line, nor where none will be."""
    attended = [run.path]
    made = rounds(store, Easel(), attended)
    assert made.drawing(run)
    attended.clear()
    assert not made.drawing(run)
    drawn = made.make(run, threading.Event(), 2)
    next(drawn)
    assert made.drawing(run) and not made.drawing(RunFolder.create(tmp_path / "new", ASKED))
    drawn.close()
    assert not made.drawing(run)
    (run.path / "card.json").write_text(json.dumps({"best_step": 0}))
    attended.append(run.path)
    assert not made.drawing(run)


def test_a_judgement_is_a_choice_like_any_other(store, run):
    """Kept at the painter's size with the recipe that drew it; a second one for the same pair takes its place."""
    made = rounds(store, Easel())
    list(made.make(run, threading.Event(), 1))
    look = made.next(run, "ann")
    new = bright_side(look)
    old = {"left": "right", "right": "left"}[new]
    for side in (old, new):
        made.choose(run, look.offer, side, "ann")
        (choice,) = store.picture_choices.list()
        assert choice.chosen == picture_hash(getattr(look, side)) and getattr(look, side).shape == (32, 48, 3)
        assert choice.recipe["painter"] == ("lora:liked" if side == new else "")
    assert choice.recipe["profile"] == "miniature" and choice.recipe["prompt"] == look.prompt


def test_only_whose_choices_were_learned_from_count(store, tmp_path, run):
    """Of a run on Ann's choices, hers."""
    values = json.loads((run.path / "run.json").read_text()) | {"raters": ["ann"]}
    (run.path / "run.json").write_text(json.dumps(values))
    made = rounds(store, Easel())
    list(made.make(run, threading.Event(), 2))
    judge_all(made, run, "ben", [True, True])
    assert made.score(run).rated == 0 and made.score(run).win_rate is None
    judge_all(made, run, "ann", [False])
    assert (made.score(run).rated, made.score(run).losses) == (1, 1)


def test_sides_are_drawn_by_lot(store, run):
    """Of 60 pairs neither side has the new one in fewer than 10: by chance less than once in ten million times."""
    made = rounds(store, Easel())
    list(made.make(run, threading.Event(), 60))
    sides = Counter(pair["new_left"] for pair in json.loads((run.path / "round.json").read_text()))
    assert min(sides[True], sides[False]) >= 10


def test_what_cannot_be_judged(store, run, tmp_path):
    """No LoRA yet, one that changes nothing or learned nothing, every scene trained on, a pair that is gone, a damaged
    record: sentences. A LoRA that was trained further has a round of its own."""
    new = RunFolder.create(tmp_path / "new", ASKED)
    with pytest.raises(UserError, match="has not finished"):
        list(rounds(store, Easel()).make(new, threading.Event()))
    with pytest.raises(UserError, match="nothing to compare"):
        list(rounds(store, Easel(change=0)).make(run, threading.Event(), 2))
    learned = (run.path / "card.json").read_text()
    (run.path / "card.json").write_text(json.dumps({"best_step": 0}))
    easel = Easel()
    with pytest.raises(UserError, match="Nothing was learned"):
        list(rounds(store, easel).make(run, threading.Event()))
    assert easel.drawn == []
    (run.path / "card.json").write_text(learned)
    action = next(iter(ACTIONS))
    alone = PictureRounds(
        Easel().draw, store.picture_choices, {action: ACTIONS[action]}, STYLES, lambda *_: "same", lambda _: False
    )
    Source((Lesson("a", "b", (0, 1), "same"),), {}, "").save(finish(new).path)
    with pytest.raises(UserError, match="Every scene"):
        list(alone.make(new, threading.Event()))
    made = rounds(store, Easel())
    list(made.make(run, threading.Event(), 2))
    look = made.next(run, "ann")
    for offer, side in (("gone", "left"), (look.offer, "up")):
        with pytest.raises(UserError, match="not there any more"):
            made.choose(run, offer, side, "ann")
    os.utime(run.path / RESULT, (2e9, 2e9))
    assert made.score(run).pairs == 0 and made.next(run, "ann") is None
    os.utime(run.path / RESULT, (1, 1))
    (run.path / "round.json").write_text("[{}]")
    with pytest.raises(UserError, match=r"round\.json"):
        made.score(run)


def test_one_is_drawn_by_itself_when_a_training_ends(store, run, tmp_path):
    """Once, and letting others go first; not for a run that has not finished or learned nothing, nor one of another
    kind, nor into the folder of one that was removed meanwhile."""
    easel = Easel()
    made = rounds(store, easel)
    for _ in range(2):
        made.make_first(run)
        assert made.score(run).pairs == 8 and len(easel.drawn) == 16 and easel.patient
    for number, (kind, status, step) in enumerate(
        (("picture", "stopped", 20), ("picture", "finished", 0), ("align", "finished", 20))
    ):
        other = finish(RunFolder.create(tmp_path / str(number), ASKED | {"kind": kind}))
        (other.path / "card.json").write_text(json.dumps({"best_step": step}))
        other.tell(status=status)
        made.make_first(other)
    assert len(easel.drawn) == 16
    (run.path / "round.json").unlink()
    (run.path / "run.json").rename(tmp_path / "elsewhere.json")
    with pytest.raises(UserError, match="no training run"):
        list(made.make(run, threading.Event(), 1))
    assert not (run.path / "round.json").exists()


def test_stop_keeps_what_is_drawn(store, run):
    """Pressed in the second pair: one can be judged."""
    stop, easel = threading.Event(), Easel()
    made = rounds(store, easel)
    with pytest.raises(Stopped):
        for _ in made.make(run, stop, 4):
            if len(easel.drawn) == 3:
                stop.set()
    assert made.score(run).pairs == 1
