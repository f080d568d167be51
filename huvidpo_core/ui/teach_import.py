"""The form that brings a published checkpoint in: its files, the action it is of."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine, Progress
from huvidpo_core.errors import UserError
from huvidpo_core.media import MAX_FILE
from huvidpo_core.ui import teach_words as said
from huvidpo_core.ui.errand import Errand
from huvidpo_core.ui.menus import titles
from huvidpo_core.ui.words import message

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
HINT = (
    "A HuViDPO or LAMP checkpoint becomes an action: drop in what lies in its <code>unet/</code> folder. Only what "
    "differs from the base model is kept, and a forward pass proves that nothing was lost. Files that hold code are "
    f"refused. The page takes up to {MAX_FILE / 2**20:,.0f} MB a file; larger ones "
)
NEXT_TO_IT = "are read where they are, from a path."
COMMAND = "come in with <code>python -m huvidpo_core import-official</code>."
KINDS = [("HuViDPO", "first+previous"), ("LAMP (key frame 0 only)", "first")]
BOTH = "There is a file and a path as well. Leave one of them out."
NONE = "Bring the checkpoint first: the files of its unet/ folder."
STOPPED = "Stopped. Nothing was brought in."


class ImportForm:
    """Parts and wiring; `ended` is the event after a checkpoint was brought in, or was not. With `local` the page is
    seen on this machine only, and may name a folder of it."""

    def __init__(self, engine: Engine, local: bool) -> None:
        self.engine = engine
        gr.HTML(f'<p class="hv-hint">{HINT}{NEXT_TO_IT if local else COMMAND}</p>')
        places = []
        with gr.Row():
            with gr.Column(min_width=280):
                self.files = gr.File(
                    label="The checkpoint: config.json and its weights", file_count="multiple",
                    file_types=[".json", ".bin", ".safetensors"], height=140, elem_id="published-files",
                )  # fmt: skip
                if local:
                    places.append(place("or the path of its folder", "checkpoints/waterfall/unet", "published-folder"))
            with gr.Column(min_width=280):
                self.lora = gr.File(
                    label="Its preference LoRA, if there is one: model_weights.pth", height=140,
                    file_types=[".pth", ".safetensors"], elem_id="published-lora",
                )  # fmt: skip
                if local:
                    places.append(place("or the path of its file", "checkpoints/model_weights.pth", "published-file"))
        with gr.Row(elem_classes="hv-line"):
            self.title = gr.Dropdown(
                self._titles(), value=None, allow_custom_value=True, label="Action: one of these, or a new name",
                elem_id="published-action", min_width=220,
            )  # fmt: skip
            self.kind = gr.Radio(KINDS, value=KINDS[0][1], label="Trained as", elem_id="published-kind", min_width=260)
        self.naming = gr.HTML("", elem_id="published-naming")
        with gr.Row(elem_classes="hv-tools"):
            self.take = gr.Button("Bring it in", elem_id="published-take", scale=0, min_width=150)
            self.errand = Errand("published", [self.take], STOPPED)
        self.errand.show()
        inputs = [self.files, self.lora, self.title, self.kind, *places]
        self.ended = self.errand.on(self.take, self.bring, inputs)
        self.title.change(self.name, self.title, self.naming, trigger_mode="always_last", **PRIVATE)
        self.wire_refresh(self.ended.then)

    def bring(
        self, stop: threading.Event, files: list[str] | None, lora: str | None, title: str | None, kind: str,
        folder: str = "", lora_file: str = "",
    ) -> Iterator[Progress | str]:  # fmt: skip
        """Progress, then where the pack is. Raises UserError, Stopped."""
        paths, loras = brought(files or [], folder), brought([lora] if lora else [], lora_file)
        if not paths:
            raise UserError(NONE)
        naming = self.engine.trainings.naming(title or "")
        for item in self.engine.published.bring(
            paths, title or "", stop, lora=loras[0] if loras else None, key_frames=kind
        ):
            if isinstance(item, Progress):
                yield item
                continue
            motions = [each.title for each in self.engine.packs(naming.action) if each.id.partition("/")[0] == item]
            yield message(news(naming.title, motions))

    def name(self, title: str | None) -> str:
        """What the action would be called."""
        if not (title or "").strip():
            return ""
        try:
            return said.naming_words(self.engine.trainings.naming(title))
        except UserError as error:
            return message(str(error), "error")

    def refresh(self, title: str | None) -> list[Any]:
        """The menu as the actions are now, and what that one would be called."""
        return [gr.Dropdown(choices=self._titles(), value=title), self.name(title)]

    def _titles(self) -> list[str]:
        return [title for title, _ in titles(self.engine)]

    def wire_refresh(self, trigger: Any) -> None:
        """Run `refresh` on an event of the page."""
        trigger(self.refresh, self.title, [self.title, self.naming], **PRIVATE)


def place(label: str, example: str, element_id: str) -> gr.Textbox:
    """A field for a path of this machine."""
    return gr.Textbox(label=label.capitalize(), placeholder=example, max_lines=1, elem_id=element_id)


def brought(files: list[str], path: str) -> list[Path]:
    """What was dropped in, or the path that was typed, perhaps in the quotes it was copied with. Raises UserError for
    both at once."""
    path = path.strip().strip("\"'")
    if files and path:
        raise UserError(BOTH)
    return [Path(path).expanduser()] if path else [Path(file) for file in files]


def news(title: str, motions: list[str]) -> str:
    """What has been brought in, as a sentence."""
    there = " and ".join(f"“{motion}”" for motion in motions)
    return f"It is here and gives what the checkpoint gave: “{title}” in Create has {there} under Learnt motion."
