"""Files and folders that appear whole or not at all; when they cannot be written, a sentence says why."""

import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from huvidpo_core.errors import UserError

log = logging.getLogger(__name__)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name in the same folder to write to; it becomes `path` at the end, or is removed if anything goes wrong.

    Raises:
        UserError: the file cannot be written (an OSError inside the `with`, too).
    """
    path = path.absolute()
    temporary = path.with_name(f".{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` to fill; it takes the place of `path`, old contents and all, at the end.

    If anything goes wrong it is removed, and `path` is as it was.

    Raises:
        UserError: the folder cannot be written (an OSError inside the `with`, too).
    """
    path = path.absolute()
    scratch = path.with_name(f".{uuid4().hex}.part")  # dotted: a listing of packs skips what a killed process left
    fresh, old = scratch / "new", scratch / "old"
    try:
        fresh.mkdir(parents=True)
        yield fresh
        if path.exists():
            path.rename(old)
        try:
            fresh.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def is_full(error: OSError) -> bool:
    """Whether it says that the disk, or the person's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_error(printed: str) -> OSError:
    """The OSError behind what a library printed of a failed write: safetensors and ffmpeg raise none themselves."""
    *_, reason = printed.strip().splitlines() or ["it failed"]
    full = "No space left" in printed or "quota exceeded" in printed
    return OSError(errno.ENOSPC if full else errno.EIO, reason.rstrip("."))


def cannot_write(path: Path, error: OSError) -> UserError:
    """The sentence for a person."""
    log.info("cannot write %s: %s", path, error)
    if is_full(error):
        return UserError(f"{path.name} could not be written: the disk is full. Please free some space.")
    reason = (error.strerror or str(error)).rstrip(".")
    return UserError(f"{path} could not be written: {reason}. Choose another place, or see to it that this one can be.")
