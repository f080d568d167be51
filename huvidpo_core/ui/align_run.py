"""A run as it is followed on the page: its parts, what a press does, and the clock that reads its files."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine, RunFolder
from huvidpo_core.ui.align_view import LATEST, check_choices, fresh, look
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
EVERY = 2  # seconds between two looks at a run that is going on
PICK_JS = """
element.addEventListener('click', (event) => {
  const row = event.target.closest('[data-run]');
  if (row) trigger('select', {run: row.dataset.run});
});
"""
# Prefer shows the pairs of this action, as soon as its player is there.
RATE_JS = """(action) => {
  const choose = (tries) => {
    const menu = document.querySelector('#rating [name=action]');
    if (!menu) return tries && setTimeout(choose, 100, tries - 1);
    if (menu.value === action) return;
    menu.value = action;
    if (localStorage.huvidpoRater) menu.dispatchEvent(new Event('change', {bubbles: true}));
  };
  choose(100);
}"""


class AlignRun:
    """Parts and wiring of the view. Everything is read from the runs' files, so a reload shows what there is."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.run, self.seen = gr.State(""), gr.State({})
        self.clock = gr.Timer(EVERY, active=False)
        self.action = gr.Textbox(visible=False)  # carries what RATE_JS says
        self.head = gr.HTML("", elem_id="align-head")
        with gr.Row(elem_classes="hv-tools"):
            self.stop = gr.Button("Stop", variant="stop", visible=False, elem_id="align-stop", scale=0, min_width=110)
            self.resume = gr.Button("Resume", visible=False, elem_id="align-resume", scale=0, min_width=120)
            self.remove = gr.Button("Remove", visible=False, elem_id="align-remove", scale=0, min_width=110)
        with gr.Row(visible=False, elem_id="align-confirm", elem_classes="hv-tools") as self.confirm:
            gr.HTML("<p role='alert'>Remove this training and all it made, but not a LoRA that is in use?</p>")
            self.remove_yes = gr.Button(
                "Remove it", variant="stop", size="sm", elem_id="align-remove-yes", min_width=100, scale=0
            )
            self.remove_no = gr.Button("Keep it", size="sm", elem_id="align-remove-no", min_width=90, scale=0)
        with gr.Column(visible=False, elem_id="align-tried") as self.tried:
            gr.HTML("<h2>Did it help?</h2>")
            self.helped = gr.HTML("", elem_id="align-helped")
            with gr.Row(elem_classes="hv-tools"):
                self.rate = gr.Button(
                    "Rate them", variant="primary", visible=False, elem_id="align-rate", scale=0, min_width=140
                )
                self.round = gr.Button("Make a blind round", elem_id="align-round", scale=0, min_width=240)
                self.use = gr.Button("Use it", visible=False, elem_id="align-use", scale=0, min_width=110)
        with gr.Column(visible=False, elem_id="align-course") as self.course:
            gr.HTML("<h2>Course</h2>")
            self.plots = gr.HTML("", elem_id="align-plots")
            with gr.Row(elem_classes="hv-head"):
                gr.HTML("<h2>Sample clips</h2>", min_width=130)
                self.check = gr.Dropdown(
                    check_choices(()), value=LATEST, show_label=False, container=False, elem_id="align-check",
                    scale=0, min_width=150, filterable=False,
                )  # fmt: skip
            self.clips = gr.HTML("", elem_id="align-clips")

    def place_list(self) -> None:
        """All runs, placed here."""
        gr.HTML("<h2>Trainings</h2>")
        self.list = gr.HTML("", elem_id="align-runs", js_on_load=PICK_JS)

    # Looking

    def look(self, chosen: str, step: int | None, seen: dict[str, str]) -> list[Any]:
        """The chosen run, what was seen of it, and new values for the parts that changed since."""
        with told():
            chosen, parts = look(self.engine, chosen, LATEST if step is None else step)
        changed, marks = fresh(parts, seen or {})
        return [chosen, marks, *self._updates(parts, changed)]

    def _updates(self, parts: dict[str, Any], changed: set[str]) -> list[Any]:
        """In the order of `_outputs`; a part that did not change is left alone, so that its clips play on."""
        use = parts["can_use"]
        updates = {
            "list": lambda: parts["list"],
            "head": lambda: parts["head"],
            "can_stop": lambda: gr.Button(visible=parts["can_stop"]),
            "can_resume": lambda: gr.Button(parts["can_resume"], visible=bool(parts["can_resume"])),
            "can_remove": lambda: gr.Button(visible=parts["can_remove"]),
            "shown": lambda: gr.Column(visible=parts["shown"]),
            "plots": lambda: parts["plots"],
            "checks": lambda: gr.Dropdown(choices=check_choices(parts["checks"])),
            "clips": lambda: parts["clips"],
            "helped": lambda: parts["helped"],
            "can_try": lambda: gr.Button(parts["can_try"], visible=bool(parts["can_try"])),
            "can_rate": lambda: gr.Button(visible=parts["can_rate"]),
            "can_use": lambda: gr.Button(visible=use is not None, interactive=bool(use)),
            "live": lambda: gr.Timer(active=parts["live"]),
        }
        values = [make() if name in changed else gr.skip() for name, make in updates.items()]
        return [*values, gr.Column(visible=bool(parts["helped"])) if "helped" in changed else gr.skip()]

    @property
    def _inputs(self) -> list[Any]:
        return [self.run, self.check, self.seen]

    @property
    def _outputs(self) -> list[Any]:
        return [
            self.run, self.seen, self.list, self.head, self.stop, self.resume, self.remove, self.course, self.plots,
            self.check, self.clips, self.helped, self.round, self.rate, self.use, self.clock, self.tried,
        ]  # fmt: skip

    # Doing

    def act(self, work: Callable[[RunFolder], Any]) -> Callable[[str], None]:
        """`work` on the chosen run as a handler, its exceptions as sentences."""

        def handle(chosen: str) -> None:
            with told():
                work(self.engine.trainings.find(chosen))

        return handle

    def adopt(self, run: RunFolder) -> None:
        """Put the LoRA to use, with what the blind round said on its card."""
        score = self.engine.blind_rounds.score(run)
        rate = score.win_rate
        won = [rate.value, rate.low, rate.high] if rate else None
        self.engine.trainings.adopt(run, more={"blind_round": {"pairs": score.rated, "win_rate": won}})

    # Wiring

    def wire_look(self, trigger: Any) -> None:
        """Look on an event of the page."""
        trigger(self.look, self._inputs, self._outputs, **PRIVATE)

    def wire_begin(self, trigger: Any, begin: Callable[..., RunFolder], inputs: list[Any]) -> None:
        """Show the run that `begin` starts on an event."""
        begun = trigger(lambda *values: begin(*values).path.name, inputs, self.run, **PRIVATE)
        self.wire_look(begun.success)

    def wire(self, tabs: gr.Tabs) -> None:
        """Everything else, when all parts are placed; `tabs` are the page's."""
        trainings, rounds = self.engine.trainings, self.engine.blind_rounds
        self.wire_look(self.clock.tick)
        self.wire_look(self.check.input)
        picked = self.list.select(_picked, None, [self.run, self.check], **PRIVATE)
        self.wire_look(picked.then)
        for button, work in (
            (self.stop, lambda run: run.ask_to_stop()),
            (self.resume, trainings.start),
            (self.remove_yes, trainings.remove),
            (self.round, rounds.make),
            (self.use, self.adopt),
        ):
            self.wire_look(button.click(self.act(work), self.run, None, **PRIVATE).then)
        self.remove.click(lambda: gr.Row(visible=True), None, self.confirm, **PRIVATE)
        for button in (self.remove_yes, self.remove_no):
            button.click(lambda: gr.Row(visible=False), None, self.confirm, **PRIVATE)
        shown = self.rate.click(self.to_rate, self.run, [tabs, self.action], **PRIVATE)
        shown.success(None, self.action, js=RATE_JS, **PRIVATE)

    def to_rate(self, chosen: str) -> tuple[Any, str]:
        """The Prefer tab, and the action whose pairs are to be rated there."""
        with told():
            return gr.Tabs(selected="prefer"), self.engine.trainings.find(chosen).asked()["action"]


def _picked(event: gr.EventData) -> tuple[str, int]:
    """The run of the pressed row, with its latest clips; whoever uses it asks whether there is such a run."""
    return str(event._data["run"]), LATEST
