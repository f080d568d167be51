"""A blind round of first frames: drawn, shown two by two without names, the better one pressed, or neither."""

import threading
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine, Look, Progress
from huvidpo_core.ui import words
from huvidpo_core.ui.errand import Errand
from huvidpo_core.ui.few import PICK_JS, picked
from huvidpo_core.ui.prefer_ballots import read_rater
from huvidpo_core.ui.run_words import many
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
RATER_JS = "(run) => [run, localStorage.huvidpoRater || 'me']"
AGAIN_JS = """(run, rater, shown) =>
    [run, localStorage.huvidpoRater || 'me', shown.includes('hv-message') ? 'said' : '']"""
HUSH_JS = "(shown) => shown.includes('hv-message') ? '' : shown"
PICK_RATER_JS = "(run, pick) => [run, pick, localStorage.huvidpoRater || 'me']"
"""Who looks: the name that was given in Prefer."""
ALL_SEEN = "You have judged every pair of the round. Draw more to be surer."
MORE_COME = "You have judged every pair that is there. The next is being drawn."
NO_ROUND = "There is no round yet. Draw one first."


class PictureRound:
    """Parts and wiring, for the run that is followed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with gr.Column(visible=False, elem_id="round") as self.panel:
            with gr.Row(elem_classes="hv-tools"):
                self.draw = gr.Button("Draw a blind round", elem_id="round-draw", scale=0, min_width=240)
                self.look = gr.Button("Judge the pairs", visible=False, elem_id="round-look", scale=0, min_width=180)
                self.errand = Errand("round", [self.draw])
            self.errand.show()
            self.pair = gr.HTML("", elem_id="round-pair", js_on_load=PICK_JS)

    def make(self, stop: threading.Event, run: str) -> Iterator[Progress | str]:
        """Progress, then how many pairs there are. Raises UserError, Stopped."""
        for item in self.engine.picture_rounds.make(self.engine.trainings.find(run, "picture"), stop):
            said = words.message(f"{many(item, 'pair')} can be told apart.") if isinstance(item, int) else item
            yield said

    def show(self, run: str, rater: str) -> str:
        """The next pair for this rater."""
        with told():
            found, rounds = self.engine.trainings.find(run, "picture"), self.engine.picture_rounds
            if look := rounds.next(found, read_rater(rater)):
                return pair(look)
            if rounds.drawing(found):
                return words.message(MORE_COME)
            return words.message(ALL_SEEN if rounds.score(found).pairs else NO_ROUND)

    def again(self, run: str, rater: str, said: str) -> Any:
        """The next pair where something was `said` in place of one, for there may be one by now."""
        return self.show(run, rater) if said else gr.skip()

    def choose(self, run: str, pick: str, rater: str) -> str:
        """Keep what was pressed, OFFER/SIDE or OFFER/neither; the pair after it."""
        with told():
            offer, _, side = pick.partition("/")
            found = self.engine.trainings.find(run, "picture")
            self.engine.picture_rounds.choose(found, offer, side, read_rater(rater))
        return self.show(run, rater)

    def wire(self, run: gr.State, look: Any, changed: Any) -> None:
        """`run` is the one that is followed; `look(event)` has its view look again on an event; `changed` is the event
        of the round having changed."""
        look(self.errand.on(self.draw, self.make, [run]).then)
        rater, pick = gr.Textbox(visible=False), gr.Textbox(visible=False)
        self.draw.click(None, self.pair, self.pair, js=HUSH_JS, **PRIVATE)
        changed(self.again, [run, rater, self.pair], self.pair, js=AGAIN_JS, **PRIVATE)
        self.look.click(self.show, [run, rater], self.pair, js=RATER_JS, **PRIVATE)
        pressed = self.pair.select(picked, None, pick, **PRIVATE)
        look(pressed.then(self.choose, [run, pick, rater], self.pair, js=PICK_RATER_JS, **PRIVATE).success)
        run.change(lambda: "", None, self.pair, **PRIVATE)


def pair(look: Look) -> str:
    """Both pictures, to be pressed, and a button for neither."""
    cards = "".join(
        f'<button type="button" class="hv-card" data-pick="{look.offer}/{side}" aria-label="The {side} one is better">'
        f'<img src="{words.data_uri(picture)}" alt=""></button>'
        for side, picture in (("left", look.left), ("right", look.right))
    )
    return (
        f'<div class="hv-few"><div class="hv-grid">{cards}</div>'
        f'<p class="hv-hint">Which do you like better: {escape(look.prompt)}?</p>'
        f'<p><button type="button" class="hv-quiet" data-pick="{look.offer}/neither">No difference</button></p></div>'
    )
