"""The votes file of an export: every row that was said or is needed to understand it, as plain JSON."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huvidpo_core.config import build
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.records import Mark, Source

NAME = "votes.json"
LARGEST = 300_000_000  # bytes; half a million votes
FORMAT, VERSION = "huvidpo-votes", 3
READ = (1, 2, 3)  # versions; 1 lacks the votes that were taken back, 2 the choices


@dataclass(frozen=True)
class PortableClip:
    """A row of `clips`; its file is `clips/ID.mp4` in the same folder, unless the clip was deleted."""

    id: str
    created: float
    seconds: float
    recipe: dict
    model: str
    hash: str | None = None
    frames: int | None = None
    fps: float | None = None
    motion: float | None = None


@dataclass(frozen=True)
class PortablePair:
    """A row of `pairs`."""

    id: str
    created: float
    first: str
    second: str
    source: Source
    prompt: str
    action: str
    frames: int
    fps: int


@dataclass(frozen=True)
class PortableShowing:
    """A row of `showings`."""

    id: str
    created: float
    rater: str
    pair: str
    left: str
    right: str
    repeat_of: str | None = None


@dataclass(frozen=True)
class PortableScore:
    """A row of `scores`, without its vote."""

    side: str
    aspect: str
    score: int


@dataclass(frozen=True)
class PortableVote:
    """A row of `votes` with its marks and scores: those that stand, and those in whose place they do."""

    id: str
    created: float
    showing: str
    rater: str
    choice: str
    seconds: float
    marks: tuple[Mark, ...] = ()
    scores: tuple[PortableScore, ...] = ()
    superseded: float | None = None


@dataclass(frozen=True)
class PortableRating:
    """A row of `ratings`."""

    id: str
    created: float
    clip: str
    rater: str
    score: int


@dataclass(frozen=True)
class PortableChoice:
    """A row of `picture_choices`; its pictures are `pictures/HASH.png` in the same folder, unless they were deleted."""

    id: str
    created: float
    offer: str
    rater: str
    recipe: dict
    chosen: str
    others: tuple[str, ...]
    superseded: float | None = None


@dataclass(frozen=True)
class Bundle:
    """Everything in a votes file."""

    clips: tuple[PortableClip, ...]
    pairs: tuple[PortablePair, ...]
    showings: tuple[PortableShowing, ...]
    votes: tuple[PortableVote, ...]
    ratings: tuple[PortableRating, ...]
    choices: tuple[PortableChoice, ...] = ()
    format: str = FORMAT
    version: int = VERSION

    def write(self, folder: Path) -> None:
        """Write it as `votes.json` in a folder. Raises OSError."""
        (folder / NAME).write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n", encoding="utf-8")


def read_bundle(folder: Path) -> Bundle:
    """Read the votes file of an export.

    Raises:
        UserError: there is none, or it is damaged, or a newer version of this program wrote it.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} has more than {LARGEST / 1e6:.0f} MB, which is no file that `export` writes.")
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(values, ensure_ascii=False, allow_nan=False).encode()  # no half letters, no numbers that are none
    except FileNotFoundError:
        raise UserError(f"{folder} holds no {NAME}. Choose a folder that `export` has written.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}). Export again, or copy it anew.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise UserError(f"{path} is no votes file of HuViDPO Lab. Choose a folder that `export` has written.")
    if values.get("version") not in READ:
        raise UserError(f"{path} was written by another version of HuViDPO Lab. Update the program, then try again.")
    return build(Bundle, values, path.name)
