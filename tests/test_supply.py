"""How much the votes give to learn from, and whose."""

import json

import numpy as np
import pytest

from huvidpo_core import media
from huvidpo_core.config import load_actions, load_styles
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.judges import ProfileRater
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.recipe import Recipe
from huvidpo_core.supply import RatedStock, Stock, Supply
from tests.clips import moving_clip
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


def test_a_machine_counts_where_it_is_asked_for_or_alone(supply):
    """Of one action; on another nobody but it may have voted. People who were shown a pair and said nothing are not
    there yet."""
    judge, vlm = ProfileRater.name, "VLM see-1"
    for name in ("p", "q"):
        add_pair(supply.store, name)
        add_pair(supply.store, f"{name}s", "smile")
    assert supply.counted("rain") == []
    for machine in (judge, vlm):
        for action in ("rain", "rain", "smile"):
            vote(supply, machine, "b", action)
    supply.store.votes.show("ann", "rain")
    assert supply.counted("rain") == [] and supply.counted("rain", [vlm, "ann"]) == [vlm, "ann"]
    vote(supply, "ann", "a")
    assert supply.counted("rain") == ["ann"] and supply.counted("smile") == []
    assert supply.counted("rain", [judge]) == [judge]


def rate(supply, clip, score, rater="ann", action="rain"):
    """Rate a clip, which is made first where it is not there."""
    if not supply.store.video(clip).exists():
        supply.store.video(clip).write_bytes(clip.encode())
        recipe = {"prompt": "a red umbrella in the rain", "action": action, "style": "cartoon"}
        supply.store.add(clip, recipe, 1.0, frames=4, fps=8)
    supply.store.votes.rate_clip(clip, rater, score)


def test_ratings_count_too(supply):
    """Two rated clips of one scene are a pair; the better one wins."""
    for clip, score in (("a", 2), ("b", 5)):
        rate(supply, clip, score)
    assert supply.stock("rain") == Stock(1, 1, 0)
    (lesson,) = supply.votes("rain").pairs
    assert (lesson.first, lesson.text) == ("b", "a red umbrella in the rain, cartoon style")


def test_a_vote_on_two_clips_stands_above_what_each_was_rated(supply):
    """Rated the one way and voted on the other: one lesson, the vote's, and nobody contradicts anybody. Two raters
    whose scores do contradict each other leave no lesson."""
    for clip, score in (("a", 1), ("b", 5)):
        rate(supply, clip, score)
    supply.store.votes.add_pair("a", "b", source="seeds", prompt="a red umbrella in the rain", action="rain")
    vote(supply, "bob", "a")
    assert supply.stock("rain") == Stock(1, 1, 0)
    assert [lesson.clips for lesson in supply.votes("rain").pairs] == [("a", "b")]
    assert [lesson.clips for lesson in supply.votes("rain", ["ann"]).pairs] == [("b", "a")]
    rate(supply, "a", 5, "cem")
    rate(supply, "c", 3)
    rate(supply, "c", 1, "cem")
    assert supply.stock("rain") == Stock(3, 2, 1)  # a and c
    assert supply.stock("rain", ["ann"]) == Stock(3, 3, 0)


def test_single_clips_that_are_good_or_bad(supply):
    """Of one action, by all raters or by one; a 3 is neither; the mask is as long as the clip, the text the whole."""
    for clip, score in (("a", 2), ("b", 5), ("c", 3), ("d", 4)):
        rate(supply, clip, score)
    rate(supply, "d", 1, "bob")
    rate(supply, "e", 5, action="smile")
    assert supply.rated_stock("rain") == RatedStock(4, 1, 1)
    assert supply.rated_stock("rain", ["ann"]) == RatedStock(4, 2, 1)
    assert supply.rated_stock("rain").enough and not supply.rated_stock("smile").enough
    source = supply.ratings("rain", ["ann"])
    assert [(each.clips, each.mask) for each in source.pairs] == [
        (("a",), (0, -1, -1, -1)),
        (("b",), (0, 1, 1, 1)),
        (("d",), (0, 1, 1, 1)),
    ]
    assert {each.text for each in source.pairs} == {"a red umbrella in the rain, cartoon style"}
    assert set(source.clips) == {"a", "b", "d"} and source.counts == {"good": 2, "bad": 1}


def test_single_clips_of_one_kind_are_a_sentence(supply):
    """No rating, a 3 alone, only good ones, only bad ones; a clip that is gone does not count."""
    with pytest.raises(UserError, match="no ratings to learn from yet for the action 'rain'"):
        supply.ratings("rain")
    rate(supply, "a", 3)
    with pytest.raises(UserError, match="no ratings to learn from yet"):
        supply.ratings("rain")
    rate(supply, "b", 5)
    with pytest.raises(UserError, match=r"are good.*Rate some clips 1 or 2"):
        supply.ratings("rain")
    rate(supply, "b", 1)
    with pytest.raises(UserError, match=r"are bad.*Rate some clips 4 or 5"):
        supply.ratings("rain")
    rate(supply, "a", 5)
    assert len(supply.ratings("rain").pairs) == 2
    supply.store.video("a").unlink()
    with pytest.raises(UserError, match="are bad"):
        supply.ratings("rain")


def test_a_dataset_is_learned_from_with_the_words_of_its_clips(supply, tmp_path):
    """Clips made here say what style they are of, and the text is what the votes would have; foreign ones are taken by
    their prompt. Pairs of other actions stay out, those that name none do not."""
    recipe = Recipe("a red umbrella", "rain", "cartoon").to_dict()
    for name, said in (("a", recipe), ("b", recipe), ("c", None), ("d", None)):
        media.write_mp4(tmp_path / f"{name}.mp4", moving_clip(4), 8, said)
    rows = [
        {"chosen_file_name": f"{one}.mp4", "rejected_file_name": f"{two}.mp4", "prompt": "a red umbrella"} | more
        for one, two, more in (("a", "b", {"action": "rain"}), ("c", "d", {}), ("a", "c", {"action": "smile"}))
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = supply.dataset(tmp_path, "rain").pairs
    whole = supply.text("a red umbrella", "rain", "cartoon")
    assert [(each.clips, each.text) for each in found] == [(("a", "b"), whole), (("c", "d"), "a red umbrella")]
    assert whole != "a red umbrella" and len(supply.dataset(tmp_path, "smile").pairs) == 2


def test_nothing_to_learn_from_is_a_sentence(supply):
    """No votes; ties alone; and a rater who has not voted."""
    with pytest.raises(UserError, match="no votes to learn from yet for the action 'rain'"):
        supply.votes("rain")
    add_pair(supply.store, "p")
    vote(supply, "ann", "tie")
    with pytest.raises(UserError, match="ties alone"):
        supply.votes("rain")
    with pytest.raises(UserError, match="no votes to learn from"):
        supply.votes("rain", ["bob"])


def test_choices_count_among_the_profiles_own_pictures(supply):
    """With a LoRA or without, also one that is gone; of an old record that does not say by whom, too. Another painter's
    are kept, and neither counted nor learned from."""
    pictures = [np.full((8, 8, 3), 60 * number, np.uint8) for number in range(4)]
    recipe = Recipe("a red horse", "horse_run", "cartoon", profile="full").to_dict()
    old = {name: value for name, value in recipe.items() if name not in ("painter", "profile")}
    plain, direct, lora = (recipe | {"painter": painter} for painter in ("plain", "direct", "lora:mine"))
    kept = supply.store.picture_choices
    for offer, drawn in enumerate((plain, direct)):
        kept.choose(str(offer), "ann", drawn, pictures[0], pictures[1:])
    assert supply.choices("full") == []
    with pytest.raises(UserError, match=r"has been chosen from others yet\. In Create, with the profile's own painter"):
        supply.first_frames("full")
    for offer, drawn in enumerate((recipe, lora, old), 2):
        kept.choose(str(offer), "ann", drawn, pictures[offer - 1], pictures[:1])
    assert [choice.recipe for choice in supply.choices("full")] == [recipe, lora, old] and len(kept.list()) == 5
    assert len(supply.first_frames("full").pairs) == 3
