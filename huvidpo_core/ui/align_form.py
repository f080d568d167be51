"""The form that begins a training: one button, and behind it the settings for those who want them."""

from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine, RunFolder
from huvidpo_core.preferences.judges import is_automatic
from huvidpo_core.ui import words
from huvidpo_core.ui.align_whose import Whose
from huvidpo_core.ui.align_words import KTO, rated_words, settings_words, supply_words
from huvidpo_core.ui.run_words import LR_STEP, whole
from huvidpo_core.ui.session import Sessions
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
# The last choice is answered last.
IN_TURN = PRIVATE | {"concurrency_id": "align-needs", "concurrency_limit": 1}
LOSSES = [
    ("As the preset says", ""),
    ("HuViDPO, one label for each clip", "huvidpo"),
    ("DenseDPO, a label for each frame", "dense"),
    ("DenseDPO, frames summed", "dense-sum"),
    ("Diffusion-KTO, clips rated alone", KTO),
]
EVERYBODY = "Everybody but automatic raters, if nobody is chosen"


class AlignForm:
    """Parts and wiring of the form."""

    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        self.engine = engine
        first, own = next(iter(engine.actions)), engine.trainings.settings()
        with gr.Group(elem_classes="hv-card-group"):
            self.action = gr.Dropdown(self._actions({}), value=first, label="Action", elem_id="align-action")
            self.whose = Whose(sessions, "align", "Whose votes", EVERYBODY, "aligned")
            self.raters, self.name = self.whose.fields
        self.supply = gr.HTML("", elem_id="align-supply")
        with gr.Accordion("More settings", open=False, elem_id="align-more"):
            presets = [("This profile's", ""), *((name, name) for name in engine.trainings.presets())]
            self.preset = gr.Dropdown(presets, value="", label="Preset", elem_id="align-preset")
            self.said = gr.HTML(settings_words(own), elem_id="align-preset-said")
            self.loss = gr.Dropdown(LOSSES, value=own.loss, label="Loss", elem_id="align-loss")
            with gr.Row():
                self.steps, self.beta, self.lr = (
                    gr.Number(
                        getattr(own, name), label=label, step=step, info=info, elem_id=f"align-{name}",
                        min_width=110,
                    )
                    for name, label, step, info in (
                        ("steps", "Steps", 1, "0: twelve passes"),
                        ("beta", "Beta", 1, "0: measured"),
                        ("lr", "Learning rate", LR_STEP, "above 0"),
                    )
                )  # fmt: skip
        self.needs = gr.HTML("", elem_id="align-needs")
        self.start = gr.Button("Align", variant="primary", elem_id="align-start")
        self._wire()

    @property
    def inputs(self) -> list[Any]:
        """What `begin` takes."""
        return [self.action, self.raters, self.name, self.preset, self.loss, self.steps, self.beta, self.lr]

    def begin(
        self, action: str, raters: list[str] | None, name: str | None, preset: str, loss: str, steps: float | None,
        beta: float | None, lr: float | None,
    ) -> RunFolder:  # fmt: skip
        """Start a training; None: as the preset says. Raises `gr.Error`."""
        with told():
            return self.engine.trainings.begin(
                action, preset, raters=raters or (), name=(name or "").strip(), loss=loss or None,
                steps=whole("Steps", steps), beta=beta, lr=lr,
            )  # fmt: skip

    def refresh(
        self, request: gr.Request, action: str, raters: list[str] | None, name: str | None, loss: str
    ) -> list[Any]:
        """Actions, raters, name, what there is to learn from, the button: as the votes are now. An action nobody has
        voted on gives way to the one with most votes."""
        with told():
            counts = self.engine.trainings.supply.counts()
            known = self.engine.trainings.supply.raters()
        if not counts.get(action) and counts:
            action = max(counts, key=lambda each: (each in self.engine.actions, counts[each]))
        chosen, fields = self.whose.restore(request, raters, name, known)
        return [
            gr.Dropdown(choices=self._actions(counts), value=action),
            *fields,
            *self.look(action, chosen, loss),
        ]

    def look(self, action: str, raters: list[str] | None, loss: str) -> list[Any]:
        """What there is for this loss to learn from, and the button."""
        supply = self.engine.trainings.supply
        with told():
            counted, whose = self._counted(action, raters, loss)
            stock = supply.rated_stock(action, counted) if loss == KTO else supply.stock(action, counted)
        title = self.engine.actions[action].title if action in self.engine.actions else action
        said = rated_words(stock, title, whose) if loss == KTO else supply_words(stock, title, whose)
        return [said, gr.Button(interactive=stock.enough)]

    def _counted(self, action: str, raters: list[str] | None, loss: str) -> tuple[list[str], list[str]]:
        """Whose votes count, as `Trainings.prepare` has it, everybody's if nobody is named; and how to say so."""
        supply, chosen = self.engine.trainings.supply, raters or []
        if chosen or loss == KTO:
            return chosen, chosen
        if counted := supply.counted(action):
            return counted, ["people"]
        machines = any(map(is_automatic, supply.raters())) and supply.stock(action).pairs
        return [], ["automatic raters"] if machines else []

    def fill(self, preset: str, loss: str = "") -> list[Any]:
        """What a preset says, with another loss in it if one is given: the memory it takes, in words, loss, steps,
        beta, learning rate."""
        with told():
            settings = self.engine.trainings.settings(preset, loss=loss or None)
            needs = words.hint(self.engine.trainings.needs(settings))
        return [needs, settings_words(settings), settings.loss, settings.steps, settings.beta, settings.lr]

    def exchange(self, preset: str, loss: str) -> list[Any]:
        """What goes with a loss that was chosen: the memory it takes, and the beta that is found for it."""
        needs, _, _, _, beta, _ = self.fill(preset, loss)
        return [needs, beta]

    def estimate(self, preset: str, loss: str, needs: str | None) -> Any:
        """How much memory it takes, where that has not been said yet: it is found in seconds."""
        try:
            return gr.skip() if needs else self.fill(preset, loss)[0]
        except gr.Error as error:  # nobody has pressed anything yet
            return words.hint(error.message)

    def _actions(self, counts: dict[str, int]) -> list[tuple[str, str]]:
        return [
            (f"{action.title} ({counts[name]} votes)" if counts.get(name, 0) > 1 else action.title, name)
            for name, action in self.engine.actions.items()
        ]

    def _wire(self) -> None:
        gr.on(
            [self.action.input, self.raters.input, self.loss.change], self.look,
            [self.action, self.raters, self.loss], [self.supply, self.start], trigger_mode="always_last", **PRIVATE,
        )  # fmt: skip
        filled = [self.needs, self.said, self.loss, self.steps, self.beta, self.lr]
        self.preset.input(self.fill, self.preset, filled, **IN_TURN)
        self.loss.input(self.exchange, [self.preset, self.loss], [self.needs, self.beta], **IN_TURN)

    def wire_refresh(self, trigger: Any) -> None:
        """Run `refresh` and `estimate` on an event of the page."""
        trigger(
            self.refresh, [self.action, *self.whose.fields, self.loss],
            [self.action, *self.whose.fields, self.supply, self.start], **PRIVATE,
        )  # fmt: skip
        trigger(self.estimate, [self.preset, self.loss, self.needs], self.needs, **IN_TURN)
