"""Handlers of what the page says unasked: the note on the picture, the sentence by the buttons, how words were read."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.media import read_image
from huvidpo_core.ui import words
from huvidpo_core.ui.notes import changed_notice, is_changed, origin_note, other_action, reading_hint
from huvidpo_core.ui.picture import EditorValue, painted
from huvidpo_core.ui.session import Session, Sessions, Wording
from huvidpo_core.ui.work import editor_value, told

NEED_MODELS = "The models are not on this machine yet. Agree to their download at the top of the page first."

# Before a handler of typing: while it waits, further typing only asks for one more run at the end.
PAUSE_JS = "(...values) => new Promise((done) => setTimeout(done, 400, values))"


class Remarks:
    """Each handler returns the note on the picture and the sentence by the buttons, unless it says otherwise."""

    def __init__(self, engine: Engine, sessions: Sessions, blocked: Callable[[], bool]) -> None:
        self.engine, self.sessions, self.blocked = engine, sessions, blocked

    def reading(self, *wording: str | None) -> str:
        """How the prompt's words are understood, beside what its action and style add."""
        asked = Wording(*wording)
        return reading_hint(self.engine.words(asked.prompt or "", asked.action, asked.style))

    def on(self, session: Session, wording: Wording) -> list[Any]:
        """The note on the picture, and what stands by the buttons while nothing runs: one sentence at most."""
        known = (self.engine.actions, self.engine.styles)
        changed = is_changed(session, wording, *known)
        note = origin_note(session, changed)
        if session.busy:
            return [note, gr.skip()]
        if self.blocked():
            return [note, words.message(NEED_MODELS)]
        if session.outcome[0]:
            return [note, words.message(*session.outcome)]
        if changed:
            return [note, changed_notice(session, *known)]
        return [note, words.message(other_action(wording.prompt or "", wording.action, self.engine.actions))]

    def heed(self, request: gr.Request, *wording: str | None) -> list[Any]:
        """The person did something, so the last word of earlier work has been read: the remarks without it."""
        session = self.sessions.of(request.session_hash)
        if not session.busy:
            session.outcome = ("", "info")
        return self.on(session, Wording(*wording))

    def edited(self, request: gr.Request, value: EditorValue, *wording: str | None) -> list[Any]:
        """The person painted, cropped or cleared; or the editor reports a picture that work has put into it. Then there
        is nothing to say: its report comes late, and would undo what was said about words typed meanwhile."""
        session = self.sessions.of(request.session_hash)
        try:
            picture = painted(value, self.engine.fit)
        except UserError as error:
            return [words.message(str(error), "error"), gr.skip()]
        if picture is None:
            session.put(None, "generated")
        elif not session.see(picture):
            return [gr.skip(), gr.skip()]
        return self.heed(request, *wording)

    def uploaded(self, request: gr.Request, file: str, *wording: str | None) -> list[Any]:
        """A picture was uploaded: refitted to the model's size, into the editor."""
        with told():
            picture = self.engine.fit(read_image(file))
        session = self.sessions.of(request.session_hash)
        session.put(picture, "uploaded")
        session.few = None
        return [editor_value(picture), *self.heed(request, *wording)]

    def cleared(self, request: gr.Request) -> list[Any]:
        """The picture was thrown away."""
        self.sessions.of(request.session_hash).put(None, "generated")
        return self.heed(request)
