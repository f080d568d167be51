"""A preference dataset read for training: a `videofolder` of pairs, ours or somebody else's.

Only `metadata.jsonl` and the clips it names are read. A row must have `chosen_file_name`, `rejected_file_name` and
`prompt`; it may have `segments` (the agreed judgements, frame `start` up to but without frame `end`, `better` being
chosen, rejected or tie), `frames`, `tie`, `action` and `raters` (answers, counted by kind), as `exchange` writes them.
Without segments the chosen clip is better throughout.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.pairs import TrainingPair, majority, winner_first

METADATA = "metadata.jsonl"
TINY = (16, 16)  # px: enough to count frames
_SIGN = {"chosen": 1, "rejected": -1, "tie": 0}


class _Row(NamedTuple):
    chosen: str  # file names, relative to the folder
    rejected: str
    mask: np.ndarray
    prompt: str
    action: str
    raters: int


def read_dataset(folder: Path) -> list[tuple[TrainingPair, tuple[Path, Path]]]:
    """The pairs of a dataset, each with the files of its `first` and its `second` clip, in the order of the rows.

    Rows about the same two clips are one pair, judged by the raters of all (`pairs.majority`). A clip's id is its
    file's name, without the ending; with its folders where two files have the same name.

    Raises:
        UserError: there is no such dataset, a row is none, or a clip is not there or no video; the sentence says which.
    """
    path = folder / METADATA
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no {METADATA}. Choose a videofolder dataset of pairs, such as `export` writes."
        ) from None
    except NotADirectoryError:
        raise UserError(f"{folder} is a file. Choose the dataset's folder, that which holds {METADATA}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Copy it anew.") from error
    frames = _Counted(folder)
    rows = [_read(folder, line, f"{path}, line {n}", frames) for n, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise UserError(f"{path} holds no pairs.")
    files = {PurePosixPath(name) for row in rows for name in (row.chosen, row.rejected)}
    for file in sorted(files):
        media.read_video(folder / file, max_frames=1, size=TINY)  # or it would be found out in the middle of a training
    unique = len({file.stem for file in files}) == len(files)

    def clip_id(name: str) -> str:
        file = PurePosixPath(name)
        return file.stem if unique else str(file.with_suffix(""))

    together: dict[frozenset[str], list[_Row]] = {}
    for row in rows:
        together.setdefault(frozenset((row.chosen, row.rejected)), []).append(row)
    pairs = []
    for group in together.values():
        first, second, mask, prompt, action, raters = _as_one(group)
        pair = winner_first(clip_id(first), clip_id(second), mask, prompt, action, raters, 1.0)
        one, other = folder / first, folder / second
        pairs.append((pair, (one, other) if pair.first == clip_id(first) else (other, one)))
    return pairs


def _as_one(rows: list[_Row]) -> _Row:
    """Rows about the same two clips as one: in each frame what more than half of all their raters say."""
    length = min(len(row.mask) for row in rows)
    masks = [row.mask[:length] * (1 if row.chosen == rows[0].chosen else -1) for row in rows]
    raters = [row.raters for row in rows]
    return rows[0]._replace(mask=majority(masks, raters), raters=sum(raters)) if len(rows) > 1 else rows[0]


class _Counted(dict[str, int]):
    """File name -> how many frames it has, looked up when first asked for. Raises UserError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __missing__(self, name: str) -> int:
        self[name] = len(media.read_video(self._folder / name, size=TINY).frames)
        return self[name]


def _read(folder: Path, line: str, where: str, frames_of: Mapping[str, int]) -> _Row:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where} is no JSON ({error}).") from error
    if not isinstance(row, dict):
        raise UserError(f"{where} is not a table of columns.")

    def value(name: str, kind: type, missing: Any = None) -> Any:
        found = row.get(name)
        if found is None and missing is not None:
            return missing
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            raise UserError(f"{where}: `{name}` should be {kind.__name__}, not {found!r}.")
        return found

    chosen, rejected = (_file(folder, value(f"{side}_file_name", str), where) for side in ("chosen", "rejected"))
    if chosen == rejected:
        raise UserError(f"{where}: chosen and rejected are the same clip, {chosen}.")
    frames = value("frames", int, 0) or min(frames_of[chosen], frames_of[rejected])
    if not 2 <= frames <= 100_000:
        raise UserError(f"{where}: the pair has {frames} frames; at least 2 are needed, for something to move.")
    everything = [{"start": 0, "end": frames, "better": "tie" if value("tie", bool, False) else "chosen"}]
    mask = _mask(value("segments", list, everything), frames, where)
    counts = value("raters", dict, {}).values()
    raters = sum(count for count in counts if isinstance(count, int) and count > 0)
    return _Row(chosen, rejected, mask, value("prompt", str), value("action", str, ""), raters or 1)


def _file(folder: Path, name: str, where: str) -> str:
    """A clip's name, if it lies in the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{where}: {name} lies outside of the dataset.")
    if not (folder / path).is_file():
        raise UserError(f"{where}: there is no clip {name}. Copy the dataset anew, clips and all.")
    return str(path)


def _mask(segments: list[Any], frames: int, where: str) -> np.ndarray:
    """Segments as int8 `(f,)`, +1 where the chosen clip is better; a frame in no segment says nothing."""
    mask, end = np.zeros(frames, np.int8), 0
    for segment in segments:
        match segment:
            case {"start": int(start), "end": int(stop), "better": "chosen" | "rejected" | "tie" as better}:
                pass
            case _:
                raise UserError(f"{where}: a segment is start, end and better (chosen, rejected or tie).")
        if not end <= start < stop <= frames:
            raise UserError(
                f"{where}: the segment from {start} to {stop} overlaps another or lies outside of the {frames} frames."
            )
        mask[start:stop], end = _SIGN[better], stop
    mask[:1] = 0
    return mask
