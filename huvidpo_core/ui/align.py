"""The Align tab: what stands where. A training is begun by `align_form` or `align_pictures`,
followed by `align_run`, its LoRA kept by
`align_loras`."""

from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine
from huvidpo_core.ui.align_form import AlignForm
from huvidpo_core.ui.align_loras import LoraForm
from huvidpo_core.ui.align_pictures import PictureForm
from huvidpo_core.ui.align_run import AlignRun
from huvidpo_core.ui.session import Sessions


class Align:
    """The tab's parts and wiring; `wire` is for events of the page."""

    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        with gr.Row(elem_classes="hv-columns"):
            with gr.Column(elem_classes="hv-left"):
                self.what = gr.Radio(
                    [("The motion of an action", "align"), ("First frames", "picture")], value="align",
                    label="What to align", elem_id="align-what", elem_classes="hv-pills",
                )  # fmt: skip
                with gr.Column() as self.clips:
                    self.form = AlignForm(engine, sessions)
                with gr.Column(visible=False) as self.pictures:
                    self.picture_form = PictureForm(engine, sessions)
                runs = gr.Column()
            with gr.Column(elem_classes="hv-right"):
                self.run = AlignRun(engine)
        with runs:
            self.run.place_list()
        with gr.Accordion("LoRAs", open=False, elem_id="loras") as self.panel:
            self.loras = LoraForm(engine)

    def wire(self, tabs: gr.Tabs, opened: Any) -> None:
        """`tabs` are the page's, `opened` the event of this tab being opened."""
        self.form.wire_refresh(opened)
        self.run.wire_look(opened)
        self.loras.wire_open(self.panel.expand, self.run.run)
        for changed in self.loras.changed:
            self.run.wire_look(changed)
        self.run.wire(tabs)
        self.loras.wire_refresh(self.run.used)
        self.run.begins(self.form.start.click, self.form.begin, self.form.inputs)
        self.picture_form.wire_refresh(opened)
        self.run.begins(self.picture_form.start.click, self.picture_form.begin, self.picture_form.inputs)
        self.what.input(
            lambda what: [gr.Column(visible=what == "align"), gr.Column(visible=what == "picture")], self.what,
            [self.clips, self.pictures], api_visibility="private", show_progress="hidden", queue=False,
        )  # fmt: skip
        self.picture_form.wire_estimate(self.what.input)
