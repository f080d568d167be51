"""A few first frames to choose from: seen together, one of them chosen into the editor. Which is liked best is kept,
and can train whoever draws them."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gradio as gr
from gradio.events import Dependency

from huvidpo_core.engine import Engine, Picture
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.recipe import is_own_painter
from huvidpo_core.ui import words
from huvidpo_core.ui.prefer_ballots import read_rater
from huvidpo_core.ui.session import Few, Session, Sessions
from huvidpo_core.ui.settings import Settings
from huvidpo_core.ui.work import View, Work, told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
NONE, DONE = "none", "done"  # in place of a picture's number
PICK_JS = """
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('[data-pick]');
  if (pressed) trigger('select', {pick: pressed.dataset.pick});
});
"""
WHO_JS = "(pick) => [pick, localStorage.huvidpoRater || 'me']"
"""Who chooses: the name that was given in Prefer."""


class FewWork:
    """Draw a few, choose one, for any session."""

    def __init__(self, engine: Engine, sessions: Sessions, work: Work) -> None:
        self.engine, self._sessions, self._work = engine, sessions, work

    def draw(self, session: Session, settings: Settings) -> Iterator[View]:
        """Draw them; each is shown as soon as it is done. What is done when Stop is pressed stays."""
        session.few = few = Few(settings.wording)
        with told(session):
            recipe = settings.recipe(settings.seed_for(session, picture_stays=False))
            try:
                with closing(self.engine.first_frames(recipe, session.stop)) as items:
                    for item in items:
                        if isinstance(item, Picture):
                            few.pictures.append(item)
                            session.last_seed, session.animated = item.recipe.seed, False
                            yield View(few=grid(few))
                        else:
                            yield self._work.progress(item)
            except Stopped:
                if not few.pictures:
                    raise
                session.outcome = ("Stopped. Choose from those that are done.", "info")
        few.done = True
        yield View(few=grid(few))

    def choose(self, session: Session, pick: str, rater: str) -> View:
        """Put a picture into the editor and write down that it is better than the others; or none of them."""
        with told():
            few = session.few
            if few is None or not few.done:
                raise UserError("These pictures are not there any more. Draw some new ones.")
            if pick == NONE and few.chosen is not None:
                self.engine.choose_no_first_frame(few.offer, read_rater(rater))
            if pick in (NONE, DONE):
                session.few = None
                return View(few="")
            if pick not in map(str, range(len(few.pictures))):
                raise UserError("There is no such picture. Choose one of those you see.")
            chosen, others = few.pick(int(pick))
            if others:
                self.engine.choose_first_frame(few.offer, read_rater(rater), chosen, others)
            few.chosen = int(pick)
            view = self._work.put(session, chosen, few.wording)
            view.few = grid(few)
            return view

    def wire(self, few: gr.HTML, rater: gr.Textbox, view: list[Any]) -> Callable[..., Dependency]:
        """Have the pictures answer to a press; `view` are the components of a `View`, `rater` carries who chooses. What
        it returns is the event of a choice."""

        def choose(pick: str, rater: str, request: gr.Request) -> list[Any]:
            return self.choose(self._sessions.of(request.session_hash), pick, rater).values()

        pick = gr.Textbox(visible=False)  # carries which was pressed
        pressed = few.select(picked, None, pick, **PRIVATE)
        return pressed.then(choose, [pick, rater], view, js=WHO_JS, **PRIVATE).success

    def wire_show(self, trigger: Callable[..., Dependency], few: gr.HTML) -> None:
        """Show what there is to choose from on an event of the page."""

        def shown(request: gr.Request) -> str:
            return grid(self._sessions.of(request.session_hash).few)

        trigger(shown, None, few, queue=False, **PRIVATE)


def grid(few: Few | None) -> str:
    """The pictures, to be pressed when all are there; nothing where there are none."""
    if few is None or not few.pictures:
        return ""
    off = "" if few.done else " disabled"
    cards = "".join(
        f'<button type="button" class="hv-card" data-pick="{number}" '
        f'aria-pressed="{str(number == few.chosen).lower()}" '
        f'aria-label="Choose picture {number + 1}"{off}><img src="{words.data_uri(picture.image)}" alt=""></button>'
        for number, picture in enumerate(few.pictures)
    )
    if not few.done:
        said = "You can choose when all are drawn."
    else:
        asked = "Which do you like best? " if few.chosen is None else ""
        again = "" if few.chosen is None else " You may choose another, which then counts in its place."
        said = f"{asked}Your choice is kept{_taught(few)}{again}"
    ends = {DONE: "Done", NONE: "None of these"} if few.chosen is not None else {NONE: "None of these"}
    buttons = "".join(
        f'<button type="button" class="hv-quiet" data-pick="{pick}">{title}</button>' for pick, title in ends.items()
    )
    return (
        f'<div class="hv-few"><div class="hv-grid">{cards}</div><p class="hv-hint">{said}</p>'
        f"{f'<p>{buttons}</p>' if few.done else ''}</div>"
    )


def _taught(few: Few) -> str:
    """What comes of a choice, to go on with."""
    if not is_own_painter(few.pictures[0].recipe.painter):
        return ", but teaches nothing: <b>Align</b> trains the profile's own painter, on pictures of its own."
    return ": <b>Align</b> can train the painter with it." if few.chosen is None else "."


def picked(event: gr.EventData) -> str:
    """Which was pressed; whoever uses it asks whether there is such a one."""
    return str(event._data["pick"])
