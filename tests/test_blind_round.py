"""The blind round: which scenes, which pairs are ordered, and what their votes say."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest

from huvidpo_core.blind_round import BlindRounds, unseen, win_rate
from huvidpo_core.config import Action, load_actions, load_profile, load_styles
from huvidpo_core.errors import UserError
from huvidpo_core.models import cards
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.preferences.judges import ProfileRater
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.training.record import CARD
from huvidpo_core.trainings import Trainings
from tests.finished import finish, write_pack
from tests.preferences.made import FPS, FRAMES

TRAINED = {"prompt": "a red umbrella in the rain in the city", "action": "rain", "style": "cartoon"}
ACTION = Action("Rain", "in the rain", ("rain",), ("one", "two"), ("three", "four"))


def add(store: Store, clip: str, recipe: dict) -> str:
    store.video(clip).write_bytes(clip.encode())
    store.add(clip, recipe, 1.0, frames=FRAMES, fps=FPS)
    return clip


def add_pair(store: Store, name: str, one: dict, other: dict, source: str = "models") -> None:
    clips = add(store, f"{name}1", one), add(store, f"{name}2", other)
    store.votes.add_pair(*clips, source=source, prompt=one["prompt"], action="rain")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "data")


@pytest.fixture
def trainings(store, tmp_path):
    add_pair(store, "t", TRAINED | {"seed": 1}, TRAINED | {"seed": 2}, "seeds")
    vote(store, "ann", "t1")
    write_pack(tmp_path / "packs" / "rain")
    return Trainings(
        tmp_path / "data", load_profile("miniature"), None, store, tmp_path / "packs", load_actions(), load_styles()
    )


@pytest.fixture
def orders():
    return []


@pytest.fixture
def coming():
    """Orders whose pairs are not made yet."""
    return []


@pytest.fixture
def rounds(trainings, orders, coming, tmp_path):
    return BlindRounds(tmp_path / "packs", trainings.supply, orders.append, lambda: coming)


@pytest.fixture
def run(trainings):
    return finish(trainings.prepare("rain", trainings.settings("huvidpo"), name="calm", raters=["ann"]))


def vote(store: Store, rater: str, better: str, undo: bool = False) -> None:
    """Answer this rater's next pair with the clip of this name or of this end, or a tie."""
    showing = store.votes.show(rater, "rain")
    side = next((s for s in ("left", "right") if getattr(showing, s).endswith(better)), "tie")
    store.votes.vote(showing.id, rater, Ballot(side))


def make_pairs(store: Store, orders: list) -> None:
    """What the pair maker makes of the orders, without pictures: A1, A2, B1, B2, ..."""
    for letter, order in zip("ABCDEFGH", orders, strict=False):
        recipe = order.recipe.to_dict()
        add_pair(store, letter, recipe, recipe | {"pack": order.rival})


def test_the_first_round_is_made_by_itself(rounds, trainings, run, orders):
    """When an alignment has finished and changes something: once, and not for one that nobody finished, that learned
    nothing, or whose scenes were all trained on."""
    unfinished = trainings.prepare("rain", trainings.settings("huvidpo"), name="other", raters=["ann"])
    nothing = finish(trainings.prepare("rain", trainings.settings("huvidpo"), name="third", raters=["ann"]))
    card = json.loads((nothing.path / CARD).read_text())
    (nothing.path / CARD).write_text(json.dumps(card | {"best_step": 0}))
    for other in (unfinished, nothing):
        rounds.make_first(other)
    assert orders == []
    rounds.make_first(run)
    assert len(orders) == 8
    rounds.make_first(run)
    assert len(orders) == 8


def test_eight_pairs_of_unseen_scenes_against_what_it_was_trained_on(rounds, run, orders):
    """One order a pair, the LoRA on trial against its pack; the trained scene's style, never its words."""
    rounds.make(run)
    assert [(order.source, order.count, order.recipe.pack, order.rival) for order in orders] == [
        ("models", 1, "rain/calm", "rain")
    ] * 8
    assert {order.recipe.style for order in orders} == {"cartoon"}
    prompts = Counter(order.recipe.prompt for order in orders)
    assert len(prompts) == 7 and TRAINED["prompt"] not in prompts  # seven others are known; one comes twice
    assert {order.recipe.prompt for order in orders} <= {
        *load_actions()["rain"].scenes,
        *load_actions()["rain"].examples,
    }


def test_the_score_counts_the_blind_votes_of_those_who_taught_it(rounds, run, orders, store):
    """Won, tied and lost over the round's pairs; not other raters, other pairs, trained scenes, nor opened answers."""
    assert rounds.score(run).win_rate is None
    rounds.make(run)
    make_pairs(store, orders)
    trained = orders[0].recipe.with_(**TRAINED).to_dict()
    add_pair(store, "T", trained, trained | {"pack": "rain"})  # as a comparison on a trained scene
    add_pair(store, "S", orders[0].recipe.to_dict(), orders[1].recipe.to_dict(), "seeds")  # both new
    said = {"A": "1", "B": "1", "C": "1", "D": "2", "E": "tie", "F": "1"}
    for rater in ("ann", "bob"):
        for _ in range(11):
            showing = store.votes.show(rater, "rain")
            if showing is None:
                break
            clip = showing.left[0]
            better = said.get(clip, "skip" if clip in "GH" else "1")
            side = next((s for s in ("left", "right") if getattr(showing, s).endswith(better)), better)
            store.votes.vote(showing.id, rater, Ballot("right" if rater == "bob" else side))
    score = rounds.score(run)
    assert (score.pairs, score.rated, score.wins, score.ties, score.losses) == (8, 6, 4, 1, 1)
    assert score.win_rate == win_rate([1, 1, 1, 0, 0.5, 1])
    assert (score.skipped, score.left, score.over) == (2, 0, True)


def test_a_round_is_over_when_all_that_was_made_is_answered(rounds, run, orders, store, coming):
    """Not while a pair of it waits or is being made, other orders aside; a pair whose clip is gone waits for nobody."""
    assert not rounds.score(run).over
    rounds.make(run)
    others = [replace(orders[0], source="seeds", rival=""), replace(orders[0], rival="rain/other")]
    coming += [*orders[2:], *others]
    make_pairs(store, orders[:2])
    vote(store, "ann", "1")
    assert (rounds.score(run).left, rounds.score(run).coming, rounds.score(run).over) == (1, 6, False)
    vote(store, "ann", "1")
    assert (rounds.score(run).left, rounds.score(run).coming, rounds.score(run).over) == (0, 6, False)
    del coming[:6]
    assert rounds.score(run).over  # making was stopped
    for letter in "XY":
        recipe = orders[2].recipe.to_dict()
        add_pair(store, letter, recipe, recipe | {"pack": "rain"})
    assert rounds.score(run).left == 2
    store.delete("X2")
    store.delete("A1")  # judged before
    vote(store, "ann", "1")
    score = rounds.score(run)
    assert (score.pairs, score.rated, score.wins, score.over) == (3, 3, 3, True)


@pytest.mark.parametrize("judge", [ProfileRater.name, "VLM see-1"])
@pytest.mark.parametrize("asked_for", [False, True])
def test_a_machine_counts_only_where_it_was_asked_for(rounds, trainings, orders, store, judge, asked_for):
    """Begun without names, a training is judged by people, whoever they are; by an automatic rater where it was begun
    with that one."""
    if asked_for:
        vote(store, judge, "t1")
    raters = [judge] if asked_for else []
    run = finish(trainings.prepare("rain", trainings.settings("huvidpo"), name="calm", raters=raters))
    rounds.make(run)
    make_pairs(store, orders[:3])
    for _ in range(3):
        vote(store, judge, "1")
    score = rounds.score(run)
    assert (score.rated, score.uncounted) == ((3, 0) if asked_for else (0, 3))
    assert bool(score.win_rate) == asked_for
    for _ in range(3):
        vote(store, "bob", "2")
    score = rounds.score(run)
    assert (score.wins, score.losses) == ((3, 0) if asked_for else (0, 3))


def test_an_answer_that_was_given_after_the_models_were_named_does_not_count(rounds, run, orders, store):
    """Undone and given again: it is on record, but it is not blind."""
    rounds.make(run)
    make_pairs(store, orders[:1])
    vote(store, "ann", "1")
    assert rounds.score(run).rated == 1
    store.votes.undo("ann")
    vote(store, "ann", "1")
    assert rounds.score(run).rated == 0 and rounds.score(run).pairs == 1
    assert rounds.score(run).over  # there is no way to judge it blind any more


def test_an_earlier_lora_of_the_same_name_lends_it_no_votes(rounds, run, orders, store, trainings):
    """Clips that were made before this one's trial began are another LoRA's."""
    rounds.make(run)
    make_pairs(store, orders[:2])
    vote(store, "ann", "1")
    trainings.remove(run)
    again = finish(trainings.prepare("rain", trainings.settings("huvidpo"), name="calm", raters=["ann"]))
    rounds.make(again)
    assert trainings.use(again).trial == "calm" and rounds.score(again).pairs == 0


def test_pairs_that_are_made_while_its_lora_is_renamed_count(rounds, run, orders, store, trainings, tmp_path):
    """Whatever it was called when each was made, also by a name that nothing but its card remembers."""
    rounds.make(run)
    trainings.adopt(run)
    pack = ActionPack.load(tmp_path / "packs" / "rain")
    for letter, order, new in zip("ABC", orders, ("mild", "gentle", "soft"), strict=False):
        recipe = order.recipe.to_dict()
        add_pair(store, letter, recipe, recipe | {"pack": order.rival})
        vote(store, "ann", "1")
        old = order.recipe.pack.removeprefix("rain/")
        cards.rename(pack.preference_file(old), pack.preference_file(new))
        orders[:] = [replace(each, recipe=each.recipe.with_(pack=f"rain/{new}")) for each in orders]
    assert rounds.score(run).wins == rounds.score(run).pairs == 3


def test_two_models_are_compared_in_pairs(rounds, orders):
    """On any scenes of the action."""
    rounds.compare("rain", "rain/calm", "rain/lively", 5)
    assert [(order.recipe.pack, order.rival) for order in orders] == [("rain/calm", "rain/lively")] * 5


def test_scenes_are_unseen_and_differ():
    """New words before known ones in another style, each scene once before any comes twice; styles as wanted."""
    styles = {"a": 0, "b": 0}

    def scenes(count, trained=frozenset(), wanted=()):
        return unseen(ACTION, styles, wanted, count, random.Random(1), lambda p, s: (p, s) in trained)

    assert {prompt for prompt, _ in scenes(4)} == {"one", "two", "three", "four"}
    assert sorted(scenes(8)) == sorted((p, s) for p in ("one", "two", "three", "four") for s in "ab")
    trained = {("one", "a"), ("two", "a"), ("two", "b")}
    assert {prompt for prompt, _ in scenes(4, trained)} == {"three", "four"}
    assert ("one", "b") in scenes(5, trained) and not trained & set(scenes(9, trained))
    assert Counter(style for _, style in scenes(3, wanted=["b", "b", "b"])) == {"b": 3}
    everything = {(p, s) for p in ("one", "two", "three", "four") for s in "ab"}
    with pytest.raises(UserError, match="Every scene of 'Rain' was trained on"):
        scenes(1, everything)


def test_every_action_keeps_scenes_back():
    """Six at least, each of which names its action, and none of the examples."""
    for action in load_actions().values():
        assert len(set(action.scenes) - set(action.examples)) >= 6
        for scene in action.scenes:
            assert any(keyword in scene for keyword in action.keywords), scene


@pytest.mark.parametrize(
    ("scores", "low", "high"),
    [([1] * 8, 0.6756, 1.0), ([1] * 6 + [0] * 2, 0.4093, 0.9285), ([0.5], 0.0546, 0.9454), ([0] * 10, 0.0, 0.2775)],
)
def test_wilsons_interval(scores, low, high):
    """Values of published tables and calculators, to four digits."""
    rate = win_rate(scores)
    assert rate.value == sum(scores) / len(scores)
    assert (round(rate.low, 4), round(rate.high, 4)) == (low, high)
