"""Which scenes the pairs of an order show: one on each line, in one style or in all. Pure, no gradio."""

from collections.abc import Iterable, Mapping

from huvidpo_core.config import Action

ALL = "all"  # in the menu of styles
VARY = "They show one scene; give some more, for a taste learned from one scene says little about the rest."


def usual(action: Action) -> str:
    """What the form says of an action before anybody has written anything: its examples."""
    return "\n".join(action.examples)


def lines_of(words: str | None) -> list[str]:
    """The prompts in a field with one on each line."""
    return [line.strip() for line in (words or "").splitlines() if line.strip()]


def scenes_of(words: str | None, style: str, styles: Iterable[str]) -> list[tuple[str, str]]:
    """Prompts and styles that take turns; one with an empty prompt where nothing was written."""
    return [(line, each) for line in lines_of(words) or [""] for each in (styles if style == ALL else [style])]


def followed(words: str | None, action: str, actions: Mapping[str, Action], *, single: bool = False) -> str | None:
    """What the field is to say once this action is chosen; a `single` scene for clips that are brought. None where it
    holds words of the person's own."""
    examples = {example for each in actions.values() for example in each.examples}
    if not examples.issuperset(lines_of(words)):
        return None
    return actions[action].examples[0] if single else usual(actions[action])
