"""The actions there are: the shipped ones, then those that packs were taught, as they come and go."""

import json

import pytest

from huvidpo_core import actions as rooms
from huvidpo_core.actions import Actions, check_name, name_of, title_of
from huvidpo_core.config import load_actions
from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.recipe import Recipe
from tests.tiny_models import make_profile
from tests.training.whole import ACTION, make_pack


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture
def packs(profile, tmp_path):
    """A folder with the pack of a shipped action in it."""
    make_pack(profile, tmp_path / profile.family)
    return tmp_path / profile.family


def teach(packs, name: str, action: str, **changes) -> None:
    """A pack for an action, made from the one there is."""
    record = json.loads((packs / ACTION / "pack.json").read_text())
    folder = packs / name
    folder.mkdir()
    (folder / "motion.safetensors").write_bytes((packs / ACTION / "motion.safetensors").read_bytes())
    (folder / "pack.json").write_text(json.dumps(record | {"action": action} | changes))


def test_a_new_pack_s_action_is_there_at_once_and_goes_with_it(profile, packs):
    """In an engine that was opened before: last in the list, with its words; Create takes its pack by itself."""
    engine = Engine(profile, packs.parent / "data", "cpu", packs.parent)
    assert dict(engine.actions) == load_actions()
    training = {"examples": ["a red ball bounces", " "], "scenes": ["a ball on the moon"]}
    teach(packs, "ball_bounce", "ball_bounce", title="Ball bounce", prompt="a {} ball bounces", training=training)
    assert list(engine.actions) == [*load_actions(), "ball_bounce"] and len(engine.actions) == 9
    action = engine.actions["ball_bounce"]
    assert (action.title, action.phrase) == ("Ball bounce", "a ball bounces")
    assert action.keywords == ("ball", "bounce", "a ball bounces")
    assert (action.examples, action.scenes) == (("a red ball bounces",), ("a ball on the moon",))
    recipe = Recipe("a blue thing", "ball_bounce", "cartoon").check(engine.actions, engine.styles)
    assert engine._studio.complete(recipe).pack == "ball_bounce"
    assert engine.packs("ball_bounce")[0].id == "ball_bounce"
    text = engine.trainings.supply.text
    assert "a blue thing, a ball bounces" in text("a blue thing", "ball_bounce", "cartoon")
    assert "a ball bounces" not in text("a red ball", "ball_bounce", "cartoon")
    (packs / "ball_bounce" / "pack.json").unlink()
    assert "ball_bounce" not in engine.actions and engine.actions.get("ball_bounce") is None


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Ball bounce", "ball_bounce"),
        ("  A cat's  Größe, no. 2! ", "a_cat_s_groe_no_2"),
        ("TURN TO SMILE", "smile"),
        ("Мяч прыгает", "action_1"),
        ("x" * 90, "x" * 64),
    ],
)
def test_a_title_is_a_name(title, name):
    """What there is already by its title is that action; every other name can be one."""
    assert name_of(title, load_actions()) == check_name(name)


def test_a_shipped_action_stays_as_it_is(packs):
    """Whatever a pack of it says; two packs of one action are one action, the first one's."""
    teach(packs, "rain-2", ACTION, title="Other rain")
    teach(packs, "jump-2", "jump", title="Jump 2")
    teach(packs, "jump", "jump", title="Jump")
    found = Actions(packs)
    assert found[ACTION] == load_actions()[ACTION] and found["jump"].title == "Jump" and len(found) == 9
    assert [choice.id for choice in PackMenu(packs).choices("jump")] == ["jump", "jump-2", ""]


def test_a_pack_that_says_little_or_nonsense_is_an_action_all_the_same(packs):
    """An empty template: the title; examples that are no list of texts: the phrase."""
    teach(packs, "bare", "bare", title="Bare", prompt="{}", training={"examples": 7, "scenes": [1]})
    action = Actions(packs)["bare"]
    assert (action.phrase, action.examples, action.scenes) == ("Bare", ("Bare",), ("1",))


def test_packs_are_read_once_until_they_change(packs, monkeypatch):
    """Every list of the page asks; a broken pack, which is logged, would fill the log."""
    reads = []
    monkeypatch.setattr(rooms, "list_packs", lambda folder: reads.append(folder) or [])
    found = Actions(packs)
    for _ in range(5):
        assert len(found) == 8 and "rain" in found
    assert len(reads) == 1
    teach(packs, "jump", "jump")
    assert len(found) == 8 and len(reads) == 2
    assert dict(Actions(packs.parent / "nowhere")) == load_actions()


@pytest.mark.parametrize("name", ["", "a b", "../up", ".hidden", "a/b", "bö", "-x", "x" * 65, "a\n"])
def test_a_name_that_cannot_be_a_folder_s_is_a_sentence(name):
    """And others are taken as they are."""
    with pytest.raises(UserError, match="cannot be the name of an action"):
        check_name(name)
    assert check_name("ball_bounce-2") == "ball_bounce-2"


def test_a_name_in_words():
    """For who gives no title."""
    assert title_of("ball_bounce") == "Ball bounce" and title_of("ICE-skate_") == "ICE skate"
