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
    idle: str  # in memory.stat: of files, and given back when memory is asked for


GROUPS = (
    Group(Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    Group(Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def memory_there() -> int:
    """Bytes in all."""
    return min(psutil.virtual_memory().total, *(limit for limit, _ in map(_read, GROUPS)))


def memory_free() -> int:
    """Bytes that nobody holds."""
    return min(psutil.virtual_memory().available, *(max(0, limit - held) for limit, held in map(_read, GROUPS)))


def _read(group: Group) -> tuple[int, int]:
    """A group's limit and what is held of it, in bytes; where there is none, more than any machine has and 0."""
    try:
        limit, used = (int((group.folder / name).read_text()) for name in (group.limit, group.used))
        stat = dict(line.split() for line in (group.folder / "memory.stat").read_text().splitlines())
        return limit, used - int(stat.get(group.idle, 0))
    except (OSError, ValueError):  # not there, or "max"
        return 2**63, 0
