"""The long handlers of the Create tab: draw, repaint, animate. Generators of what the page shows at each step.

A handler leaves its last word in `session.outcome`; the page is put back in order after it by `Create.settle`, which
runs whether the work succeeded, failed or was stopped.
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from huvidpo_core.engine import Clip, Engine, Picture, Progress
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.ui import words
from huvidpo_core.ui.notes import is_changed, origin_note
from huvidpo_core.ui.picture import EditorValue, marked, painted
from huvidpo_core.ui.session import Session, Wording
from huvidpo_core.ui.settings import Settings

log = logging.getLogger(__name__)

UNEXPECTED = "Something went wrong on our side and was written to the log. Try again; if it persists, restart the app."


@dataclass
class View:
    """New values for the parts of the page that long work fills; a part that is not named stays as it is."""

    bar: Any = field(default_factory=gr.skip)
    stage: Any = field(default_factory=gr.skip)
    editor: Any = field(default_factory=gr.skip)
    note: Any = field(default_factory=gr.skip)
    seed: Any = field(default_factory=gr.skip)
    clip_id: Any = field(default_factory=gr.skip)
    few: Any = field(default_factory=gr.skip)

    def values(self) -> list[Any]:
        """In the order of the fields, as Gradio wants them."""
        return [getattr(self, part.name) for part in fields(self)]


@contextmanager
def told(session: Session | None = None) -> Iterator[None]:
    """Turn exceptions into sentences: with a session its outcome, which stands by the buttons, else a `gr.Error`."""
    try:
        yield
    except Stopped:
        if session:
            kept = "Nothing was kept" if session.picture is None else "The first frame is kept"
            session.outcome = (f"Stopped. {kept}.", "info")
    except Exception as error:
        if not isinstance(error, UserError):
            log.exception("unexpected")
        sentence = str(error) if isinstance(error, UserError) else UNEXPECTED
        if session is None:
            raise gr.Error(sentence, print_exception=False) from error
        session.outcome = (sentence, "error")


class Work:
    """Draw, repaint and animate for any session."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def draw(self, session: Session, settings: Settings) -> Iterator[View]:
        """Draw the first frame into the editor."""
        with told(session):
            yield from self._draw(session, settings)

    def repaint(self, session: Session, settings: Settings, value: EditorValue) -> Iterator[View]:
        """Draw anew what the person's strokes cover."""
        with told(session):
            picture, mask = marked(value, self.engine.fit)
            if picture is None:
                raise UserError("There is no picture yet. Press First frame, or upload a picture.")
            recipe = settings.recipe(settings.seed_for(session, picture_stays=False))
            made = yield from self._follow(self.engine.repaint(recipe, picture, mask, session.stop))
            if session.picture is None:
                session.put(made.image, "edited", painter=made.recipe.painter)
            session.retouch(made.image)
            yield self._shown(session, made)

    def animate(self, session: Session, settings: Settings, value: EditorValue) -> Iterator[View]:
        """Animate the edited picture; with an empty editor, draw the picture first."""
        with told(session):
            picture = painted(value, self.engine.fit)
            if picture is None:
                recipe = yield from self._draw(session, settings)
                picture = session.picture
            else:
                recipe = settings.recipe(settings.seed_for(session, picture_stays=True))
            origin = session.origin_of(picture)
            if origin == "generated" and is_changed(session, settings.wording, self.engine.actions, self.engine.styles):
                origin = "kept"
            recipe = settings.recipe(recipe.seed).with_(origin=origin, painter=session.painter)
            clip = yield from self._follow(self.engine.animate(recipe, picture, session.stop))
            session.last_seed, session.animated = clip.recipe.seed, True
            yield View(stage=words.stage_clip(clip), seed=clip.recipe.seed, clip_id=clip.id)

    def _draw(self, session: Session, settings: Settings) -> Iterator[View]:
        """Draw the picture and put it into the editor; returns its recipe."""
        recipe = settings.recipe(settings.seed_for(session, picture_stays=False))
        made = yield from self._follow(self.engine.first_frame(recipe, session.stop))
        view = self.put(session, made, settings.wording)
        session.few, view.few = None, ""  # this picture is not one of those
        yield view
        return made.recipe

    def put(self, session: Session, made: Picture, wording: Wording) -> View:
        """A picture that was drawn from these words goes into the editor."""
        session.put(made.image, "generated", wording, made.recipe.painter)
        return self._shown(session, made)

    def _shown(self, session: Session, made: Picture) -> View:
        """A new picture in the editor."""
        session.last_seed, session.animated = made.recipe.seed, False
        return View(editor=editor_value(made.image), note=origin_note(session), seed=made.recipe.seed, clip_id="")

    def _follow(self, items: Iterator[Progress | Picture | Clip]) -> Iterator[View]:
        """Show the progress of engine work; returns its last item. Leaving the page ends the work."""
        shown = None
        with closing(items):
            for item in items:
                if not isinstance(item, Progress):
                    return item
                yield self.progress(item, shown)
                shown = shown if item.preview is None else item.preview
        raise RuntimeError("the engine ended without a result")

    def progress(self, item: Progress, shown: np.ndarray | None = None) -> View:
        """How far engine work is, and what there is to see of it but for what is `shown` already."""
        view = View(bar=words.progress_bar(item))
        if item.preview is not None and item.preview is not shown:
            view.stage = words.stage_preview(item.preview)
        return view


def editor_value(picture: np.ndarray) -> dict[str, Any]:
    """A picture as the editor's value, with nothing painted on it."""
    image = Image.fromarray(picture)
    return {"background": image, "layers": [], "composite": image}
