"""Which model made which side, as a sentence for after the vote. Pure functions, no gradio."""

from collections.abc import Sequence

from huvidpo_core.engine import PackChoice, PainterChoice
from huvidpo_core.preferences.records import Revealed
from huvidpo_core.preferences.store import BASE_MODEL, BROUGHT, DRAWN_BY
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui.words import gone_title, painter_title


def reveal_words(
    revealed: Revealed, left: Recipe | None, right: Recipe | None, choices: Sequence[PackChoice] = (),
    painters: Sequence[PainterChoice] = (),
) -> str:  # fmt: skip
    """The models by their titles in the menus `choices` and `painters`, and how the sides differ as far as their
    recipes are known."""
    models = revealed.left_model, revealed.right_model
    one, two = (title_of(model, choices, painters) for model in models)
    for new, other, left_has_it in ((*models, True), (*reversed(models), False)):
        if _on_trial(new, choices) and other == new.partition("/")[0]:  # the very same, but for it
            has, lacks = ("1 with", "2 without it") if left_has_it else ("1 without", "2 with it")
            seed = f", both with seed {left.seed}" if left and right and left.seed == right.seed else ""
            return f"{has} {title_of(new, choices)}, {lacks}{seed}."
    if revealed.left_model == revealed.right_model == BROUGHT:
        return "Both were brought by somebody."
    if not left or not right or "brought" in (left.origin, right.origin):  # nobody knows the seed of these
        return f"Both by {one}." if one == two else f"1 by {one}, 2 by {two}."
    if left.seed == right.seed:
        return f"1 by {one}, 2 by {two}, both with seed {left.seed}."
    if one != two:
        return f"1 by {one}, seed {left.seed}; 2 by {two}, seed {right.seed}."
    if left.steps != right.steps:
        if left.guidance == right.guidance:
            return f"Both by {one}: 1 with {left.steps} steps, 2 with {right.steps}."
        return f"Both by {one}: 1 with {_settings(left)}, 2 with {_settings(right)}."
    varied = ", varying the motion of one clip" if left.reference and left.reference == right.reference else ""
    return f"Both by {one}{varied}: 1 with seed {left.seed}, 2 with seed {right.seed}."


def title_of(model: str, choices: Sequence[PackChoice], painters: Sequence[PainterChoice] = ()) -> str:
    """A model as a sentence names it."""
    motion, drawn_by, painter = model.partition(DRAWN_BY)
    title = menu_title(motion, choices)
    if motion == BASE_MODEL:
        title = "the bare base model"
    elif _on_trial(motion, choices):
        title = f"the new LoRA “{motion.partition('/')[2]}”"
    return f"{title}{drawn_by}{painter and painter_title(painter, painters)}"


def menu_title(model: str, choices: Sequence[PackChoice], painters: Sequence[PainterChoice] = ()) -> str:
    """A model by its titles in the menus; a LoRA that is gone by what it was called, another model by its name."""
    motion, drawn_by, painter = model.partition(DRAWN_BY)
    gone = f"{gone_title(motion, choices)} (deleted)" if "/" in motion else motion
    title = next((choice.title for choice in choices if choice.id == motion), gone)
    return f"{title}{drawn_by}{painter and painter_title(painter, painters)}"


def _settings(recipe: Recipe) -> str:
    return f"{recipe.steps} steps and guidance {recipe.guidance:.2g}"


def _on_trial(model: str, choices: Sequence[PackChoice]) -> bool:
    return any(choice.trial and choice.id == model for choice in choices)
