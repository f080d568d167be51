"""The form that begins a training of whoever draws the first frames, on choices made in Create."""

from typing import Any

import gradio as gr

from huvidpo_core.engine import BEGINNING, Engine, RunFolder
from huvidpo_core.ui import words
from huvidpo_core.ui.align_whose import Whose
from huvidpo_core.ui.align_words import settings_words
from huvidpo_core.ui.run_words import LR_STEP, many, whole
from huvidpo_core.ui.session import Sessions
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
# The last choice is answered last.
IN_TURN = PRIVATE | {"concurrency_id": "picture-needs", "concurrency_limit": 1}
NO_CHOICES = (
    "No first frame has been chosen from others yet. In Create, with the profile's own painter, press Four to choose "
    "from, and choose."
)


class PictureForm:
    """Parts and wiring of the form."""

    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        self.engine, own = engine, engine.trainings.settings(kind="picture")
        with gr.Group(elem_classes="hv-card-group"):
            self.whose = Whose(sessions, "picture", "Whose choices", "Everybody's, if nobody is chosen", "liked")
            self.raters, self.name = self.whose.fields
        self.supply = gr.HTML("", elem_id="picture-supply")
        with gr.Accordion("More settings", open=False, elem_id="picture-more"):
            presets = [("This profile's", ""), *((name, name) for name in engine.trainings.presets("picture"))]
            self.preset = gr.Dropdown(presets, value="", label="Preset", elem_id="picture-preset")
            self.said = gr.HTML(settings_words(own), elem_id="picture-preset-said")
            with gr.Row():
                self.steps = gr.Number(
                    own.steps, label="Steps", step=1, info="0: twelve passes", elem_id="picture-steps",
                    min_width=110,
                )  # fmt: skip
                self.lr = gr.Number(
                    own.lr, label="Learning rate", step=LR_STEP, info="above 0", elem_id="picture-lr", min_width=110
                )
        self.needs = gr.HTML("", elem_id="picture-needs")
        self.start = gr.Button("Align", variant="primary", interactive=False, elem_id="picture-start")
        self.raters.input(self.look, self.raters, [self.supply, self.start], trigger_mode="always_last", **PRIVATE)
        filled = [self.needs, self.said, self.steps, self.lr]
        self.preset.input(self.fill, self.preset, filled, **IN_TURN)

    @property
    def inputs(self) -> list[Any]:
        """What `begin` takes."""
        return [self.raters, self.name, self.preset, self.steps, self.lr]

    def begin(
        self, raters: list[str] | None, name: str | None, preset: str, steps: float | None, lr: float | None
    ) -> RunFolder:
        """Start a training; None: as the preset says. Raises `gr.Error`."""
        with told():
            return self.engine.picture_trainings.begin(
                preset, raters=raters or (), name=(name or "").strip(), steps=whole("Steps", steps), lr=lr
            )

    def fill(self, preset: str) -> list[Any]:
        """What a preset says: the memory it takes, in words, steps, learning rate."""
        with told():
            settings = self.engine.trainings.settings(preset, "picture")
            needs = words.hint(self.engine.trainings.needs(settings, "picture"))
        return [needs, settings_words(settings), settings.steps, settings.lr]

    def estimate(self, preset: str, needs: str | None) -> Any:
        """How much memory it takes, where that has not been said yet: it is found in seconds."""
        try:
            return gr.skip() if needs else self.fill(preset)[0]
        except gr.Error as error:  # nobody has pressed anything yet
            return words.hint(error.message)

    def refresh(self, request: gr.Request, raters: list[str] | None, name: str | None) -> list[Any]:
        """Raters, name, what there is to learn from, the button: as the choices are now."""
        with told():
            known = self.engine.picture_trainings.raters()
        chosen, fields = self.whose.restore(request, raters, name, known)
        return [*fields, *self.look(chosen)]

    def look(self, raters: list[str] | None) -> list[Any]:
        """What there is to learn from, and the button."""
        with told():
            count = self.engine.picture_trainings.stock(raters or ())
        return [words.message(supply_words(count)), gr.Button(interactive=count > 0)]

    def wire_refresh(self, trigger: Any) -> None:
        """Run `refresh` on an event of the page."""
        fields = self.whose.fields
        trigger(self.refresh, fields, [*fields, self.supply, self.start], **PRIVATE)

    def wire_estimate(self, trigger: Any) -> None:
        """Run `estimate` on an event of the page."""
        trigger(self.estimate, [self.preset, self.needs], self.needs, **IN_TURN)


def supply_words(count: int) -> str:
    """How many choices there are, and whether that is enough."""
    if not count:
        return NO_CHOICES
    said = f"That is little; {BEGINNING} are a beginning" if count < BEGINNING else "Enough to begin with"
    return f"{many(count, 'choice')} of a first frame from several. {said}."
