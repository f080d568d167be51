"""What the commands share: a place to write to, and a line that says how far the work is."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huvidpo_core.errors import UserError
from huvidpo_core.progress import Progress


def check_writable(path: Path, flag: str) -> None:
    """Make the folder of a file to be written; raise UserError now, not after minutes of work, if that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {path.parent} cannot be made ({error.strerror}). Choose another {flag}."
        ) from error
    try:
        if path.is_dir():
            raise IsADirectoryError
        with tempfile.TemporaryFile(dir=path.parent):  # whoever may do all is not told by os.access
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written there. Choose another {flag}.") from error


def follow(work: Iterator, show: bool = True) -> Any:
    """Run long work to its result, with a progress line on a terminal's stderr."""
    show = show and sys.stderr.isatty()
    result = None
    for result in work:
        if isinstance(result, Progress) and show:
            left = "" if result.seconds_left is None else f", about {result.seconds_left:.0f} s left"
            sys.stderr.write(f"\r\033[K{result.stage} {result.step}/{result.total} {result.unit}".rstrip() + left)
            sys.stderr.flush()
    if show:
        sys.stderr.write("\r\033[K")
    return result
