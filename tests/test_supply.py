"""How much the votes give to learn from, and whose."""

import pytest

from huvidpo_core.config import load_actions, load_styles
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.supply import Stock, Supply
from tests.preferences.made import add_pair


@pytest.fixture
def supply(tmp_path):
    return Supply(Store(tmp_path), load_actions(), load_styles())


def vote(supply, rater, better, action="rain"):
    """Answer this rater's next pair: for the clip whose name ends so, or a tie."""
    showing = supply.store.votes.show(rater, action)
    sides = {showing.left[-1]: "left", showing.right[-1]: "right"}
    supply.store.votes.vote(showing.id, rater, Ballot(sides.get(better, better)))


def test_pairs_decided_and_disputed(supply):
    """One pair agreed on, one disputed, one tied; each rater alone has decided what they decided."""
    for name in ("p", "q", "r"):
        add_pair(supply.store, name)
    said = {"ann": {"p": "a", "q": "a", "r": "tie"}, "bob": {"p": "a", "q": "b", "r": "tie"}}
    for rater, answers in said.items():
        for _ in answers:
            name = supply.store.votes.show(rater, "rain").left[0]
            vote(supply, rater, answers[name])
    assert supply.stock("rain") == Stock(3, 1, 1)
    assert supply.stock("rain", ["bob"]) == Stock(3, 2, 0)
    assert supply.stock("smile") == Stock(0, 0, 0) and not supply.stock("smile").enough
    assert supply.raters() == ["ann", "bob"] and supply.counts() == {"rain": 6}
    lessons = supply.votes("rain", ["bob"]).pairs
    assert sorted((each.first, any(each.mask)) for each in lessons) == [("pa", True), ("qb", True), ("ra", False)]


def test_ratings_count_too(supply):
    """Two rated clips of one scene are a pair; the better one wins."""
    from huvidpo_core import media
    from tests.clips import moving_clip

    recipe = {"prompt": "a red umbrella in the rain", "action": "rain", "style": "cartoon"}
    for clip, score in (("a", 2), ("b", 5)):
        media.write_mp4(supply.store.video(clip), moving_clip(), 8)
        supply.store.add(clip, recipe, 1.0)
        supply.store.votes.rate_clip(clip, "ann", score)
    assert supply.stock("rain") == Stock(1, 1, 0)
    (lesson,) = supply.votes("rain").pairs
    assert (lesson.first, lesson.text) == ("b", "a red umbrella in the rain, cartoon style")


def test_nothing_to_learn_from_is_a_sentence(supply):
    """No votes; ties alone; and a rater who has not voted."""
    with pytest.raises(UserError, match="no votes to learn from"):
        supply.votes("rain")
    add_pair(supply.store, "p")
    vote(supply, "ann", "tie")
    with pytest.raises(UserError, match="ties alone"):
        supply.votes("rain")
    with pytest.raises(UserError, match="no votes to learn from"):
        supply.votes("rain", ["bob"])
