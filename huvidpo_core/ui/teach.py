"""The Teach tab: what stands where. An action is begun by `teach_form`, followed by `teach_run` until it is there."""

from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine
from huvidpo_core.ui.session import Sessions
from huvidpo_core.ui.teach_form import GAPS_JS, TeachForm
from huvidpo_core.ui.teach_import import ImportForm
from huvidpo_core.ui.teach_run import TeachRun
from huvidpo_core.ui.teach_taught import TaughtForm


class Teach:
    """The tab's parts and wiring; `wire` is for events of the page, `changed` are events after which there are other
    actions than before."""

    def __init__(self, engine: Engine, sessions: Sessions, local: bool = False) -> None:
        with gr.Row(elem_classes="hv-columns"):
            with gr.Column(elem_classes="hv-left"):
                self.form = TeachForm(engine, sessions)
                runs = gr.Column()
            with gr.Column(elem_classes="hv-right"):
                self.run = TeachRun(engine)
        with runs:
            self.run.place_list()
        with gr.Accordion("Actions taught", open=False, elem_id="taught") as self.panel:
            self.taught = TaughtForm(engine)
        with gr.Accordion("Bring a published checkpoint", open=False, elem_id="published") as self.brought_panel:
            self.brought = ImportForm(engine, local)
        self.changed = [*self.taught.changed, self.brought.ended.then]

    def wire(self, opened: Any) -> None:
        """`opened` is the event of this tab being opened."""
        self.form.wire_refresh(opened)
        self.run.wire_look(opened)
        self.run.wire()
        self.taught.wire_refresh(self.panel.expand)
        self.brought.wire_refresh(self.brought_panel.expand)
        for changed in self.taught.changed:
            self.run.wire_look(changed)
        self.run.wire_begin(self.form.start.click, self.form.begin, self.form.inputs, js=GAPS_JS)
