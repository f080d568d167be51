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
        ({"downloads": [{"name": "a"}]}, "'what' is missing"),
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
