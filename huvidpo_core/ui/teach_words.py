"""What the Teach tab says of clips, names and what was taught, as short HTML. Pure functions, no gradio."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from huvidpo_core.engine import Naming
from huvidpo_core.ui import words
from huvidpo_core.ui.run_words import many
from huvidpo_core.ui.teach_draft import Card, Gap

NO_RUNS = "Nothing taught yet. It appears here, and stays here, when you press Teach it."
NOTHING_TO_SHOW = (
    '<div class="hv-stage hv-empty"><div><b>Your action will be followed here</b><span>Bring 8 to 16 short clips in '
    "which the same thing happens. What they have in common becomes an action that you can choose in Create."
    "</span></div></div>"
)
PROMPT_HINT = (
    "Write <b>{}</b> for what differs from clip to clip. For example, with <i>a {} ball bounces</i> every clip below "
    "has a gap to fill: <i>red</i>, <i>blue</i>, <i>striped</i>. Text files with the names of the clips fill them, too."
)
BY_HEART = (
    "Some clips are kept for checking and never learned from. When the error on them rises while the other falls, the "
    "few clips are being learned by heart: fewer steps do better then."
)
REMARKS = 4  # that are shown at once


def naming_words(naming: Naming | None) -> str:
    """What the new action would be called, and what becomes of one of that name."""
    if naming is None:
        return ""
    title, called = escape(naming.title), f"<code>{escape(naming.action)}{_number(naming)}</code>"
    if not naming.known:
        return f'<p class="hv-hint">In files and on the command line: {called}</p>'
    if naming.number == 1:
        said = f"There is an action “{title}”, without a learnt motion so far: this becomes its motion."
    else:
        said = (
            f"There is an action “{title}” already. Its motion stays as it is; the new one will be called "
            f"“{title} {naming.number}” and stands beside it under Learnt motion ({called})."
        )
    return f'<p class="hv-message hv-info" role="status">{said}</p>'


def strip(cards: Sequence[Card]) -> str:
    """A card for each clip: its first frame, its length and size, its words, and a button that leaves it out."""
    if not cards:
        return ""
    return (
        f'<div class="hv-strip-head"><b>{many(len(cards), "clip")}</b>'
        '<button type="button" class="hv-link" data-leave="">Leave out all</button></div>'
        f'<ul class="hv-strip">{"".join(_card(card) for card in cards)}</ul>'
    )


def _card(card: Card) -> str:
    name, seen = escape(card.name, quote=True), card.view
    picture = f'<img src="{words.data_uri(seen.picture)}" alt="First frame of {name}">' if seen else "<i></i>"
    facts = f"<span>{seen.frames / seen.fps:.2g} s, {seen.width} x {seen.height}</span>" if seen else ""
    said = f'<span class="hv-wrong">{escape(card.problem)}</span>' if card.problem else _says(card)
    faulty = " hv-faulty" if card.problem else ""
    return (
        f'<li class="hv-shot{faulty}" data-clip="{card.key}">{picture}<button type="button" '
        f'data-leave="{card.key}" aria-label="Leave out {name}" title="Leave out">&times;</button>'
        f'<b title="{name}">{name}</b>{facts}{said}</li>'
    )


def _says(card: Card) -> str:
    if isinstance(card.says, Gap):
        own, name = escape(card.says.own, quote=True), escape(card.name, quote=True)
        field = (
            f'<input value="{own}" maxlength="200" placeholder="..." aria-label="What varies in {name}" '
            'autocomplete="off" spellcheck="false">'
        )
        return f"<label>{escape(card.says.before)}{field}{escape(card.says.after)}</label>"
    return f"<q>{escape(card.says)}</q>" if card.says else ""


def remarks(cards: Sequence[Card], notes: Sequence[str], why: str) -> str:
    """What could be better about the clips, or why it cannot begin; a good word where there is nothing to say."""
    if not cards:
        return ""
    told = words.message(why, "notice") if why else ""
    if notes:
        items = [f"<li>{escape(note)}</li>" for note in notes]
        more = f"<details><summary>{len(items) - REMARKS} more</summary><ul>{''.join(items[REMARKS:])}</ul></details>"
        told += (
            f'<div class="hv-message hv-notice hv-remarks" role="status"><ul>{"".join(items[:REMARKS])}</ul>'
            f"{more if len(items) > REMARKS else ''}</div>"
        )
    return (
        f'<div class="hv-told">{told}</div>'
        if told
        else words.message(f"{many(len(cards), 'clip')}, and nothing to remark: good to learn from.")
    )


def settings_words(settings: Any) -> str:
    """What a preset says besides what the form shows."""
    facts = (
        f"{many(settings.batch, 'clip')} a step",
        f"one clip in {round(1 / settings.held_out)} is kept for checking" if settings.held_out else "none is kept",
        "clips are mirrored by lot" if settings.mirror else "clips are not mirrored",
    )
    return words.hint(f"{'; '.join(facts).capitalize()}.")


def facts(asked: Mapping[str, Any], checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a run was asked for, and how much its samples move."""
    found = [
        many(asked["clips"], "clip"),
        f"“{asked['prompt']}”",
        f"learning rate {asked['settings']['lr']:g}",
        f"begun {words.when(asked.get('created', 0))}",
    ]
    if checks and "motion" in checks[-1]:
        found.append(f"samples move {checks[-1]['motion']:.0%} as much as your clips")
    return found


def made_words(action: str, menu: str) -> str:
    """What became of a finished run: it can be chosen as the action of this title or, if it is a further motion of it,
    as `menu` in the menu of motions; not where there is no title."""
    if not action:
        return words.message("It is taught, and not in use: Create does not offer it.")
    where = f", as “{menu}” under Learnt motion" if menu else ""
    return words.message(f"“{action}” can now be chosen in Create{where}.")


def _number(naming: Naming) -> str:
    return f"-{naming.number}" if naming.number > 1 else ""
