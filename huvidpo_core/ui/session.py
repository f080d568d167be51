"""What the server remembers about each open page: its stop flag, and the picture in the editor. No gradio.

This lives here and not in `gr.State`, because a flag must be shared with running work, not copied, and because a
reloaded page, a new session to Gradio, gets its picture back.
"""

import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from huvidpo_core.results import Picture

TABS = 64  # whose picture is kept for a reload; half a megabyte each at most


class Wording(NamedTuple):
    """What a picture is drawn from."""

    prompt: str | None = None
    action: str | None = None
    style: str | None = None


@dataclass
class Few:
    """Some first frames of the same words, of which one is to be chosen."""

    wording: Wording
    pictures: list[Picture] = field(default_factory=list)
    offer: str = field(default_factory=lambda: uuid.uuid4().hex)  # under which a choice is kept
    chosen: int | None = None
    done: bool = False  # no more are being drawn

    def pick(self, number: int) -> tuple[Picture, list[Picture]]:
        """One of them, and the others."""
        return self.pictures[number], self.pictures[:number] + self.pictures[number + 1 :]

    @property
    def waits(self) -> bool:
        """Whether one may be chosen, and none is."""
        return self.done and bool(self.pictures) and self.chosen is None


@dataclass
class Draft:
    """What a person has gathered for an action that is not being taught yet."""

    files: list[Path] = field(default_factory=list)  # clips, and text files that say what they show
    words: dict[Path, str] = field(default_factory=dict)  # what varies in a clip, as it was typed
    title: str = ""
    prompt: str = ""


@dataclass(frozen=True)
class Asked:
    """What a person has filled in for a training that has not begun: whose judgements count, and a name."""

    raters: tuple[str, ...] = ()
    name: str = ""


@dataclass
class Session:
    """One open page."""

    stop: threading.Event = field(default_factory=threading.Event)
    picture: np.ndarray | None = None  # as last put into the editor; a difference means the person edited it
    origin: str = "generated"  # of `picture`
    source: str = ""  # where it came from before any edit: generated, uploaded, or empty when that is not known
    drawn: Wording | None = None  # what a generated picture was drawn from
    painter: str = ""  # who drew it, see `Recipe.painter`
    painted: np.ndarray | None = None  # the picture with the strokes that were last seen on it
    clip_id: str = ""  # of the clip on the stage
    last_seed: int | None = None  # of the last picture or clip
    animated: bool = False  # whether a clip was made with `last_seed`
    busy: bool = False  # work is waiting or running
    ended: bool = False  # and was ended with the page: this one, or the one before a reload
    outcome: tuple[str, str] = ("", "info")  # sentence and kind that the last piece of work leaves behind
    draft: Draft = field(default_factory=Draft)
    few: Few | None = None  # what is to choose from
    asked: dict[str, Asked] = field(default_factory=dict)  # by kind of training

    def put(self, picture: np.ndarray | None, origin: str, drawn: Wording | None = None, painter: str = "") -> None:
        """Remember what the editor now holds: a new picture."""
        self.picture, self.origin, self.drawn, self.painted = picture, origin, drawn, None
        self.painter = painter
        self.source = "" if origin == "edited" else origin

    def retouch(self, picture: np.ndarray) -> None:
        """Remember what the editor now holds: the same picture, a part of it drawn anew."""
        self.picture, self.origin, self.painted = picture, "edited", None

    def see(self, picture: np.ndarray) -> bool:
        """Note what the editor shows now; returns whether it was not known before."""
        same = self.picture is not None and np.array_equal(self.picture, picture)
        before, self.painted = self.painted, None if same else picture
        return not (same and before is None)

    def origin_of(self, picture: np.ndarray) -> str:
        """Where a picture read from the editor comes from."""
        if self.picture is not None and np.array_equal(self.picture, picture):
            return self.origin
        return "edited"

    def inherit(self, before: "Session") -> None:
        """Take over what a person would miss after a reload; strokes have become part of the picture."""
        self.picture, self.origin, self.source, self.drawn = before.picture, before.origin, before.source, before.drawn
        self.painter = before.painter
        self.clip_id, self.last_seed, self.animated = before.clip_id, before.last_seed, before.animated
        self.draft, self.asked = before.draft, before.asked
        self.few = before.few if before.few and before.few.done else None
        self.ended = before.busy or before.ended
        if before.painted is not None:
            self.retouch(before.painted)


class Sessions:
    """All open pages, by Gradio's session id, and the last page of each browser tab, by an id the tab made up."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._tabs: dict[str, Session] = {}  # the longest unseen first
        self._lock = threading.Lock()

    def of(self, key: str | None) -> Session:
        """The session of that id, made when new; None (a direct call) has one too."""
        with self._lock:
            return self._sessions.setdefault(key or "", Session())

    def arrive(self, key: str | None, tab: str | None) -> Session:
        """A page has loaded: it inherits from the page that its tab showed before."""
        session = self.of(key)
        with self._lock:
            before = self._tabs.pop(tab, None) if tab else None
            if before is not None and before is not session:
                session.inherit(before)
            if tab:
                self._tabs[tab] = session
            while len(self._tabs) > TABS:
                del self._tabs[next(iter(self._tabs))]
        return session

    def others_busy(self, session: Session) -> bool:
        """Whether another page has work waiting or running."""
        with self._lock:
            return any(other.busy for other in self._sessions.values() if other is not session)

    def forget(self, key: str | None) -> None:
        """The page was closed: its work stops; only its tab may come back for the picture."""
        with self._lock:
            session = self._sessions.pop(key or "", None)
        if session:
            session.stop.set()
            session.ended, session.busy = session.busy, False
