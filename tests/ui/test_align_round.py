"""A blind round of first frames on the page: that pairs wait, neither is better, nothing was learned."""

import json
import threading

import gradio as gr
import pytest

from huvidpo_core.engine import FIRST_FRAMES, PairQueue, Score
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.picture_choices import PictureChoice
from huvidpo_core.preferences.records import Estimate
from huvidpo_core.ui import align_outcome as said
from huvidpo_core.ui.align_form import AlignForm
from huvidpo_core.ui.align_loras import LoraForm
from huvidpo_core.ui.align_run import to_judge
from huvidpo_core.ui.session import Sessions
from tests.finished import until, write_pack
from tests.ui.align.align_page import begin, parts


@pytest.fixture
def run(engine):
    """A training of first frames that ended long ago."""
    made = [PictureChoice(str(n), 0.0, str(n), "Anna", {}, f"{n}a", (f"{n}b",)) for n in range(20)]
    engine.trainings.supply.chosen += made
    engine.trainings.pause = 0.01
    run = engine.picture_trainings.begin(steps=8)
    until(run, "finished")
    return run


def draw(view, run):
    list(view.pictures.make(threading.Event(), run.path.name))


def test_pairs_that_wait_are_told_and_counted(engine, view, run):
    """In the run's row and in its panel, whoever opens the page; fewer with each one that is judged, at last none."""
    seen = parts(engine)
    assert "to judge" not in seen["list"] and seen["to_judge"] is None and not to_judge(None).visible
    draw(view, run)
    for left in range(8, 0, -1):
        seen = parts(engine)
        assert f"{left} pair{'s' if left > 1 else ''} to judge" in seen["list"]
        assert f"{left} of 8 pairs {'wait' if left > 1 else 'waits'} to be judged" in seen["helped"]
        assert seen["to_judge"] == left and to_judge(left).variant == "primary"
        offer = engine.picture_rounds.next(run, "Anna").offer
        view.pictures.choose(run.path.name, f"{offer}/neither", "Anna")
    seen = parts(engine)
    assert "to judge" not in seen["list"] and "to be judged" not in seen["helped"] and seen["to_judge"] == 0
    assert to_judge(0).visible and to_judge(0).variant == "secondary"


def test_no_difference_is_pressed_and_told(engine, view, run):
    """A button among those of a pair; the verdict says how many were decided and how many not, and so does the LoRA's
    row once it is in use."""
    draw(view, run)
    name, rounds = run.path.name, engine.picture_rounds
    shown = view.pictures.show(name, "Anna")
    for number in range(8):
        offer = rounds.next(run, "Anna").offer
        assert f'data-pick="{offer}/neither"' in shown and "No difference" in shown
        shown = view.pictures.choose(name, f"{offer}/{'neither' if number < 3 else 'left'}", "Anna")
    score = rounds.score(run)
    assert score.ties == 3 and len(rounds.choices.list()) == 5
    wanted = f"5 decided ({score.wins} won, {score.losses} lost), 3 not, which count half"
    assert wanted in parts(engine)["helped"]
    view.act(view.adopt)(name)
    with gr.Blocks():
        assert ", 3 tied" in LoraForm(engine).refresh(FIRST_FRAMES)[0]


def test_whose_judgements_count_is_told(engine, view, run):
    """With the round of a training on some people's choices or votes; with one on everybody's nothing is."""
    draw(view, run)
    assert "wait to be judged" in parts(engine)["helped"] and "Judgements by" not in parts(engine)["helped"]
    annas = engine.picture_trainings.begin(raters=["Anna"], steps=8)
    until(annas, "finished")
    assert "Judgements by" not in parts(engine)["helped"]
    draw(view, annas)
    assert "Judgements by Anna count here, as in the training." in parts(engine)["helped"]
    queue, score = PairQueue(0, "", 0, ""), Score(8, 0, 0, 0, 0, None)
    assert "Judgements by Bo and &lt;b&gt; count" in said.helped_words("", True, score, queue, "Rain", ["Bo", "<b>"])
    assert "Judgements by" not in said.helped_words("", True, score, queue, "Rain")


def test_where_nothing_was_decided():
    """The verdict says so; where everything was, nothing is said of what was not."""
    words = said.painter_words("", Score(8, 8, 0, 8, 0, Estimate(0.5, 0.2, 0.8)))
    assert "0 decided" in words and "8 not, which count half" in words and "Neither was found better." in words
    assert "1 not, which counts half" in said.painter_words("", Score(8, 8, 7, 1, 0, Estimate(0.9, 0.6, 1.0)))
    words = said.painter_words("", Score(8, 8, 6, 0, 2, Estimate(0.75, 0.4, 0.9)))
    assert "6 won, 2 lost" in words and "decided" not in words and "count half" not in words


def test_a_round_that_is_being_drawn_is_followed(engine, view, run):
    """What is there can be judged, and the page looks again; what the pairs say waits for the last one, and nobody is
    told that there is no round."""
    name, drawn = run.path.name, view.pictures.make(threading.Event(), run.path.name)
    next(drawn)
    seen = parts(engine)
    assert seen["live"] and "A blind round is being drawn: its pairs come here" in seen["helped"]
    assert "The next is being drawn" in view.pictures.show(name, "Anna")
    while not (look := engine.picture_rounds.next(run, "Anna")):
        next(drawn)
    assert "A blind round is being drawn: 1 of 1 pair waits to be judged." in parts(engine)["helped"]
    said_then = view.pictures.choose(name, f"{look.offer}/left", "Anna")
    assert "The next is being drawn" in said_then and "interval" not in parts(engine)["helped"]
    list(drawn)
    assert not parts(engine)["live"] and "<img" in view.pictures.again(name, "Anna", said_then)
    assert view.pictures.again(name, "Anna", "") == gr.skip()


def test_a_training_that_has_just_ended_is_looked_at_until_its_round_comes(engine, run):
    """The clock goes on as long as the app sees to what follows, and not for ever."""
    assert not parts(engine)["live"]
    engine.attended.append(run.path)
    assert parts(engine)["live"] and "is being drawn" in parts(engine)["helped"]


def test_first_frames_that_taught_nothing(engine, view, run):
    """No way to use or to compare them, but a sentence that says what to do; asked for all the same, a round is
    refused at once."""
    unlearned(run)
    seen = parts(engine)
    assert "Nothing was learned" in seen["helped"] and "Four to choose from in Create" in seen["helped"]
    assert (seen["can_use"], seen["can_draw"], seen["to_judge"]) == (None, False, None)
    (run.path / "card.json").write_text(json.dumps({"best_step": 0}))
    engine.crash = AssertionError("nothing is to be drawn")
    with pytest.raises(UserError, match="Nothing was learned"):
        draw(view, run)


def test_clips_that_taught_nothing(engine):
    """The same of an action's motion, in words of its own, those of rated clips included."""
    write_pack(engine.data / "packs" / "waterfall")
    engine.trainings.pause = 0.01
    with gr.Blocks():
        form = AlignForm(engine, Sessions())
    for loss, words in (("", "Rate more pairs in Prefer"), ("kto", "Rate more clips in Create")):
        run = begin(form, loss=loss, name=f"calm{loss}")
        until(run, "finished")
        assert parts(engine, run.path.name)["can_try"] == "Make a blind round"
        unlearned(run)
        seen = parts(engine, run.path.name)
        assert "Nothing was learned" in seen["helped"] and words in seen["helped"]
        assert (seen["can_try"], seen["can_use"], seen["can_rate"]) == ("", None, False)


def test_what_is_in_use_stays_so(engine, view, run):
    """A LoRA that was put to use although it learned nothing is said to be in use."""
    view.act(view.adopt)(run.path.name)
    unlearned(run)
    assert "in Create now" in parts(engine)["helped"] and "Nothing was learned" not in parts(engine)["helped"]


def unlearned(run):
    """As if the start had been its best check."""
    run.note("check", {"step": 8, "best": 0})
