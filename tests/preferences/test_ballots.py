"""Answers, showings and pairs that cannot be: each mistake is a sentence and leaves nothing behind."""

import math

import pytest

from huvidpo_core.errors import UserError
from huvidpo_core.preferences.records import Ballot, Mark
from tests.preferences.made import add_pair

LEFT = Ballot("left")

BAD_BALLOTS = {
    "choice": (Ballot("up"), "no choice 'up'"),
    "side of a mark": (Ballot("left", (Mark(0, 4, "both_bad"),)), "no side of a segment"),
    "beyond the end": (Ballot("left", (Mark(8, 17, "left"),)), "frames 0 to 16"),
    "before the start": (Ballot("left", (Mark(-1, 4, "left"),)), "frames 0 to 16"),
    "empty": (Ballot("left", (Mark(4, 4, "left"),)), "from frame 4 to 4"),
    "half a frame": (Ballot("left", (Mark(0, 4.5, "left"),)), "frames 0 to 16"),
    "overlap": (Ballot("left", (Mark(4, 9, "left"), Mark(0, 5, "right"))), "overlap at frame 4"),
    "aspect": (Ballot("left", (), (("left", "beauty", 3),)), "no aspect 'beauty'"),
    "side of a score": (Ballot("left", (), (("up", "aesthetics", 3),)), "no side of a score"),
    "score": (Ballot("left", (), (("left", "aesthetics", 6),)), "from 1 to 5"),
    "half a score": (Ballot("left", (), (("left", "aesthetics", 2.5),)), "from 1 to 5"),
    "scored twice": (Ballot("left", (), (("left", "aesthetics", 2), ("left", "aesthetics", 3))), "scored twice"),
    "time": (Ballot("left", seconds=math.nan), "number of seconds"),
}


def test_a_ballot_that_cannot_be_is_a_sentence_and_leaves_nothing(store):
    """Every mistake in a ballot; the showing stays open."""
    add_pair(store, "p")
    showing = store.votes.show("ann")
    for ballot, words in BAD_BALLOTS.values():
        with pytest.raises(UserError, match=words):
            store.votes.vote(showing.id, "ann", ballot)
    assert store.votes.history() == [] and store.votes.show("ann") == showing


def test_wrong_showings_and_raters_are_sentences(store):
    """Unknown, somebody else's, answered twice; names that are none."""
    add_pair(store, "p"), add_pair(store, "q")
    showing = store.votes.show("ann")
    for unknown in ("0" * 32, "", "\x00", "\ud800", "ä"):
        with pytest.raises(UserError, match="not known here"):
            store.votes.vote(unknown, "ann", LEFT)
    with pytest.raises(UserError, match="another rater, not to bob"):
        store.votes.vote(showing.id, "bob", LEFT)
    store.votes.vote(showing.id, "ann", LEFT)
    with pytest.raises(UserError, match="answered already"):
        store.votes.vote(showing.id, "ann", Ballot("right"))
    for name in ("", "  ", "x" * 81, "a\nb", "\x00", "\ud800"):
        with pytest.raises(UserError, match="1 to 80 characters"):
            store.votes.show(name)
    assert [answer.ballot.choice for answer in store.votes.history()] == ["left"]


def test_pairs_that_cannot_be_are_sentences(store):
    """One clip twice, an unknown clip, a single frame, an unknown source; the same two again are the same pair."""
    add = {"source": "seeds", "prompt": "", "action": "rain"}
    pair = add_pair(store, "p")
    assert store.votes.add_pair("pb", "pa", **add) == pair
    with pytest.raises(UserError, match="with itself"):
        store.votes.add_pair("pa", "pa", **add)
    for unknown in ("nobody", "\x00", "\ud800"):
        with pytest.raises(UserError, match="no longer there"):
            store.votes.add_pair("pa", unknown, **add)
    store.video("still").touch()
    store.add("still", {}, 0.0, frames=1, fps=8)
    with pytest.raises(UserError, match="single frame"):
        store.votes.add_pair("pa", "still", **add)
    with pytest.raises(UserError, match="no source of pairs 'magic'"):
        store.votes.add_pair("pa", "pb", **add | {"source": "magic"})
