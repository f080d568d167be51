"""Long work beside the rating: its bar, its Stop, its last word.

A page starts one errand of a kind at a time; pages take turns, so that two do not vote as the same judge at once.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr
from gradio.events import Dependency

from huvidpo_core.engine import Progress
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.ui import words
from huvidpo_core.ui.work import UNEXPECTED

log = logging.getLogger(__name__)

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE = PRIVATE | {"queue": False}
UNREAD = "What was chosen could not be read. Choose it again, and try once more."
STOPPED = "Stopped. What was done until then is kept."

Work = Callable[..., Iterator[Progress | str]]


class Errand:
    """One kind of errand; `starts` are held while it runs."""

    def __init__(self, name: str, starts: Sequence[gr.Button], stopped: str = STOPPED) -> None:
        """Make the Stop button, where it is to stand; `bar` is to be rendered by the form. `stopped` is the last word
        after Stop."""
        self.name, self._starts, self._stopped = name, starts, stopped
        self.stop = gr.Button("Stop", visible=False, elem_id=f"{name}-stop", scale=0, min_width=110)
        self.bar = gr.HTML("", elem_id=f"{name}-said", render=False)
        self._running: dict[str | None, threading.Event] = {}  # stop flags by page
        self._said: dict[str | None, str] = {}

    def show(self) -> None:
        """Place the bar here."""
        self.bar.render()
        self.stop.click(self.halt, None, self.bar, **AT_ONCE)

    def on(self, button: gr.Button, work: Work, inputs: list[Any]) -> Dependency:
        """Run `work(stop, *values of the inputs)` on a press; its last item is HTML to say. Returns what follows it."""

        def run(request: gr.Request, *values: Any) -> Iterator[str]:
            yield from self.run(request.session_hash, work, *values)

        outputs = [self.bar, self.stop, *self._starts]
        pressed = button.click(self.begin, None, outputs, **AT_ONCE)
        done = pressed.then(run, inputs, self.bar, concurrency_id=self.name, concurrency_limit=1, **PRIVATE)
        done.failure(self.settle, None, outputs, **AT_ONCE)  # `then` does not follow a failed generator in Gradio 6.31
        return done.success(self.settle, None, outputs, **AT_ONCE)

    def begin(self, request: gr.Request) -> list[Any]:
        """A button was pressed."""
        others = bool(self._running)
        self._running[request.session_hash] = threading.Event()
        self._said[request.session_hash] = words.message(UNREAD, "error")  # stands only if the work cannot even begin
        return [words.waiting_bar(others), *self._buttons(busy=True)]

    def run(self, page: str | None, work: Work, *values: Any) -> Iterator[str]:
        """What the bar shows; the last word is left to `settle`. Leaving the page ends the work."""
        stop = self._running.setdefault(page, threading.Event())
        try:
            if stop.is_set():
                raise Stopped
            with closing(work(stop, *values)) as items:
                for item in items:
                    if isinstance(item, Progress):
                        yield words.progress_bar(item)
                    else:
                        self._said[page] = item
        except Stopped:
            self._said[page] = words.message(self._stopped)
        except UserError as error:
            self._said[page] = words.message(str(error), "error")
        except Exception:
            log.exception("unexpected")
            self._said[page] = words.message(UNEXPECTED, "error")
        finally:
            self._running.pop(page, None)
        yield words.waiting_bar()  # not a generator that yields nothing

    def halt(self, request: gr.Request) -> Any:
        """Stop was pressed."""
        if stop := self._running.get(request.session_hash):
            stop.set()
            return words.stopping_bar()
        return gr.skip()

    def settle(self, request: gr.Request) -> list[Any]:
        """The errand has ended, however it did."""
        self._running.pop(request.session_hash, None)
        return [self._said.pop(request.session_hash, ""), *self._buttons(busy=False)]

    def _buttons(self, busy: bool) -> list[Any]:
        return [gr.Button(visible=busy), *(gr.Button(interactive=not busy) for _ in self._starts)]
