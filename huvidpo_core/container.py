"""This machine's memory, or a container's share of it: psutil tells the machine's, and who takes more than the share is
killed without a word."""

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Group:
    """The files of a kernel's control group that tell of memory, by their names in a version of it."""

    folder: Path
    limit: str
    used: str
    prefix: str  # in memory.stat, of what the groups within it hold as well


GROUPS = (
    Group(Path("/sys/fs/cgroup"), "memory.max", "memory.current", ""),
    Group(Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
)
KINDS = ("active", "inactive")  # of files in memory


def memory_there() -> int:
    """Bytes in all."""
    return min(psutil.virtual_memory().total, *map(_limit, GROUPS))


def memory_free() -> int:
    """Bytes that nobody holds."""
    return min(psutil.virtual_memory().available, *(max(0, _limit(group) - _held(group)) for group in GROUPS))


def _limit(group: Group) -> int:
    """Bytes; where there is no limit, more than any machine has."""
    return _number(group.folder / group.limit, 2**63)


def _held(group: Group) -> int:
    """Bytes, less those of files, which are given back when memory is asked for."""
    try:
        rows = [line.split() for line in (group.folder / "memory.stat").read_text().splitlines()]
        files = sum(int(row[1]) for row in rows if row[0] in {f"{group.prefix}{kind}_file" for kind in KINDS})
    except (OSError, ValueError, IndexError):
        files = 0
    return max(0, _number(group.folder / group.used, 0) - files)


def _number(file: Path, otherwise: int) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return otherwise
