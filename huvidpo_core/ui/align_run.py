"""An alignment as it is followed on the page: whether it helped, and the way to the pairs that tell."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from huvidpo_core.engine import RunFolder
from huvidpo_core.errors import UserError
from huvidpo_core.ui.align_round import PictureRound
from huvidpo_core.ui.align_view import look
from huvidpo_core.ui.run_follow import PRIVATE, RunFollow, Shown, called, same, visible
from huvidpo_core.ui.run_view import LATEST
from huvidpo_core.ui.work import told

# Prefer shows the pairs of this action, as soon as its player is there.
RATE_JS = """(action) => {
  const choose = (tries) => {
    const menu = document.querySelector('#rating [name=action]');
    if (!menu) return tries && setTimeout(choose, 100, tries - 1);
    menu.value = action; // also where it is: what waits there may have come after the pair that is open
    if (localStorage.huvidpoRater) menu.dispatchEvent(new Event('change', {bubbles: true}));
  };
  choose(100);
}"""


class AlignRun(RunFollow):
    """Parts and wiring of the view."""

    kind = "align"
    others = ("picture",)
    removal = "Remove the training {} and all it made? A LoRA that is in use stays."

    def place_outcome(self) -> None:
        """Whether it helped."""
        self.action = gr.Textbox(visible=False)  # carries what RATE_JS says
        with gr.Column(visible=False, elem_id="align-tried") as self.tried:
            gr.HTML("<h2>Did it help?</h2>")
            self.helped = gr.HTML("", elem_id="align-helped")
            with gr.Row(elem_classes="hv-tools"):
                self.rate = gr.Button(
                    "Rate them", variant="primary", visible=False, elem_id="align-rate", scale=0, min_width=140
                )
                self.round = gr.Button("Make a blind round", elem_id="align-round", scale=0, min_width=240)
                self.place_try()
                self.use = gr.Button("Use it", visible=False, elem_id="align-use", scale=0, min_width=110)
            self.pictures = PictureRound(self.engine)

    def parts(self, chosen: str, step: int) -> tuple[str, dict[str, Any]]:
        """See `align_view.look`."""
        return look(self.engine, chosen, step)

    def shown(self) -> list[Shown]:
        """And whether it helped."""
        return [
            *super().shown(),
            ("helped", self.helped, same),
            ("helped", self.tried, lambda helped: gr.Column(visible=bool(helped))),
            ("can_try", self.round, called),
            ("can_rate", self.rate, visible(gr.Button)),
            ("can_draw", self.pictures.panel, visible(gr.Column)),
            ("to_judge", self.pictures.look, to_judge),
            ("offered", self.try_it, lambda offered: gr.Button(visible=bool(offered))),
            ("can_use", self.use, lambda use: gr.Button(visible=use is not None, interactive=bool(use))),
        ]

    def made_by(self, chosen: str) -> dict[str, str]:
        """See `RunFollow.made_by`."""
        run = self.engine.trainings.find(chosen, self.kind, *self.others)
        if not (offered := self.parts(run.path.name, LATEST)[1]["offered"]):
            raise UserError("Create does not offer this LoRA any more. Press Use it again.")
        return offered

    # Doing

    def adopt(self, run: RunFolder) -> None:
        """Put the LoRA to use, with what the blind round said on its card."""
        pictures = run.asked()["kind"] == "picture"
        score = (self.engine.picture_rounds if pictures else self.engine.blind_rounds).score(run)
        rate = score.win_rate
        won = [rate.value, rate.low, rate.high] if rate else None
        tied = {"ties": score.ties} if score.ties else {}
        self.engine.trainings.adopt(run, more={"blind_round": {"pairs": score.rated, **tied, "win_rate": won}})

    # Wiring

    def begins(self, trigger: Any, begin: Callable[..., RunFolder], inputs: list[Any]) -> None:
        """Show the run that `begin` starts on an event."""
        self.wire_begin(trigger, lambda *values: begin(*values).path.name, inputs)

    def wire(self, tabs: gr.Tabs) -> None:
        """And the blind round; `tabs` are the page's."""
        super().wire()
        self.wire_act(self.round, self.engine.blind_rounds.make)
        self.used = self.wire_act(self.use, self.adopt).success  # what else may look again then
        self.pictures.wire(self.run, self.wire_look, self.helped.change)
        shown = self.rate.click(self.to_rate, self.run, [tabs, self.action], **PRIVATE)
        shown.success(None, self.action, js=RATE_JS, **PRIVATE)

    def to_rate(self, chosen: str) -> tuple[Any, str]:
        """The Prefer tab, and the action whose pairs are to be rated there."""
        with told():
            return gr.Tabs(selected="prefer"), self.engine.trainings.find(chosen).asked()["action"]


def to_judge(left: int | None) -> Any:
    """The way to the pairs of a round, where there is one; to be pressed next while some are left."""
    return gr.Button(visible=left is not None, variant="primary" if left else "secondary")
