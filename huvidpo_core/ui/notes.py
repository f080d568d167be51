"""What the page remarks on unasked: where the picture comes from, and how the words were read. Pure, no gradio."""

from collections.abc import Mapping, Sequence
from html import escape

from huvidpo_core.config import Action, Style, compose_prompt
from huvidpo_core.results import Reading
from huvidpo_core.ui.session import Session, Wording

SOURCES = {"generated": "Drawn from your words", "kept": "Drawn from other words", "uploaded": "Your own picture"}
LONG = 8  # more words than this are counted, not named
LONGEST = 24  # letters of a word that are shown
NOTHING_READ = "nothing yet. This small model knows colours, places such as a beach, and what the examples speak of"


def origin_note(session: Session, changed: bool = False) -> str:
    """The note on the picture in the editor; `changed`: the page now asks for another."""
    edited = session.painted is not None or session.origin == "edited"
    if session.picture is None and session.painted is None:
        return '<p class="hv-note" role="status">No picture yet</p>'
    if session.picture is None:
        said = "Painted by you"
    elif not session.source:
        said = "Edited by you"
    else:
        said = "Drawn before your changes" if changed else SOURCES[session.source]
        said += ", edited by you" if edited else ""
    return f'<p class="hv-note hv-has{" hv-old" if changed else ""}" role="status"><i></i>{said}</p>'


def is_changed(session: Session, now: Wording, actions: Mapping[str, Action], styles: Mapping[str, Style]) -> bool:
    """Whether the page's words would draw another picture than the one in the editor was drawn for."""
    if session.picture is None or session.drawn is None:
        return False
    return _composed(session.drawn, actions, styles) != _composed(now, actions, styles)


def changed_notice(session: Session, actions: Mapping[str, Action], styles: Mapping[str, Style]) -> str:
    """What to do about a picture that was drawn for other words; stands beside the buttons."""
    drawn = session.drawn
    title = [known[name].title for known, name in ((actions, drawn.action), (styles, drawn.style)) if name in known]
    words = f"“{_shortened(drawn.prompt or '')}” ({', '.join(title)})"
    edits = session.painted is not None or session.origin == "edited"
    losing = ", without your edits," if edits else ""  # what First frame would cost
    return (
        f'<p class="hv-message hv-notice" role="status">This picture was drawn for {escape(words)}. '
        f"Press <b>First frame</b> to draw what you ask for now{losing} or <b>Animate</b> to use it as it is.</p>"
    )


def other_action(prompt: str, chosen: str | None, actions: Mapping[str, Action]) -> str:
    """What to do when the words name another action than the chosen one; empty when they do not."""
    said = prompt.lower()
    if chosen not in actions or any(keyword in said for keyword in actions[chosen].keywords):
        return ""
    for action in actions.values():
        if any(keyword in said for keyword in action.keywords):
            return (
                f"Your words speak of “{action.title}”, but what happens is “{actions[chosen].title}”. "
                "Choose the other, or go on as it is."
            )
    return ""


def reading_hint(reading: Reading) -> str:
    """Which words were ignored or came too late, and which were understood; nothing when all were."""
    if not (reading.ignored or reading.unread):
        return ""
    told = {
        "Understood": ", ".join(reading.understood) or NOTHING_READ,
        "Ignored": _listed(reading.ignored),
        "Not read, the text being too long": _listed(reading.unread),
    }
    spans = " ".join(f"<span><b>{title}:</b> {escape(words)}.</span>" for title, words in told.items() if words)
    return f'<p class="hv-reading" role="status">{spans}</p>'


def _listed(words: Sequence[str]) -> str:
    more = len(words) - LONG
    return ", ".join(map(_cut, words[:LONG])) + (f" and {more} more" if more > 0 else "")


def _composed(words: Wording, actions: Mapping[str, Action], styles: Mapping[str, Style]) -> str:
    style = styles.get(words.style or "", Style("", "{prompt}"))
    return compose_prompt(words.prompt or "", actions.get(words.action or ""), style)


def _cut(word: str) -> str:
    return word if len(word) <= LONGEST else f"{word[:LONGEST]}…"


def _shortened(text: str, length: int = 70) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[:length].rsplit(' ', 1)[0]} …"
