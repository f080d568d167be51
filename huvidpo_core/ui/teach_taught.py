"""The actions that were taught here: given another title, deleted."""

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.ui.words import message
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
CHOOSE = "Choose an action first."
NONE_YET = '<p class="hv-nothing">None yet. What you teach can be renamed and deleted here.</p>'


class TaughtForm:
    """Parts and wiring; `changed` are events after which menus of actions are looked up anew."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.empty = gr.HTML("", elem_id="taught-empty")
        with gr.Row(elem_classes="hv-line"):
            self.pack = gr.Dropdown([], value=None, label="Action", elem_id="taught-action", min_width=170)
            self.title = gr.Textbox(
                label="New title", max_lines=1, max_length=80, elem_id="taught-title", min_width=140
            )
            self.rename = gr.Button("Rename", size="sm", elem_id="taught-rename", scale=0, min_width=90)
            self.delete = gr.Button("Delete", size="sm", elem_id="taught-delete", scale=0, min_width=80)
        self.said = gr.HTML("", elem_id="taught-said")
        with gr.Row(visible=False, elem_id="taught-confirm", elem_classes="hv-tools") as self.confirm:
            self.question = gr.HTML("", elem_id="taught-question")
            self.yes = gr.Button("Delete it", variant="stop", size="sm", elem_id="taught-yes", min_width=90, scale=0)
            self.no = gr.Button("Keep it", size="sm", elem_id="taught-no", min_width=90, scale=0)
        self.changed = self._wire()

    def refresh(self, chosen: str | None) -> list[Any]:
        """What to say where there is none, and the menu as the files are now."""
        with told():
            choices = [(f"{pack.title} ({pack.name})", pack.name) for pack in self.engine.taught.list()]
        names = [name for _, name in choices]
        value = chosen if chosen in names else next(iter(names), None)
        return ["" if names else NONE_YET, gr.Dropdown(choices=choices, value=value)]

    def do_rename(self, pack: str | None, title: str) -> str:
        """Give it another title; what to say."""
        with told():
            self.engine.taught.retitle(_chosen(pack), title)
        return message(f"It is called “{' '.join(title.split())}” now.")

    def ask(self, pack: str | None) -> list[Any]:
        """The question before it is deleted: what goes with it."""
        with told():
            loras = self.engine.taught.loras(_chosen(pack))
            title = next((each.title for each in self.engine.taught.list() if each.name == pack), "")
        return [question(title, loras), gr.Row(visible=True), ""]

    def do_delete(self, pack: str | None) -> str:
        """Delete it; what to say."""
        with told():
            self.engine.taught.remove(_chosen(pack))
        return message("It is deleted.")

    def _wire(self) -> list[Any]:
        self.delete.click(self.ask, self.pack, [self.question, self.confirm, self.said], **PRIVATE)
        for button in (self.yes, self.no, self.rename):
            button.click(lambda: gr.Row(visible=False), None, self.confirm, **PRIVATE)
        changed = [
            self.rename.click(self.do_rename, [self.pack, self.title], self.said, **PRIVATE),
            self.yes.click(self.do_delete, self.pack, self.said, **PRIVATE),
        ]
        for event in changed:
            self.wire_refresh(event.success)
        return [event.success for event in changed]

    def wire_refresh(self, trigger: Any) -> None:
        """Run `refresh` on an event of the page."""
        trigger(self.refresh, self.pack, [self.empty, self.pack], **PRIVATE)


def question(title: str, loras: Sequence[str]) -> str:
    """Whether an action of this title is to be deleted."""
    beside = f" Its LoRAs go with it: {', '.join(loras)}." if loras else ""
    return (
        f"<p role='alert'>Delete <b>{escape(title)}</b> for good?{escape(beside)} Clips that were made with it stay. "
        "A training that taught it can put it to use again, as long as that is there.</p>"
    )


def _chosen(pack: str | None) -> str:
    if not pack:
        raise UserError(CHOOSE)
    return pack
