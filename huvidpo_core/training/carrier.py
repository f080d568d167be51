"""Which process carries a run out: one at a time, and whether it is still there.

A process is known by its number and by when it was created, for numbers are used again; and by a lock that it holds in
the run's folder, for that moment is counted from a boot whose time moves when the clock is set.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from huvidpo_core.errors import UserError
from huvidpo_core.files import cannot_write

LOCK = ".lock"
LOOK = 1.0  # seconds; who only looks whether the lock is held holds it for less


@contextmanager
def carrying(folder: Path) -> Iterator[None]:
    """Around carrying out the run in `folder`. Raises UserError where another process does."""
    lock = _lock(folder)
    try:
        lock.acquire(timeout=LOOK, poll_interval=0.02)
    except Timeout:
        raise UserError("This training is running already, in another process.") from None
    except OSError as error:
        raise cannot_write(folder / LOCK, error) from error
    try:
        yield
    finally:
        lock.release()


def is_carried(folder: Path, pid: int, born: float) -> bool:
    """Whether the run in `folder`, begun by the process `identity` told of, has somebody who carries it out."""
    return _alive(pid, born) or _held(folder)


def identity(pid: int) -> dict[str, float]:
    """What a `RunState` keeps of a process; nothing of one that is gone already."""
    try:
        return {"pid": pid, "born": psutil.Process(pid).create_time()}
    except psutil.Error:
        return {"pid": pid, "born": 0.0}


def _alive(pid: int, born: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - born) < 1
    except psutil.Error:
        return False


def _held(folder: Path) -> bool:
    if not (folder / LOCK).exists():
        return False
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a folder that may only be read
        return False
    lock.release()
    return False


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / LOCK, thread_local=False, is_singleton=False)
