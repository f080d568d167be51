"""What the server remembers about each open page: its stop flag, and the picture it last put into the editor.

This lives here and not in `gr.State`, because a flag must be shared with running work, not copied. No gradio.
"""

import threading
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Session:
    """One open page."""

    stop: threading.Event = field(default_factory=threading.Event)
    picture: np.ndarray | None = None  # as last put into the editor; a difference means the person edited it
    origin: str = "generated"  # of `picture`
    last_seed: int | None = None  # of the last picture or clip
    animated: bool = False  # whether a clip was made with `last_seed`
    busy: bool = False  # work is waiting or running
    outcome: tuple[str, str] = ("", "info")  # sentence and kind that the last piece of work leaves behind

    def put(self, picture: np.ndarray | None, origin: str) -> None:
        """Remember what the editor now holds."""
        self.picture, self.origin = picture, origin

    def origin_of(self, picture: np.ndarray) -> str:
        """Where a picture read from the editor comes from."""
        if self.picture is not None and np.array_equal(self.picture, picture):
            return self.origin
        return "edited"


class Sessions:
    """All open pages, by Gradio's session id."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, key: str | None) -> Session:
        """The session of that id, made when new; None (a direct call) has one too."""
        with self._lock:
            return self._sessions.setdefault(key or "", Session())

    def forget(self, key: str | None) -> None:
        """The page was closed: its work stops, its picture is dropped."""
        with self._lock:
            session = self._sessions.pop(key or "", None)
        if session:
            session.stop.set()
