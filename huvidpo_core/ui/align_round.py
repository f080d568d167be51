"""A blind round of first frames: drawn, shown two by two without names, the better one pressed."""

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
PICK_RATER_JS = "(run, pick) => [run, pick, localStorage.huvidpoRater || 'me']"
"""Who looks: the name that was given in Prefer."""
ALL_SEEN = "You have judged every pair of the round. Draw more to be surer."


class PictureRound:
    """Parts and wiring, for the run that is followed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with gr.Column(visible=False, elem_id="round") as self.panel:
            with gr.Row(elem_classes="hv-tools"):
                self.draw = gr.Button("Draw a blind round", elem_id="round-draw", scale=0, min_width=200)
                self.look = gr.Button("Judge the pairs", elem_id="round-look", scale=0, min_width=180)
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
            found = self.engine.trainings.find(run, "picture")
            look = self.engine.picture_rounds.next(found, read_rater(rater))
            if look is None and not self.engine.picture_rounds.score(found).pairs:
                return words.message("There is no round yet. Draw one first.")
        return pair(look) if look else words.message(ALL_SEEN)

    def choose(self, run: str, pick: str, rater: str) -> str:
        """Keep what was pressed, OFFER/SIDE; the pair after it."""
        with told():
            offer, _, side = pick.partition("/")
            found = self.engine.trainings.find(run, "picture")
            self.engine.picture_rounds.choose(found, offer, side, read_rater(rater))
        return self.show(run, rater)

    def wire(self, run: gr.State, look: Any, other: Any) -> None:
        """`run` is the one that is followed; `look(event)` has its view look again on an event; `other` is the event of
        another being chosen."""
        look(self.errand.on(self.draw, self.make, [run]).then)
        rater, pick = gr.Textbox(visible=False), gr.Textbox(visible=False)
        self.look.click(self.show, [run, rater], self.pair, js=RATER_JS, **PRIVATE)
        pressed = self.pair.select(picked, None, pick, **PRIVATE)
        look(pressed.then(self.choose, [run, pick, rater], self.pair, js=PICK_RATER_JS, **PRIVATE).success)
        other(lambda: "", None, self.pair, **PRIVATE)


def pair(look: Look) -> str:
    """Both pictures, to be pressed."""
    cards = "".join(
        f'<button type="button" class="hv-card" data-pick="{look.offer}/{side}" aria-label="The {side} one is better">'
        f'<img src="{words.data_uri(picture)}" alt=""></button>'
        for side, picture in (("left", look.left), ("right", look.right))
    )
    return (
        f'<div class="hv-few"><div class="hv-grid">{cards}</div>'
        f'<p class="hv-hint">Which do you like better: {escape(look.prompt)}?</p></div>'
    )
