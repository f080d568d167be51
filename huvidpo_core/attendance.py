"""What follows a training when its process has ended: each app on a data folder waits for that, whoever has started the
training, and one of them sees to the rest.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from huvidpo_core.config import Profile
from huvidpo_core.training.record import RunFolder

log = logging.getLogger(__name__)

LOCK = ".afterwards.lock"
LOOK = 2.0  # seconds between two looks at a run that another process has started
PATIENCE = 1.0  # seconds; who only finds that nothing is left to do holds the lock for less


class Attendance:
    """The runs whose ends this process waits for, each in a thread of its own."""

    def __init__(self, profile: Profile) -> None:
        """`profile` is that of the runs that are followed: what comes after is made with its models."""
        self._profile = profile
        self.afterwards: Callable[[RunFolder], None] = lambda _: None  # when a run's process has ended
        self._attended: list[Path] = []  # folders of runs, until `afterwards` is through
        self._taking = threading.Lock()  # around a run's being found to run, or started, and its being attended

    def attended(self, run: RunFolder) -> bool:
        """Whether this process waits for the run's end, or sees to what follows it."""
        return run.path in self._attended

    def follow(self, run: RunFolder) -> None:
        """Attend to a run that was not started here, by an app before this one, say, or by a command line. Nothing
        happens where that is so already, where the run is not being carried out, or where another profile's models
        are. Raises UserError for a record that cannot be read.
        """
        with self._taking:
            if self.attended(run) or (state := run.state()).status != "running":
                return
            if run.asked()["profile"] == self._profile.name:
                self._attend(run, partial(_wait, run, state.pid))

    def _attend(self, run: RunFolder, wait: Callable[[], Any]) -> None:
        """See to what follows when `wait` returns; `_taking` is held."""
        self._attended.append(run.path)
        threading.Thread(target=self._see_off, args=[run, wait], daemon=True, name="attendance").start()

    def _see_off(self, run: RunFolder, wait: Callable[[], Any]) -> None:
        try:
            wait()
            if run.path.exists():  # else the lock would bring a removed run's folder back
                with FileLock(run.path / LOCK, timeout=PATIENCE, thread_local=False, is_singleton=False):
                    self.afterwards(run)
        except Timeout:
            log.info("another process sees to what follows %s", run.path)
        except Exception:  # a thread of its own: nobody else would write it down
            log.exception("what follows a training failed")
        finally:
            self._attended.remove(run.path)


def _wait(run: RunFolder, pid: int) -> None:
    """Until this process no longer carries the run out."""
    while (state := run.state()).status == "running" and state.pid == pid:
        time.sleep(LOOK)
