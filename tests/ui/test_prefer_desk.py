"""The rating desk on the server: what it hands out, what it takes, and what it says to bad input."""

import json

import pytest

from huvidpo_core.engine import READY, Order
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.records import Ballot, Mark
from huvidpo_core.ui.prefer_ballots import read_ballot, read_rater
from huvidpo_core.ui.prefer_desk import Desk
from huvidpo_core.ui.work import UNEXPECTED
from tests.ui.rated import keep_clips

ANNA = {"rater": "Anna"}


@pytest.fixture
def desk(engine):
    """The functions the page may call, by name, before an engine with three clips: three pairs."""
    keep_clips(engine)
    return {handler.__name__: handler for handler in Desk(engine).handlers()}


def test_a_ballot_is_read_as_it_was_sent():
    """Choice, marks, scores and time arrive in the record."""
    ballot = read_ballot("left", [[0, 8, "left"], [8, 9, "tie"]], {"right": {"aesthetics": 4}}, 2.5)
    assert ballot == Ballot("left", (Mark(0, 8, "left"), Mark(8, 9, "tie")), (("right", "aesthetics", 4),), 2.5)
    assert read_ballot("skip") == Ballot("skip")
    assert read_rater("  Anna   Maria ") == "Anna Maria"


@pytest.mark.parametrize("name", [None, "", "   ", 7, ["Anna"]])
def test_a_rater_has_a_name(name):
    """No name is a sentence."""
    with pytest.raises(UserError, match="Say who is rating"):
        read_rater(name)


@pytest.mark.parametrize(
    "values",
    [
        ("left", "all"), ("left", [[0, 8]]), ("left", [5]), ("left", {"start": 0}),
        ("left", [], [1]), ("left", [], {"left": 3}),
    ],
)  # fmt: skip
def test_a_ballot_of_another_form_is_a_sentence(values):
    """Whatever JSON is sent, the answer is a sentence with an example, never a crash."""
    with pytest.raises(UserError, match="for example"):
        read_ballot(*values)


def test_a_showing_tells_nothing_about_its_clips(desk, engine):
    """Before the vote the page learns the prompt and the length; clips and models are in no part of the answer."""
    answer = desk["next_pair"](ANNA)
    assert set(answer["showing"]) == {"id", "prompt", "action", "frames", "fps", "reel"}
    said = json.dumps(answer)
    for clip in engine.gallery(for_rating=True):
        assert clip.id not in said
    assert "liked" not in said


def test_vote_and_undo(desk, engine):
    """The same pair until it is answered; the vote names the models and is kept; undo brings the pair back."""
    pair = desk["next_pair"](ANNA)["showing"]
    assert desk["next_pair"](ANNA)["showing"] == pair
    values = {**ANNA, "showing": pair["id"], "choice": "left", "marks": [[0, 8, "right"]], "seconds": 3}
    showing = engine.standing[pair["id"]]
    titles = {"horse_run": "Horse run (motion)", "horse_run/liked": "Horse run + liked", "": "the bare base model"}
    sides = [engine.clip(clip).recipe for clip in (showing.left, showing.right)]
    one, two = (f"{titles[recipe.pack]}, seed {recipe.seed}" for recipe in sides)
    assert desk["send_vote"](values) == {"revealed": f"1 by {one}; 2 by {two}."}
    assert engine.votes == [(showing, Ballot("left", (Mark(0, 8, "right"),), (), 3.0))]
    counts = {"rated": 1, "ready": 2, "making": "", "ordered": 0, "kept": 0, "problem": ""}
    assert desk["counts"](ANNA) == counts
    assert desk["next_pair"](ANNA)["showing"] != pair
    assert desk["undo_vote"](ANNA)["showing"] == pair
    assert engine.votes == []


def test_the_pair_to_come(desk):
    """With `after`, the page gets the pair that follows, files and all, while the present one stays open."""
    pair = desk["next_pair"](ANNA)["showing"]
    coming = desk["next_pair"]({**ANNA, "after": pair["id"]})["showing"]
    assert coming["id"] != pair["id"] and coming["reel"] != pair["reel"]
    assert desk["next_pair"](ANNA)["showing"] == pair
    desk["send_vote"]({**ANNA, "showing": pair["id"], "choice": "tie"})
    assert desk["next_pair"]({**ANNA, "after": 7})["showing"] == coming


def test_a_vote_on_a_clip_that_was_deleted_meanwhile(desk, engine):
    """It is taken; as far as it is known, the page is told what made the sides."""
    pair = desk["next_pair"](ANNA)["showing"]
    showing = engine.standing[pair["id"]]
    answer = engine.vote(showing.id, "Anna", Ballot("left"))
    engine.vote = lambda *_: answer
    engine.delete(showing.left)
    assert desk["send_vote"]({**ANNA, "showing": pair["id"], "choice": "left"})["revealed"].startswith("1 by ")


def test_making_pairs_can_be_stopped_from_the_desk(desk, engine):
    """The page learns that pairs are kept ready, and after the stop that none are."""
    engine.orders.append(Order(engine.defaults(), keep=True))
    assert desk["counts"](ANNA)["kept"] == READY
    assert desk["stop_making"](ANNA)["kept"] == 0 and engine.orders == []


def test_when_all_is_rated(desk):
    """After the last pair there is none, and the page learns whether more are coming."""
    for _ in range(3):
        pair = desk["next_pair"](ANNA)["showing"]
        desk["send_vote"]({**ANNA, "showing": pair["id"], "choice": "skip"})
    answer = desk["next_pair"](ANNA)
    assert (answer["showing"], answer["ready"], answer["ordered"]) == (None, 0, 0)


def test_bad_input_is_a_sentence_and_nothing_is_lost(desk, engine, caplog):
    """Unknown pair, another's pair, a second vote, marks outside the clip, junk: a sentence; the pair stays open."""
    pair = desk["next_pair"](ANNA)["showing"]
    good = {**ANNA, "showing": pair["id"], "choice": "left"}
    for change, sentence in (
        ({"showing": "0" * 32}, "no such pair"),
        ({"showing": None}, "no such pair"),
        ({"rater": "Bea"}, "another rater"),
        ({"rater": ""}, "Say who is rating"),
        ({"marks": [[8, 99, "left"]]}, "frames 0 to 16"),
        ({"marks": [["a", 2, "left"]]}, "from frame a"),
        ({"scores": {"left": {"beauty": 3}}}, "no aspect 'beauty'"),
        ({"scores": {"left": {"aesthetics": 6}}}, "from 1 to 5"),
        ({"choice": "best"}, "no choice 'best'"),
        ({"choice": ["left"]}, "no choice"),
        ({"seconds": "long"}, "number of seconds"),
    ):
        assert sentence in desk["send_vote"](good | change)["error"], change
    assert "Say who is rating" in desk["send_vote"]("junk")["error"]
    assert engine.votes == []
    assert "revealed" in desk["send_vote"](good)
    assert "already been answered" in desk["send_vote"](good)["error"]
    assert len(engine.votes) == 1
    assert not caplog.records


def test_a_failure_of_ours_is_a_sentence_and_logged(desk, engine, caplog, monkeypatch):
    """What nobody expected reaches the page as one sentence, and the log in full."""
    monkeypatch.setattr(engine, "next_pair", lambda *_: 1 / 0)
    assert desk["next_pair"](ANNA) == {"error": UNEXPECTED}
    assert "ZeroDivisionError" in caplog.text
