"""A run as it is followed on the page, whichever stage it is: its parts, what a press does, the clock that reads its
files. `align_run` and `teach_run` add what came of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from html import escape
from typing import Any, ClassVar

import gradio as gr
from gradio.events import Dependency

from huvidpo_core.engine import Engine, Kind, RunFolder
from huvidpo_core.ui.run_view import LATEST, check_choices, fresh
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
EVERY = 2  # seconds between two looks at a run that is going on
PICK_JS = """
element.addEventListener('click', (event) => {
  const row = event.target.closest('[data-run]');
  if (row) trigger('select', {run: row.dataset.run});
});
"""

Shown = tuple[str, Any, Callable[[Any], Any]]  # a part's name, the component that shows it, how


class RunFollow(ABC):
    """Parts and wiring of the view. Everything is read from the runs' files, so a reload shows what there is."""

    kind: ClassVar[Kind]
    others: ClassVar[tuple[Kind, ...]] = ()  # kinds that are followed beside it
    removal: ClassVar[str]  # the question before a run, {}, is removed

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        kind = self.kind
        self.run, self.seen, self.doomed = gr.State(""), gr.State({}), gr.State("")
        self.clock = gr.Timer(EVERY, active=False)
        self.head = gr.HTML("", elem_id=f"{kind}-head")
        with gr.Row(elem_classes="hv-tools"):
            self.stop = gr.Button("Stop", variant="stop", visible=False, elem_id=f"{kind}-stop", scale=0, min_width=110)
            self.resume = gr.Button("Resume", visible=False, elem_id=f"{kind}-resume", scale=0, min_width=120)
            self.remove = gr.Button("Remove", visible=False, elem_id=f"{kind}-remove", scale=0, min_width=110)
        with gr.Row(visible=False, elem_id=f"{kind}-confirm", elem_classes="hv-tools") as self.confirm:
            self.question = gr.HTML("")
            self.remove_yes = gr.Button(
                "Remove it", variant="stop", size="sm", elem_id=f"{kind}-remove-yes", min_width=100, scale=0
            )
            self.remove_no = gr.Button("Keep it", size="sm", elem_id=f"{kind}-remove-no", min_width=90, scale=0)
        self.place_outcome()
        with gr.Column(visible=False, elem_id=f"{kind}-course") as self.course:
            gr.HTML("<h2>Course</h2>")
            self.plots = gr.HTML("", elem_id=f"{kind}-plots")
            with gr.Row(elem_classes="hv-head"):
                gr.HTML("<h2>Samples</h2>", min_width=130)
                self.check = gr.Dropdown(
                    check_choices(()), value=LATEST, show_label=False, container=False, elem_id=f"{kind}-check",
                    scale=0, min_width=180, filterable=False,
                )  # fmt: skip
            self.clips = gr.HTML("", elem_id=f"{kind}-clips")

    def place_outcome(self) -> None:
        """What came of the run, placed between its buttons and its course."""
        return

    def place_try(self) -> None:
        """The way to Create, placed where it belongs; it leads to what `made_by` tells."""
        self.try_it = gr.Button(
            "Try it in Create", variant="primary", visible=False, elem_id=f"{self.kind}-try", scale=0, min_width=170
        )

    def place_list(self) -> None:
        """All runs, placed here, and why others are not among them."""
        gr.HTML("<h2>Trainings</h2>")
        self.list = gr.HTML("", elem_id=f"{self.kind}-runs", js_on_load=PICK_JS)
        self.unlisted = gr.HTML("", elem_id=f"{self.kind}-unlisted")

    # Looking

    @abstractmethod
    def parts(self, chosen: str, step: int) -> tuple[str, dict[str, Any]]:
        """The run that is shown, and what there is to see, by part: `run_view.look`, and `head`."""

    @abstractmethod
    def made_by(self, chosen: str) -> dict[str, str]:
        """What a finished run made, as Create's menus by name have it: the `action` and the `pack`, or the `painter`.
        Raises UserError when Create does not offer it."""

    def shown(self) -> list[Shown]:
        """Which part is shown where."""
        return [
            ("list", self.list, same),
            ("unlisted", self.unlisted, same),
            ("head", self.head, same),
            ("can_stop", self.stop, visible(gr.Button)),
            ("can_resume", self.resume, called),
            ("can_remove", self.remove, visible(gr.Button)),
            ("shown", self.course, visible(gr.Column)),
            ("plots", self.plots, same),
            ("checks", self.check, lambda checks: gr.Dropdown(choices=check_choices(*checks))),
            ("clips", self.clips, same),
            ("live", self.clock, lambda live: gr.Timer(active=live)),
        ]

    def look(self, chosen: str, step: int | None, seen: dict[str, str]) -> list[Any]:
        """The chosen run, what was seen of it, and new values for the parts that changed since: the others are left
        alone, so that clips play on."""
        with told():
            chosen, parts = self.parts(chosen, LATEST if step is None else step)
        changed, marks = fresh(parts, seen or {})
        return [chosen, marks, *(show(parts[name]) if name in changed else gr.skip() for name, _, show in self.shown())]

    @property
    def _inputs(self) -> list[Any]:
        return [self.run, self.check, self.seen]

    @property
    def _outputs(self) -> list[Any]:
        return [self.run, self.seen, *(component for _, component, _ in self.shown())]

    # Doing

    def act(self, work: Callable[[RunFolder], Any]) -> Callable[[str], None]:
        """`work` on the chosen run as a handler, its exceptions as sentences."""

        def handle(chosen: str) -> None:
            with told():
                work(self.engine.trainings.find(chosen, self.kind, *self.others))

        return handle

    def ask(self, chosen: str) -> tuple[str, str, Any]:
        """Before a run is removed: which one that will be, the question, and the row with it."""
        with told():
            asked = self.engine.trainings.find(chosen, self.kind, *self.others).asked()
        name = escape(asked.get("name") or asked.get("title") or chosen)
        return chosen, f"<p role='alert'>{self.removal.format(f'“{name}”')}</p>", gr.Row(visible=True)

    def beside(self) -> None:
        """Whoever begins a training while another is running is told what that means."""
        runs = self.engine.trainings.runs("align", "teach", "picture")
        if sum(run.state().status == "running" for run in runs) > 1:
            gr.Info("Another training is running, too. They take turns, so both take longer.")

    # Wiring

    def wire_look(self, trigger: Any) -> None:
        """Look on an event of the page."""
        trigger(self.look, self._inputs, self._outputs, **PRIVATE)

    def wire_begin(self, trigger: Any, begin: Callable[..., str], inputs: list[Any], js: str | None = None) -> None:
        """Show the run that `begin` starts on an event and names."""
        begun = trigger(begin, inputs, self.run, js=js, **PRIVATE)
        self.wire_look(begun.success)
        begun.success(self.beside, None, None, **PRIVATE)
        begun.success(None, js=show_js(self.kind), **PRIVATE)

    def wire(self) -> None:
        """Everything else, when all parts are placed."""
        self.wire_look(self.clock.tick)
        self.wire_look(self.check.input)
        picked = self.list.select(_picked, None, [self.run, self.check, self.doomed, self.confirm], **PRIVATE)
        self.wire_look(picked.then)
        picked.then(None, js=show_js(self.kind), **PRIVATE)
        self.wire_act(self.stop, lambda run: run.ask_to_stop())
        self.wire_act(self.resume, self.engine.trainings.start)
        self.wire_act(self.remove_yes, self.engine.trainings.remove, self.doomed)
        self.remove.click(self.ask, self.run, [self.doomed, self.question, self.confirm], **PRIVATE)
        for answered in (self.remove_yes.click, self.remove_no.click):
            answered(lambda: gr.Row(visible=False), None, self.confirm, **PRIVATE)
        self.run.change(_of_another, [self.run, self.doomed], self.confirm, **PRIVATE)
        # Another run may lack the step that was chosen, and Gradio refuses what is not in its menu.
        self.run.change(None, None, self.check, js=f"() => {LATEST}", **PRIVATE)

    def wire_act(self, button: gr.Button, work: Callable[[RunFolder], Any], run: gr.State | None = None) -> Dependency:
        """`work` on the chosen run, or another, when a button is pressed, then look. Returns the press."""
        pressed = button.click(self.act(work), run or self.run, None, **PRIVATE)
        self.wire_look(pressed.then)
        return pressed


def same(value: Any) -> Any:
    """A part that is its own update."""
    return value


def visible(kind: type) -> Callable[[bool], Any]:
    """A component of a kind, seen or not."""
    return lambda can: kind(visible=can)


def called(name: str) -> Any:
    """A button called so; none where it is called nothing."""
    return gr.Button(name, visible=bool(name))


def show_js(kind: str) -> str:
    """The page goes to the run: in one column it lies below what was pressed; beside it, perhaps above what is seen."""
    return f"""() => document.getElementById('{kind}-head')?.scrollIntoView(
        {{behavior: 'smooth', block: window.innerWidth < 900 ? 'start' : 'nearest'}})"""


def _of_another(shown: str, doomed: str) -> Any:
    """The question goes when another run is shown. News of the run it is about leave it; and so do those from before
    there was one, which may come after it."""
    return gr.skip() if doomed in ("", shown) else gr.Row(visible=False)


def _picked(event: gr.EventData) -> tuple[str, int, str, Any]:
    """The run of the pressed row, with its latest clips, and no question; whoever uses it asks whether there is such a
    run."""
    return str(event._data["run"]), LATEST, "", gr.Row(visible=False)
