"""The LoRAs of an action: what is known of each, sample clips of one; renamed, deleted, sent and brought, merged and
compared. Those for first frames: all but the last three."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from huvidpo_core.engine import FIRST_FRAMES, Engine, Lora
from huvidpo_core.errors import UserError
from huvidpo_core.ui.align_words import lora_link, loras_table
from huvidpo_core.ui.run_words import samples
from huvidpo_core.ui.shown import shown
from huvidpo_core.ui.words import message
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
CHOOSE = "Choose a LoRA first."
PAIRS = 5  # made to compare two
# What is answered may lie below what is seen, for what stands above it grows.
SEE_JS = "() => setTimeout(() => document.querySelector('#loras-answered p')?.scrollIntoView({block: 'nearest'}), 50)"
OF_FIRST_FRAMES = ("First frames", FIRST_FRAMES)  # in the menu, before the actions


class LoraForm:
    """Parts and wiring."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        first = next(iter(engine.actions))
        titles = [(action.title, name) for name, action in engine.actions.items()]
        with gr.Row(elem_classes="hv-line"):
            self.action = gr.Dropdown(
                [OF_FIRST_FRAMES, *titles], value=first, label="LoRAs of", elem_id="loras-action", scale=0,
                min_width=220,
            )  # fmt: skip
            self.upload = gr.UploadButton(
                "Upload a .safetensors", file_types=[".safetensors"], size="sm", elem_id="loras-upload", scale=0,
                min_width=190,
            )  # fmt: skip
        self.table = gr.HTML("", elem_id="loras-table")
        with gr.Row(elem_classes="hv-line"):
            self.lora = gr.Dropdown([], value=None, label="LoRA", elem_id="loras-lora", min_width=200)
            self.name = gr.Textbox(label="New name", max_lines=1, elem_id="loras-name", min_width=140)
            self.rename = gr.Button("Rename", size="sm", elem_id="loras-rename", scale=0, min_width=90)
            self.send = gr.Button("Download", size="sm", elem_id="loras-download", scale=0, min_width=100)
            self.delete = gr.Button("Delete", size="sm", elem_id="loras-delete", scale=0, min_width=80)
        self.said = gr.HTML("", elem_id="loras-said")
        with gr.Row(visible=False, elem_id="loras-confirm", elem_classes="hv-tools") as self.confirm:
            gr.HTML("<p role='alert'>Delete this LoRA for good? What was made with it stays.</p>")
            self.yes = gr.Button("Delete it", variant="stop", size="sm", elem_id="loras-yes", min_width=90, scale=0)
            self.no = gr.Button("Keep it", size="sm", elem_id="loras-no", min_width=90, scale=0)
        self.clips = gr.HTML("", elem_id="loras-clips")
        with gr.Row(elem_classes="hv-line") as self.comparing:
            self.one = gr.Dropdown([], value=None, label="One model", elem_id="loras-one", min_width=170)
            self.other = gr.Dropdown([], value=None, label="The other", elem_id="loras-other", min_width=170)
            self.compare = gr.Button(
                f"Compare in {PAIRS} blind pairs", size="sm", elem_id="loras-compare", scale=0, min_width=190
            )
        self.answered = gr.HTML("", elem_id="loras-answered")  # here, for the sample clips above fill the screen
        with gr.Row(elem_classes="hv-line", visible=False) as self.merging:
            self.weight, self.weight_other = (
                gr.Slider(0, 1.5, 0.5, step=0.05, label=f"Weight of {which}", buttons=[], elem_id=f"loras-weight-{n}",
                          min_width=150)
                for n, which in enumerate(("one", "the other"), start=1)
            )  # fmt: skip
            self.merged = gr.Textbox(label="Name of both together", max_lines=1, elem_id="loras-merged", min_width=150)
            self.merge = gr.Button("Merge", size="sm", elem_id="loras-merge", scale=0, min_width=90)
        self.link = gr.HTML("", elem_id="loras-link", elem_classes="hv-offscreen")
        self._wire()

    def open(self, action: str, run: str) -> str:
        """The action to begin with: that of the run that is followed, else the first that has LoRAs."""
        with told():
            runs = self.engine.trainings.runs("align", "picture")
            known = [*self.engine.actions, FIRST_FRAMES]
            followed = [each.asked()["action"] or FIRST_FRAMES for each in runs if each.path.name == run]
            action, *_ = [
                *(each for each in followed if each in known),
                *(each for each in known if self.engine.loras.list(each)),
                action,
            ]
        return action

    def ask(self, lora: str | None) -> list[Any]:
        """The question before one is deleted."""
        with told():
            _chosen(lora)
        return [gr.Row(visible=True), ""]

    def refresh(self, action: str) -> list[Any]:
        """The table, the three menus and a LoRA's sample clips, as the files are now; and what can be done here."""
        with told():
            found, moves = self.engine.loras.list(action), action != FIRST_FRAMES
            packs = self.engine.packs(action) if moves else []
        mine, all_ = [(lora.name, lora.id) for lora in found], [(choice.title, choice.id) for choice in packs]
        ids = [id_ for _, id_ in all_] or [None]
        one, other = (found[-1].id, ids[0]) if found and moves else (ids[0], ids[-1])
        return [
            loras_table(found, moves),
            gr.Dropdown(choices=mine, value=mine[-1][1] if mine else None),
            gr.Dropdown(choices=all_, value=one),
            gr.Dropdown(choices=all_, value=other),
            self.look(action, mine[-1][1] if mine else None),
            gr.UploadButton(visible=moves),
            gr.Row(visible=moves),
            gr.Row(visible=moves and mergeable(found)),
        ]

    def look(self, action: str, lora: str | None) -> str:
        """The sample clips of a LoRA of this action; nothing where it has none."""
        with told():
            found = next((each for each in self.engine.loras.list(action) if each.id == lora), None)
            clips = shown(found.samples, self.engine.data) if found else {}
        return samples(clips, max(clips)) if clips else ""

    def do_rename(self, lora: str | None, name: str) -> str:
        """Give it another name; what to say."""
        with told():
            self.engine.loras.rename(_chosen(lora), name)
        return message(f"It is called {name.strip()} now.")

    def do_delete(self, lora: str | None) -> str:
        """Delete it; what to say."""
        with told():
            self.engine.loras.delete(_chosen(lora))
        return message("It is deleted.")

    def do_send(self, lora: str | None) -> str:
        """A link to its file; the page presses it at once."""
        with told():
            return lora_link(self.engine.loras.copy_out(_chosen(lora)))

    def do_bring(self, file: str, action: str) -> str:
        """Take an uploaded LoRA in; what to say."""
        with told():
            lora = self.engine.loras.bring(Path(file), action)
        return message(f"It fits, and is in the menus as “{self._title(action, lora)}”.")

    def do_merge(
        self, action: str, one: str, other: str, weight: float, weight_other: float, name: str
    ) -> str:  # fmt: skip
        """Make one of two; what to say."""
        with told():
            lora = self.engine.loras.merge([one, other], [weight, weight_other], name)
        return message(f"Both together are in the menus as “{self._title(action, lora)}”.")

    def do_compare(self, action: str, one: str, other: str) -> str:
        """Have pairs of two models made; what to say."""
        with told():
            self.engine.blind_rounds.compare(action, one, other, PAIRS)
        title = self.engine.actions[action].title
        return message(f"{PAIRS} pairs are being made. Rate them in Prefer, under {title}; it ranks the models too.")

    def _title(self, action: str, lora: str) -> str:
        """What the menus call it."""
        return next((each.title for each in self.engine.loras.list(action) if each.id == lora), lora)

    def _wire(self) -> None:
        parts = self._parts
        for press in (
            self.rename.click, self.send.click, self.merge.click, self.compare.click, self.action.input,
            self.lora.input, self.upload.click,
        ):  # fmt: skip
            press(None, None, [self.said, self.answered], js="() => ['', '']", **PRIVATE)  # at once, in the page
            press(lambda: gr.Row(visible=False), None, self.confirm, **PRIVATE)
        self.action.input(self.refresh, self.action, parts, **PRIVATE)
        self.lora.input(self.look, [self.action, self.lora], self.clips, **PRIVATE)
        changes = [
            self.rename.click(self.do_rename, [self.lora, self.name], self.said, **PRIVATE),
            self.yes.click(self.do_delete, self.lora, self.said, **PRIVATE),
            self.upload.upload(self.do_bring, [self.upload, self.action], self.said, **PRIVATE),
            self.merge.click(
                self.do_merge, [self.action, self.one, self.other, self.weight, self.weight_other, self.merged],
                self.answered, **PRIVATE,
            ),
        ]  # fmt: skip
        for changed in changes:
            changed.success(self.refresh, self.action, parts, **PRIVATE)
        self.changed = [changed.success for changed in changes]  # what else may look again then
        self.compare.click(self.do_compare, [self.action, self.one, self.other], self.answered, **PRIVATE)
        self.answered.change(None, js=SEE_JS, **PRIVATE)
        self.send.click(self.do_send, self.lora, self.link, **PRIVATE).success(
            None, js="() => document.querySelector('#loras-link a').click()", **PRIVATE
        )
        self.delete.click(self.ask, self.lora, [self.confirm, self.said], **PRIVATE)
        for button in (self.yes, self.no):
            button.click(lambda: gr.Row(visible=False), None, self.confirm, **PRIVATE)

    def wire_open(self, trigger: Any, run: gr.State) -> None:
        """Begin with the action of the run that is followed on an event of the page."""
        opened = trigger(self.open, [self.action, run], self.action, **PRIVATE)
        opened.success(self.refresh, self.action, self._parts, **PRIVATE)

    def wire_refresh(self, trigger: Any) -> None:
        """Look at the files again on an event of the page."""
        trigger(self.refresh, self.action, self._parts, **PRIVATE)

    @property
    def _parts(self) -> list[Any]:
        """What `refresh` fills."""
        menus = [self.lora, self.one, self.other]
        return [self.table, *menus, self.clips, self.upload, self.comparing, self.merging]


def mergeable(loras: Sequence[Lora]) -> bool:
    """Whether two of them stand beside one action pack."""
    packs = [lora.id.partition("/")[0] for lora in loras]
    return len(set(packs)) < len(packs)


def _chosen(lora: str | None) -> str:
    if not lora:
        raise UserError(CHOOSE)
    return lora
