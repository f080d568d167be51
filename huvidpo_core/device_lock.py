"""One job at a time on a device, over all processes that share a data folder.

A training takes the device for a step at a time; a person who wants a clip waits for the end of that step, not of the
training. Two lock files: whoever wants the device holds the gate while waiting for it. A training passes the gate too,
but does not keep it, so a person who stands there is always next.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from huvidpo_core.errors import Stopped, UserError

POLL = 0.02  # seconds


class DeviceLock:
    """The device of everybody who works in the data folder `folder`.

    GPUs from the second on, such as "cuda:1", have locks of their own, so that several are used side by side. All other
    names of a device, or none, share one lock: without torch nobody can tell which of them are the same.
    """

    def __init__(self, folder: Path, device: str | None = None) -> None:
        self._folder = folder
        number = re.search(r":0*([1-9]\d*)$", device or "")
        self._own = f"-{number[1]}" if number else ""

    @contextmanager
    def for_a_job(self, asked_to_stop: Callable[[], bool]) -> Iterator[None]:
        """Hold the device for as long as it takes.

        Raises:
            Stopped: asked to, before the device was free.
            UserError: the folder cannot be written.
        """
        with self._held("gate", asked_to_stop), self._held("device", asked_to_stop):
            yield

    @contextmanager
    def for_a_step(self, asked_to_stop: Callable[[], bool]) -> Iterator[None]:
        """Hold the device for one step of something long, after everybody who waits for a job. Raises as above."""
        with ExitStack() as device:
            with self._held("gate", asked_to_stop):
                device.enter_context(self._held("device", asked_to_stop))
            yield

    @property
    def wanted(self) -> bool:
        """Whether somebody else has the device for a job, or waits for it."""
        try:
            with FileLock(self._path("gate"), timeout=0, thread_local=False, is_singleton=False):
                return False
        except Timeout:
            return True
        except OSError:  # whoever takes the device is told
            return False

    def _path(self, name: str) -> Path:
        return self._folder / f".{name}{self._own}.lock"

    @contextmanager
    def _held(self, name: str, asked_to_stop: Callable[[], bool]) -> Iterator[None]:
        lock = FileLock(self._path(name), thread_local=False, is_singleton=False)
        while not lock.is_locked:
            if asked_to_stop():
                raise Stopped
            try:
                lock.acquire(timeout=0.2, poll_interval=POLL)
            except Timeout:
                continue
            except OSError as error:
                raise UserError(
                    f"The data folder {self._folder} cannot be used ({error.strerror}). Mend it, or choose another "
                    "with --data."
                ) from error
        try:
            yield
        finally:
            lock.release()
