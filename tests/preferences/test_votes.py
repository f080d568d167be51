"""Showing, voting, taking back: on SQLite and on PostgreSQL alike."""

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences import choosing
from huvidpo_core.preferences.records import Ballot, Mark
from huvidpo_core.preferences.schema import ShowingRow, VoteRow
from tests.preferences.made import FPS, FRAMES, add_clip, add_pair

LEFT = Ballot("left")


def answer_all(store, rater: str, action: str | None = None) -> list:
    """Vote "left" until nothing is left; the showings in order."""
    seen = []
    while showing := store.votes.show(rater, action):
        store.votes.vote(showing.id, rater, LEFT)
        seen.append(showing)
    return seen


def test_a_vote_is_read_back_as_it_was_given(store):
    """Choice, marks in order, scores and time; afterwards, and only then, the models are named."""
    pair = add_pair(store, "p")
    showing = store.votes.show("ann")
    assert {showing.left, showing.right} == {"pa", "pb"}
    assert (showing.prompt, showing.action, showing.frames, showing.fps) == ("a red horse", "rain", FRAMES, FPS)
    scores = (("left", "aesthetics", 5), ("right", "alignment", 1))
    marks = (Mark(0, 8, "left"), Mark(8, 16, "tie"))
    revealed = store.votes.vote(showing.id, " ann ", Ballot("both_bad", marks[::-1], scores[::-1], 2.5))
    models = {"pa": "one", "pb": "two"}
    assert (revealed.left_model, revealed.right_model) == (models[showing.left], models[showing.right])
    (answer,) = store.votes.history()
    assert answer.ballot == Ballot("both_bad", marks, scores, 2.5)
    assert (answer.pair, answer.showing, answer.rater, answer.source) == (pair, showing.id, "ann", "seeds")
    assert answer.shown <= answer.answered


def test_a_showing_stays_until_it_is_answered(open_store):
    """After a reload, in another process too, the same pair stands on the same sides; other raters have their own."""
    store = open_store()
    for name in "pqr":
        add_pair(store, name)
    showing = store.votes.show("ann")
    assert store.votes.show("ann") == open_store().votes.show("ann") == showing
    assert store.votes.show("bob").id != showing.id
    assert store.votes.open_pairs("ann") == 3
    store.votes.vote(showing.id, "ann", LEFT)
    assert store.votes.open_pairs("ann") == 2 and store.votes.show("ann").id != showing.id


def test_the_pair_to_come_is_known_before_the_vote(open_store):
    """What is given as coming after a showing is what comes then, on the same sides; asking changes nothing else."""
    store = open_store()
    for name in "pqr":
        add_pair(store, name)
    for left in (3, 2):
        now = store.votes.show("ann")
        coming = store.votes.show("ann", after=now.id)
        assert coming.id != now.id
        assert open_store().votes.show("ann", after=now.id) == coming and store.votes.show("ann") == now
        assert store.votes.open_pairs("ann") == left
        store.votes.vote(now.id, "ann", LEFT)
        assert store.votes.show("ann") == coming
    assert store.votes.show("ann", after=coming.id) is None
    assert store.votes.undo("ann") == now == store.votes.show("ann")  # what is taken back comes first
    assert store.votes.show("ann", after=now.id) == coming


def test_each_pair_is_answered_once_and_about_one_in_ten_comes_back_swapped(store):
    """Forty pairs, the lot on a seed: all are seen; a repeat swaps the sides of a showing at least five answers ago."""
    store.votes._lot = random.Random(1)
    pairs = {add_pair(store, f"p{i}") for i in range(40)}
    seen = answer_all(store, "ann")
    answers = store.votes.history("ann")
    assert [answer.showing for answer in answers] == [showing.id for showing in seen]
    first = [answer for answer in answers if answer.repeat_of is None]
    assert {answer.pair for answer in first} == pairs and len(first) == 40
    again = [answer for answer in answers if answer.repeat_of]
    assert 1 <= len(again) <= 10
    where = {answer.showing: number for number, answer in enumerate(answers)}
    for answer in again:
        earlier = answers[where[answer.repeat_of]]
        assert (answer.left, answer.right) == (earlier.right, earlier.left)
        assert where[answer.showing] - where[answer.repeat_of] > choosing.RECENT


def test_sides_are_drawn_by_lot(store):
    """Ten raters, six pairs: each clip stands left some 30 times; fewer than 12 happens once in a million runs."""
    for i in range(6):
        add_pair(store, f"p{i}")
    left = [showing.left[-1] for number in range(10) for showing in answer_all(store, f"rater {number}")]
    assert left.count("a") > 12 and left.count("b") > 12


def test_least_compared_clips_come_first_then_the_closest(store):
    """Bob sees first what Ann has not judged; of equally often judged pairs the one whose clips are closer."""
    for name in "pqr":
        add_pair(store, name)
    showing = store.votes.show("ann")
    store.votes.vote(showing.id, "ann", LEFT)
    second = store.votes.show("ann")
    store.votes.vote(second.id, "ann", Ballot("tie"))
    order = [sorted((showing.left, showing.right)) for showing in answer_all(store, "bob")]
    assert order[1:] == [sorted((second.left, second.right)), sorted((showing.left, showing.right))]


def test_pairs_of_two_models_come_before_all_others(store):
    """A round's, though they were made last and one of their clips was shown already."""
    for name in "pqr":
        add_pair(store, name)
    clips = [add_clip(store, name) for name in ("old", "new", "newer")]
    for other in clips[1:]:
        store.votes.add_pair("old", other, source="models", prompt="a red horse", action="rain")
    order = [{showing.left, showing.right} for showing in answer_all(store, "ann")]
    assert all("old" in pair for pair in order[:2]) and all("old" not in pair for pair in order[2:5])


def test_a_round_goes_before_a_pair_that_is_open(store):
    """One that is made while an ordinary pair is shown and the next is loaded: these two come when it is answered, and
    what was taken back before all."""
    for name in "pqr":
        add_pair(store, name)
    open_ = store.votes.show("ann")
    next_ = store.votes.show("ann", after=open_.id)
    clips = [add_clip(store, name) for name in ("old", "new", "newer")]
    rounds = {
        store.votes.add_pair("old", other, source="models", prompt="a red horse", action="rain") for other in clips[1:]
    }
    order = []
    for _ in rounds:
        order.append(store.votes.show("ann"))
        assert order[-1] == store.votes.show("ann")
        store.votes.vote(order[-1].id, "ann", LEFT)
    assert {answer.pair for answer in store.votes.history("ann")} == rounds
    assert [store.votes.show("ann"), store.votes.show("ann", after=open_.id)] == [open_, next_]
    assert store.votes.undo("ann") == order[-1] == store.votes.show("ann")


def test_actions_are_apart(store):
    """Who asks for one action gets its pairs only; counts are by action, and skipped pairs do not count."""
    add_pair(store, "p", "rain"), add_pair(store, "q", "smile")
    showing = store.votes.show("ann", "smile")
    assert showing.action == "smile" and store.votes.open_pairs("ann", "smile") == 1
    store.votes.vote(showing.id, "ann", LEFT)
    assert store.votes.show("ann", "smile") is None
    store.votes.vote(store.votes.show("ann").id, "ann", Ballot("skip"))
    assert store.votes.show("ann") is None and store.votes.open_pairs("ann") == 0
    assert store.votes.counts("ann") == store.votes.counts() == {"smile": 1}
    assert len(store.votes.history(action="rain")) == 1 and store.votes.raters() == ["ann"]


def test_undo_opens_the_last_showing_and_keeps_its_vote_on_record(store):
    """Two votes, two undos: the showings come back, the last one first; the new answer stands beside the old row."""
    add_pair(store, "p"), add_pair(store, "q"), add_pair(store, "r")
    one = store.votes.show("ann")
    store.votes.vote(one.id, "ann", LEFT)
    two = store.votes.show("ann")
    store.votes.vote(two.id, "ann", LEFT)
    waiting = store.votes.show("ann")
    assert store.votes.undo("bob") is None
    assert store.votes.undo("ann") == store.votes.show("ann") == two
    assert store.votes.undo("ann") == store.votes.show("ann") == one
    assert store.votes.undo("ann") is None and store.votes.history() == []
    for expected in (one, two, waiting):
        assert store.votes.show("ann") == expected
        store.votes.vote(expected.id, "ann", Ballot("right"))
    assert [answer.ballot.choice for answer in store.votes.history()] == ["right"] * 3
    assert [answer.blind for answer in store.votes.history()] == [False, False, True]
    with store.database.reading() as session:
        rows = session.execute(select(VoteRow.choice, VoteRow.superseded.is_not(None))).all()
    assert sorted(map(tuple, rows)) == [("left", True)] * 2 + [("right", False)] * 3


def test_clips_that_are_gone_are_not_shown_and_their_votes_stay(store):
    """Deleting a clip removes its files; a pair with it is asked about no more, what was said stays on record."""
    add_pair(store, "p"), add_pair(store, "q")
    showing = store.votes.show("ann")
    store.votes.vote(showing.id, "ann", LEFT)
    waiting = store.votes.show("ann")
    store.delete(showing.left), store.delete(waiting.left)
    assert store.votes.show("ann") is None and store.votes.open_pairs("ann") == 0
    assert len(store.votes.history()) == 1
    assert {clip.id for clip in store.list()} == {showing.right, waiting.right}


def test_a_rating_supersedes_the_rater_s_earlier_one(store):
    """The newest rating of each rater stands; scores that are none are sentences."""
    add_clip(store, "a")
    store.votes.rate_clip("a", "ann", 2), store.votes.rate_clip("a", "bob", 4), store.votes.rate_clip("a", "ann", 5)
    assert {(r.clip, r.rater, r.score) for r in store.votes.ratings()} == {("a", "ann", 5), ("a", "bob", 4)}
    for score in (0, 6, 2.5, True, "3"):
        with pytest.raises(UserError, match="from 1 to 5"):
            store.votes.rate_clip("a", "ann", score)
    with pytest.raises(UserError, match="no longer there"):
        store.votes.rate_clip("b", "ann", 3)


def test_twenty_raters_at_once_lose_and_duplicate_nothing(open_store):
    """Each with its own connection answers all six pairs, every request made twice at once, as by an impatient hand."""
    store = open_store()
    pairs = {add_pair(store, f"p{i}") for i in range(6)}
    stores = [open_store() for _ in range(20)]

    def vote(store, showing_id: str, rater: str) -> int:
        try:
            store.votes.vote(showing_id, rater, LEFT)
        except UserError as error:
            assert "answered already" in str(error)
            return 0
        return 1

    def rate(number: int) -> tuple[int, set[str]]:
        mine, rater, taken, seen = stores[number], f"rater {number}", 0, set()
        with ThreadPoolExecutor(2) as hands:
            while True:
                one, other = hands.map(lambda _: mine.votes.show(rater), range(2))
                assert one == other
                if one is None:
                    return taken, seen
                seen.add(one.id)
                accepted = sum(hands.map(vote, (mine, mine), (one.id, one.id), (rater, rater)))
                assert accepted == 1
                taken += accepted

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(rate, range(20)))
    answers = store.votes.history()
    assert len(answers) == sum(taken for taken, _ in results)
    assert {answer.showing for answer in answers} == set().union(*(seen for _, seen in results))
    for number in range(20):
        mine = [answer.pair for answer in answers if answer.rater == f"rater {number}" and not answer.repeat_of]
        assert sorted(mine) == sorted(pairs)


VOTER = """
import sys, time
from pathlib import Path
from huvidpo_core.preferences.records import Ballot, Mark
from huvidpo_core.preferences.store import Store
votes = Store(Path(sys.argv[1]), sys.argv[2] or None).votes
showing = votes.show("ann")
votes.vote(showing.id, "ann", Ballot("left", (Mark(0, 8, "right"),)))
print(showing.id, flush=True)
time.sleep(60)
"""


def test_a_vote_that_was_acknowledged_survives_a_kill(open_store, tmp_path, address):
    """`kill -9` right after `vote` returned: the next process reads the vote with its mark."""
    add_pair(open_store(), "p")
    arguments = [sys.executable, "-c", VOTER, str(tmp_path / "data"), address or ""]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    showing = process.stdout.readline().strip()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (answer,) = open_store().votes.history()
    assert answer.showing == showing and answer.ballot == Ballot("left", (Mark(0, 8, "right"),))


def test_many_showings_have_ids_that_say_nothing(store):
    """An id is 128 random bits: all differ, none holds the id of a clip or pair."""
    for i in range(10):
        add_pair(store, f"p{i}")
    answer_all(store, "ann")
    with store.database.reading() as session:
        rows = session.scalars(select(ShowingRow)).all()
        assert session.scalar(select(func.count()).select_from(ShowingRow)) == len({row.id for row in rows})
    assert all(len(row.id) == 32 and row.pair not in row.id for row in rows)


def test_the_length_of_a_clip_is_read_from_its_file_when_nobody_told(store):
    """Clips of the first version have no length on record; a pair of them still knows its frames and rate."""
    for clip, frames in (("long", 7), ("short", 5)):
        write_clip(store.video(clip), frames)
        store.add(clip, {}, 0.0)
    store.votes.add_pair("long", "short", source="brought", prompt="", action="rain")
    showing = store.votes.show("ann")
    assert (showing.frames, showing.fps) == (5, 8)


def write_clip(path: Path, frames: int) -> None:
    media.write_mp4(path, np.zeros((frames, 32, 32, 3), np.uint8), 8)
