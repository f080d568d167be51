"""Sample clips where a browser may fetch them: copies in a folder that is served. The folders they lie in, a training's
or an action pack's, hold more than a page shows and are not. No gradio.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from huvidpo_core import media

KEPT = 512  # copies that stay; those that are asked for again are made again


def shown_folder(data: Path) -> Path:
    """Where the copies lie."""
    return data.resolve() / "shown"


def shown(clips: Mapping[int, Sequence[Path]], data: Path) -> dict[int, list[Path]]:
    """Copies of sample clips by step, in place of these. Raises UserError: a full disk."""
    return {step: [copy for path in paths if (copy := _copy(path, data))] for step, paths in clips.items()}


def _copy(path: Path, data: Path) -> Path | None:
    """The copy of a clip as it is now; None where it is gone meanwhile."""
    try:
        stamp = path.stat()
    except OSError:
        return None
    key = f"{path.resolve()}|{stamp.st_mtime_ns}|{stamp.st_size}"
    copy = shown_folder(data) / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{path.suffix}"
    if copy.exists():
        os.utime(copy)  # it is wanted
    else:
        media.copy_whole(path, copy)
        _tidy(copy.parent)
    return copy


def _tidy(folder: Path) -> None:
    copies = sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime)
    for copy in copies[:-KEPT]:
        copy.unlink(missing_ok=True)
