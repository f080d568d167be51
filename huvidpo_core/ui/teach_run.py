"""An action being taught, as it is followed on the page, and the way from there to Create."""

from typing import Any

import gradio as gr

from huvidpo_core.errors import UserError
from huvidpo_core.ui.run_follow import RunFollow, Shown, same, visible
from huvidpo_core.ui.teach_view import look, whereabouts


class TeachRun(RunFollow):
    """And what was made."""

    kind = "teach"
    removal = "Remove the training {} and all it made? An action that Create offers stays there."

    def place_outcome(self) -> None:
        """What was made, and what can be done with it."""
        self.made = gr.HTML("", elem_id="teach-made")
        with gr.Row(elem_classes="hv-tools"):
            self.place_try()
            self.use = gr.Button("Put it to use", visible=False, elem_id="teach-use", scale=0, min_width=150)

    def made_by(self, chosen: str) -> dict[str, str]:
        """See `RunFollow.made_by`."""
        action, pack = whereabouts(self.engine, self.engine.trainings.find(chosen, self.kind))
        if not pack:
            raise UserError("Create does not offer this action any more. Put it to use again.")
        return {"action": action, "pack": pack}

    def parts(self, chosen: str, step: int) -> tuple[str, dict[str, Any]]:
        """See `teach_view.look`."""
        return look(self.engine, chosen, step)

    def shown(self) -> list[Shown]:
        """And what was made."""
        return [
            *super().shown(),
            ("made", self.made, same),
            ("can_try", self.try_it, visible(gr.Button)),
            ("can_use", self.use, visible(gr.Button)),
        ]

    def wire(self) -> None:
        """And put it to use."""
        super().wire()
        self.wire_act(self.use, self.engine.trainings.adopt)
