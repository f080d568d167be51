"""How much memory this process holds, and has held at most, in MB (2**20 bytes); Linux only.

Not `ru_maxrss`: a process that was started by a large one inherits that one's.
"""

from pathlib import Path


def held() -> float:
    """Now."""
    return _status("VmRSS")


def peak() -> float:
    """At most, since it was started."""
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
