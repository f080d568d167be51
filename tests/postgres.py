"""A throwaway PostgreSQL for the tests: Debian's, on a socket in a temporary folder, gone when the tests end."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FAST = ("fsync=off", "full_page_writes=off", "listen_addresses=", "max_connections=100")


@contextmanager
def server() -> Iterator[str]:
    """The address of an empty database; HUVIDPO_TEST_POSTGRES if that is set, else of a server started here.

    Where there is no PostgreSQL, the tests that need it are skipped; but never in CI, where `run.sh` installs it.
    """
    if address := os.environ.get("HUVIDPO_TEST_POSTGRES"):
        yield address
        return
    programs = _programs()
    if programs is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("PostgreSQL is not installed (Debian: postgresql)")
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="huvidpo-pg-", dir="/tmp"))  # a socket's path must be short
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        settings = [part for setting in (*FAST, f"unix_socket_directories={folder}") for part in ("-c", setting)]

        def run(*command: str) -> None:
            result = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, timeout=60)
            assert result.returncode == 0, result.stdout + result.stderr

        run(f"{programs}/initdb", "-D", f"{data}", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        log = str(folder / "log")
        run(f"{programs}/pg_ctl", "-D", f"{data}", "-w", "-l", log, "-o", " ".join(settings), "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            run(f"{programs}/pg_ctl", "-D", f"{data}", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """The folder with `initdb`; Debian keeps it off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)
