"""What the browser remembers of the form is checked before it is shown."""

from huvidpo_core.ui.memory import remembered

FORM = {
    "profile": "miniature", "prompt": "a red horse", "action": "rain", "style": "cartoon", "pack": "rain/liked",
    "strength": 1, "seed": 77, "fresh": False, "sampler": "ddim", "steps": 9, "guidance": 2, "frames": 8,
    "painter": "plain",
}  # fmt: skip


def test_a_form_comes_back_as_it_was(engine):
    """Every control gets its value back; an empty browser leaves the page as it is."""
    assert remembered(FORM, engine) == {name: value for name, value in FORM.items() if name != "profile"}
    assert remembered(None, engine) is None
    assert remembered("nonsense", engine) is None


def test_what_no_recipe_may_hold_gives_way(engine):
    """Values of a wrong type, out of bounds or no longer known are replaced one by one; the rest is kept."""
    bad = {"style": "gone", "steps": 10**6, "seed": "x", "action": ["rain"], "sampler": None, "origin": "uploaded"}
    values = remembered({**FORM, **bad}, engine)
    own = engine.defaults()
    assert (values["style"], values["steps"], values["seed"]) == (own.style, own.steps, own.seed)
    assert (values["action"], values["sampler"]) == (own.action, own.sampler)
    assert (values["prompt"], values["frames"]) == ("a red horse", 8)
    assert "origin" not in values


def test_another_profiles_numbers_are_not_taken_over(engine):
    """Words hold for every profile, numbers of steps do not; an empty prompt stays empty."""
    values = remembered({**FORM, "profile": "full", "prompt": ""}, engine)
    assert (values["prompt"], values["action"], values["style"]) == ("", "rain", "cartoon")
    assert (values["steps"], values["sampler"]) == (engine.defaults().steps, "fast")
