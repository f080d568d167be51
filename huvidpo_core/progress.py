"""Progress of long work: what is shown, how the time left is estimated, and how a callback becomes a generator."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Progress:
    """Where a long piece of work stands.

    `stage` is a short phrase for people ("drawing the first frame"); `step` of `total`, where a total of 1 is a
    phase without steps ("decoding the clip"), in steps or in another `unit`; `seconds_left` is None while unknown;
    `preview` is a small uint8 picture (h, w, 3) or a clip (f, h, w, 3), or None.
    """

    stage: str
    step: int
    total: int
    seconds_left: float | None = None
    preview: np.ndarray | None = None
    unit: str = ""


class Stopwatch:
    """Estimates the time left of one stage from the steps already done.

    The first step also pays for what comes before it (encoding, the warming of caches), so the estimate begins with the
    second and leaves the first out.
    """

    def __init__(self, stage: str, total: int) -> None:
        self._stage, self._total = stage, total
        self._first: tuple[int, float] | None = None  # the first step that was told, and when
        self._apart = 0.0  # seconds since then that went into no step

    def leave_out(self, seconds: float) -> None:
        """These went into something else since the last step."""
        if self._first:
            self._apart += seconds

    def at(self, step: int, preview: np.ndarray | None = None) -> Progress:
        """Progress after `step` of the stage's steps."""
        now = time.monotonic() - self._apart
        first, began = self._first = self._first or (step, now)
        left = (now - began) / (step - first) * (self._total - step) if step > first else None
        return Progress(self._stage, step, self._total, left, preview)


def generate(work: Callable[[Callable[[Any], bool]], Any], stop: threading.Event) -> Iterator[Any]:
    """Run `work(report)` in a thread and yield what it reports, then what it returns.

    `report(item)` hands an item to the consumer and returns whether work should end: because `stop` is set, or because
    the consumer went away. An exception of the work is raised here.
    """
    items: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    abandoned = threading.Event()

    def report(item: Any) -> bool:
        items.put(("item", item))
        return stop.is_set() or abandoned.is_set()

    def run() -> None:
        try:
            items.put(("result", work(report)))
        except BaseException as error:  # handed over, not swallowed: the consumer raises it
            items.put(("error", error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = items.get()
            if kind == "error":
                raise value
            yield value
            if kind == "result":
                return
    finally:
        abandoned.set()
        thread.join()
