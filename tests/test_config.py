"""Settings files and recipes: what is shipped is sound, and every mistake is named."""

import json

import pytest

from huvidpo_core.config import (
    Action,
    Profile,
    Style,
    build,
    compose_prompt,
    load_actions,
    load_profile,
    load_styles,
    profile_names,
    read_toml,
)
from huvidpo_core.errors import UserError
from huvidpo_core.recipe import Recipe

VIDEO = {"base": "b", "width": 8, "height": 8, "frames": 2, "fps": 8, "steps": 1, "ddim_steps": 1, "guidance": 1}
FIRST = {"base": "b", "width": 8, "height": 8, "steps": 1, "guidance": 1.5}


def test_the_shipped_files_are_read():
    """Two profiles, the paper's four styles and eight actions; each action's own examples mention it."""
    assert profile_names() == ["full", "miniature"]
    assert load_profile("full").first_frame.unet == "mhdang/dpo-sdxl-text2image-v1"
    assert list(load_styles()) == ["realistic", "cartoon", "claymation", "pixel_art"]
    actions = load_actions()
    assert len(actions) == 8
    for action in actions.values():
        assert all(any(word in example for word in action.keywords) for example in action.examples)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": 1}, "unknown key 'colour'"),
        ({"family": 3}, "family should be str"),
        ({"video": VIDEO | {"fps": "8"}}, "video: fps should be int"),
        ({"video": VIDEO | {"fps": True}}, "video: fps should be int"),
        ({"video": VIDEO | {"speed": 1}}, "unknown key 'speed'"),
        ({"video": VIDEO | {"key_frames": "last"}}, "key_frames is 'last'. Choose one of: first"),
        ({"video": VIDEO | {"attention": 3}}, "attention is 3. Choose one of: auto, sdpa, xformers"),
        ({"downloads": [{"name": "a"}]}, "'what' is missing"),
        ({"painters": [FIRST | {"name": "p"}]}, "painters: the key 'title' is missing"),
        ({"animatediff": {"adapter": "a"}}, "animatediff: the key 'control' is missing"),
        ({"animatediff": 3}, "animatediff should be AnimateDiffConfig or NoneType, not 3"),
        ({"judge": {"name": "p"}}, "judge should be str"),
    ],
)
def test_a_mistake_in_a_profile_is_named(change, words):
    """Unknown keys, missing keys and wrong types are errors that say where, also inside nested tables."""
    good = {"name": "n", "title": "t", "family": "f", "first_frame": FIRST, "video": VIDEO}
    assert build(Profile, good, "x.toml").video.guidance == 1.0
    with pytest.raises(UserError, match=words):
        build(Profile, good | change, "x.toml")


def test_unknown_profiles_broken_toml_and_bad_templates_are_sentences(tmp_path):
    """A wrong name lists the right ones; a syntax error names the line; a style without {prompt} is refused."""
    with pytest.raises(UserError, match="miniature"):
        load_profile("huge")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = ")
    with pytest.raises(UserError, match="not valid TOML"):
        read_toml(broken)
    with pytest.raises(UserError, match="missing"):
        read_toml(tmp_path / "none.toml")
    broken.write_text('[oil]\ntitle = "Oil"\ntemplate = "an oil painting"\n')
    with pytest.raises(UserError, match="exactly once"):
        load_styles(broken)


def test_a_style_a_person_adds_is_there(tmp_path):
    """One more table in styles.toml is one more style."""
    path = tmp_path / "styles.toml"
    path.write_text('[oil]\ntitle = "Oil"\ntemplate = "{prompt}, oil painting"\n')
    assert load_styles(path) == {"oil": Style("Oil", "{prompt}, oil painting")}


ACTION = 'title = "Rain"\nphrase = "in the rain"\nkeywords = ["rain"]\n'


@pytest.mark.parametrize(
    ("load", "text", "words"),
    [
        (load_styles, "", "has no style in it"),
        (load_styles, "oil = 3\n", "should be a table"),
        (load_actions, "# nothing left\n", "has no action in it"),
        (load_actions, f"[rain]\n{ACTION}examples = []\n", r"\[rain\]: 'examples' is empty"),
        (load_actions, f'[rain]\n{ACTION}examples = [" "]\n', r"\[rain\]: 'examples' is empty"),
    ],
)
def test_settings_that_were_emptied_are_sentences(tmp_path, load, text, words):
    """A file without a style or an action, and an action without an example, are named, not stumbled over later."""
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        load(path)


def test_the_action_is_said_once():
    """Its phrase joins a prompt that does not mention it, and only then; line breaks become spaces."""
    action = Action("Rain", "in the rain", ("rain",), ())
    style = Style("C", "{prompt}, cartoon")
    assert compose_prompt("a red\numbrella", action, style) == "a red umbrella, in the rain, cartoon"
    assert compose_prompt("Rainy day", action, style) == "Rainy day, cartoon"
    assert compose_prompt("a cat", None, style) == "a cat, cartoon"


def test_a_recipe_survives_json():
    """What is written into the MP4 is read back as the same recipe; a key nobody knows is refused."""
    recipe = Recipe(prompt="ein Pferd 🐎", action="horse_run", style="cartoon", pack="", strength=0.5)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    with pytest.raises(UserError, match="unknown key 'hack'"):
        Recipe.from_dict(recipe.to_dict() | {"hack": 1})


def test_only_none_leaves_a_setting_to_the_profile():
    """What a program leaves out is the default; what it gives is taken, whole numbers as int."""
    assert Recipe.asked("a cat", "rain", "cartoon") == Recipe("a cat", "rain", "cartoon")
    asked = Recipe.asked("a cat", "rain", "cartoon", seed=3.0, steps=1, guidance=0, strength=0, frames=2, pack="")
    assert asked == Recipe("a cat", "rain", "cartoon", 3, 1, 0.0, pack="", strength=0.0, frames=2)
    assert isinstance(asked.seed, int) and Recipe.asked(None, None, None).prompt == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "number of steps is 0; it must lie between 1 and 200"),
        ({"steps": -2}, "number of steps is -2"),
        ({"steps": 2.5}, "number of steps is 2.5; give a whole number"),
        ({"frames": 0}, "number of frames is 0; it must lie between 2 and 64"),
        ({"frames": 65}, "number of frames is 65"),
        ({"guidance": -1}, "guidance is -1.0; it must lie between 0 and 30"),
        ({"guidance": float("nan")}, "guidance is nan; give a number"),
        ({"strength": "much"}, "strength is 'much'; give a number"),
        ({"seed": float("inf")}, "seed is inf; give a whole number"),
    ],
)
def test_zero_is_not_a_way_to_say_default(change, words):
    """A number out of bounds or none at all is a sentence that names it: 0 steps, 0 frames and guidance -1 too."""
    with pytest.raises(UserError, match=words):
        Recipe.asked("a cat", "rain", "cartoon", **change)
