"""What a browser remembers of the form between visits. No gradio.

The form lies in the browser's own storage, as `{name of a control: value, "profile": name}`; it comes from outside, so
every value is checked like a recipe's before it is shown.
"""

import json
from collections.abc import Mapping
from typing import Any

from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui.settings import Settings, controls_of

KEY = "huvidpo-lab"  # in the browser's storage
SECRET = "not a secret: without a fixed one a restart of the app would forget"

# Which values hold for every profile; numbers of steps and the like belong to one.
ANY_PROFILE = ("prompt", "action", "style")

# Gradio reports the values that the page starts with as changes; before they are restored they must not be kept.
RATER_JS = "(clip, score) => [clip, score, localStorage.huvidpoRater || 'me']"
"""Who rates: the name that was given in Prefer."""
READY_JS = "() => { document.body.dataset.ready = 'yes' }"
TAB_JS = """(stored) => [stored, (sessionStorage.huvidpoPage ??= Array.from(
    crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join(''))]"""


def keep_js(profile: str) -> str:
    """JavaScript from what is stored and the controls' values to what is to be stored."""
    names = json.dumps(Settings._fields)
    return f"""(stored, ...values) => [document.body.dataset.ready !== 'yes' ? stored : Object.fromEntries(
        [['profile', {json.dumps(profile)}], ...{names}.map((name, index) => [name, values[index]])])]"""


def remembered(stored: Any, engine: Engine) -> dict[str, Any] | None:
    """The controls' values by name, from what the browser stored; None when it stored nothing.

    A value that no recipe may hold (a style that is gone, a number out of bounds) gives way to the usual one.
    """
    if not isinstance(stored, Mapping) or not stored:
        return None
    recipe = engine.defaults().with_(prompt="")
    names = Settings._fields if stored.get("profile") == engine.profile.name else ANY_PROFILE
    for name in names:
        try:
            tried = Recipe.from_dict(recipe.to_dict() | {name: stored[name]})
            tried.with_(prompt=tried.prompt or "-").check(engine.actions, engine.styles)
        except (KeyError, UserError):  # KeyError: not stored; an unknown key ("fresh") is a UserError
            continue
        recipe = tried
    return controls_of(recipe, engine) | {"fresh": stored.get("fresh") is not False}
