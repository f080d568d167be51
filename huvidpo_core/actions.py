"""The actions a person may choose: those of `assets/actions.toml`, then those that action packs were taught.

Looked up anew whenever the packs have changed, so that a new action needs no restart.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from huvidpo_core.config import Action, load_actions, without_gap
from huvidpo_core.errors import UserError
from huvidpo_core.models.packs import PAINTERS, RECORD, ActionPack, list_packs

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Naming:
    """What an action would be called if it were taught now."""

    action: str  # its name
    title: str  # for people; of an action that there is already, that one's
    known: bool  # whether there is such an action already
    number: int  # which of its packs this would be; the second is called NAME-2


class Actions(Mapping[str, Action]):
    """All actions by name, of one family's folder of packs."""

    def __init__(self, packs: Path) -> None:
        """Raises UserError when `assets/actions.toml` cannot be read."""
        self._packs, self._shipped = packs, load_actions()
        self._known: tuple[object, Mapping[str, Action]] = None, self._shipped

    def __getitem__(self, name: str) -> Action:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> Mapping[str, Action]:
        stamp = [(path, path.stat().st_mtime_ns) for path in sorted(self._packs.glob(f"*/{RECORD}")) if path.exists()]
        if stamp != self._known[0]:
            taught = {pack.action: _taught(pack) for pack in reversed(list_packs(self._packs))}
            self._known = stamp, self._shipped | {name: taught[name] for name in sorted(taught.keys() - self._shipped)}
        return self._known[1]


def check_name(action: str) -> str:
    """An action's name, which becomes a folder's. Raises UserError when it cannot."""
    if not _NAME.fullmatch(action) or action == PAINTERS:
        raise UserError(
            f"'{action}' cannot be the name of an action. Take letters and digits, with _ or - between words, such as "
            "ball_bounce."
        )
    return action


def name_of(title: str, known: Mapping[str, Action]) -> str:
    """A title as a name: 'Ball bounce' is 'ball_bounce', and a title that there is already is its action.

    Letters that a file's name had better not hold are left out; where nothing is left, a number stands in.
    """
    for name, action in known.items():
        if action.title.casefold() == title.strip().casefold():
            return name
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = "_".join(re.findall(r"[a-z0-9]+", plain))[:64].rstrip("_")
    return name or next(name for name in (f"action_{number}" for number in count(1)) if name not in known)


def title_of(action: str) -> str:
    """A name in words: 'ball_bounce' is 'Ball bounce'."""
    words = re.sub(r"[_-]+", " ", action).strip()
    return words[:1].upper() + words[1:]


def _taught(pack: ActionPack) -> Action:
    """An action as its pack tells: its template joins a prompt in which no word of its name occurs."""
    phrase = without_gap(pack.prompt)
    words = tuple(word for word in re.split(r"[_-]+", pack.action.lower()) if len(word) > 2)
    examples, scenes = (_texts(pack.training.get(key)) for key in ("examples", "scenes"))
    title = pack.title or title_of(pack.action)
    return Action(title, phrase or title, (*words, phrase or title.lower()), examples or (phrase or title,), scenes)


def _texts(values: object) -> tuple[str, ...]:
    """What a pack's record lists; whoever wrote it, only texts count."""
    return tuple(str(text) for text in values if str(text).strip()) if isinstance(values, list) else ()
