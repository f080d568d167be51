"""The clips that a person gathers for a new action: brought, put into words, left out again; and what there is to see
of each before anything begins. No gradio."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from huvidpo_core.config import without_gap
from huvidpo_core.engine import Engine, Footage, View
from huvidpo_core.errors import UserError
from huvidpo_core.ui.session import Draft

ANY = "..."  # stands for a prompt that is still to be written


@dataclass(frozen=True)
class Gap:
    """A clip's sentence around what varies in it."""

    before: str
    own: str
    after: str


@dataclass(frozen=True)
class Card:
    """A clip as the form shows it: what is seen of it or why it cannot be used, and what it is taught with."""

    key: str
    name: str
    view: View | None
    problem: str
    says: Gap | str  # a sentence with a gap to be filled, or one that stands; empty while that is not known


def bring(draft: Draft, files: Sequence[str]) -> None:
    """Add files, none twice."""
    draft.files += [path for path in map(Path, files) if path not in draft.files]


def clips(draft: Draft) -> list[Path]:
    """Everything that is not a text file."""
    return [path for path in draft.files if path.suffix.lower() != ".txt"]


def leave(draft: Draft, key: str) -> None:
    """Leave a clip out."""
    draft.files = [path for path in draft.files if key_of(path) != key]
    draft.words = {path: words for path, words in draft.words.items() if key_of(path) != key}


def say(draft: Draft, key: str, words: str) -> None:
    """Put into words what varies in a clip."""
    draft.words |= {path: words for path in clips(draft) if key_of(path) == key}


def key_of(path: Path) -> str:
    """What the page calls a file; it tells nothing of where it lies."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


@contextmanager
def in_words(draft: Draft, without: Sequence[Path] = ()) -> Iterator[list[Path]]:
    """The draft's files, those in `without` left out, with what was typed as text files behind them."""
    with TemporaryDirectory(prefix="huvidpo-") as folder:
        typed = []
        for number, (clip, words) in enumerate(draft.words.items()):
            home = Path(folder) / str(number)
            home.mkdir()
            typed.append(home / f"{clip.stem}.txt")
            typed[-1].write_text(words, encoding="utf-8")
        yield [*(path for path in draft.files if path not in without), *typed]


def glance(engine: Engine, clip: Path) -> None:
    """Have a clip looked at, which takes a moment the first time."""
    with suppress(UserError):
        engine.trainings.view(clip)


def look(engine: Engine, draft: Draft, prompt: str) -> tuple[list[Card], tuple[str, ...], str]:
    """What there is to see of each clip; what could be better; and why it cannot begin, empty where it can."""
    views, problems = {}, {}
    for clip in clips(draft):
        try:
            views[clip] = engine.trainings.view(clip)
        except UserError as error:
            problems[clip] = str(error)
    footage, why = None, ""
    if views:
        try:
            with in_words(draft, [*problems]) as files:
                footage = engine.trainings.footage(files, prompt.strip() or ANY)
        except UserError as error:
            why = str(error)
    if problems:
        some = "One clip" if len(problems) == 1 else f"{len(problems)} clips"
        why = f"{some} cannot be used: leave out what is marked."
    cards = [
        Card(key_of(clip), clip.name, views.get(clip), problems.get(clip, ""), _says(clip, draft, footage, prompt))
        for clip in clips(draft)
    ]
    return cards, footage.notes if footage else (), why


def _says(clip: Path, draft: Draft, footage: Footage | None, prompt: str) -> Gap | str:
    """What a clip is taught with. A whole sentence of its own stands; what fills the prompt's gap can be changed."""
    template = " ".join(prompt.split())
    before, gap, after = template.partition("{}")
    take = next((shot.take for shot in footage.shots if shot.path == clip), None) if footage else None
    if not take:  # some other clip is at fault
        return Gap(before, draft.words.get(clip, ""), after) if gap else template
    if not template:
        return ""
    if not gap:
        return take.prompt
    if take.text == without_gap(template):
        return Gap(before, "", after)
    if take.text.startswith(before) and take.text.endswith(after):
        return Gap(before, take.text.removeprefix(before).removesuffix(after), after)
    return take.prompt
