"""The form that takes votes out as a dataset, and brings them in."""

import threading
from collections.abc import Iterator
from html import escape
from pathlib import Path

import gradio as gr

from huvidpo_core.engine import Engine, Progress
from huvidpo_core.media import MAX_FILE
from huvidpo_core.ui.errand import Errand
from huvidpo_core.ui.words import message, url

NOTHING_NEW = "Nothing is new: all of it is here already."
FIRST = "Choose what to bring in first: a .zip that Export made, or its votes.json with clips and pictures."
HINT = (
    "Clips, chosen first frames and votes as a Hugging Face <i>videofolder</i>, which "
    "<code>datasets.load_dataset</code> opens; with raters' names. Import takes the .zip, or votes.json with its clips "
    f"and pictures, and nothing comes in twice; up to {MAX_FILE / 2**20:,.0f} MB, larger ones with "
    "<code>python -m huvidpo_core import --input FOLDER</code>."
)


class ExchangeForm:
    """Parts and wiring of the form; `imported` is the event after votes came in."""

    def __init__(self, engine: Engine, actions: list[tuple[str, str]]) -> None:
        self.engine = engine
        gr.HTML(f'<p class="hv-hint">{HINT}</p>')
        with gr.Row(elem_classes="hv-line"):
            self.action = gr.Dropdown(
                actions, value="", label="Votes on", elem_id="exchange-action", scale=0, min_width=220
            )
            self.parquet = gr.Checkbox(
                label="With a parquet, as Diffusion-DPO's",
                elem_id="exchange-parquet",
                container=False,
                min_width=280,
                scale=0,
            )
            self.give = gr.Button("Export", variant="primary", elem_id="exchange-export", scale=0, min_width=150)
        self.take = gr.Button("Import", elem_id="exchange-import", scale=0, min_width=150, render=False)
        with gr.Row(elem_classes="hv-tools"):
            self.errand = Errand("exchange", [self.give, self.take])
        self.errand.show()
        self.files = gr.File(
            label="Dataset to bring in", file_count="multiple",
            file_types=[".zip", ".json", ".mp4", ".png"], height=140, elem_id="exchange-files",
        )  # fmt: skip
        with gr.Row(elem_classes="hv-tools"):
            self.take.render()
        self.errand.on(self.give, self.export, [self.action, self.parquet])
        self.imported = self.errand.on(self.take, self.bring, [self.files])
        self.imported.then(lambda: None, None, self.files, api_visibility="private", show_progress="hidden")

    def export(self, stop: threading.Event, action: str | None, parquet: bool) -> Iterator[Progress | str]:
        """Progress, then the link to the archive. Raises UserError, Stopped."""
        for item in self.engine.export_archive(stop, action or None, parquet=parquet):
            yield item if isinstance(item, Progress) else link(item)

    def bring(self, stop: threading.Event, files: list[str] | None) -> Iterator[Progress | str]:
        """Progress, then how many answers are new. Raises UserError, Stopped."""
        if not files:
            yield message(FIRST, "error")
            return
        for item in self.engine.import_votes([Path(file) for file in files], stop):
            yield item if isinstance(item, Progress) else message(news(item))


def news(answers: int) -> str:
    """How many votes, ratings and choices of first frames came in, as a sentence."""
    if not answers:
        return NOTHING_NEW
    return f"{answers:,} answer{' is' if answers == 1 else 's are'} new, and what they are about with them."


def link(archive: Path) -> str:
    """The finished archive, to be downloaded."""
    name, size = escape(archive.name, quote=True), archive.stat().st_size / 2**20
    return (
        f'<p class="hv-done" role="status">The dataset is ready: <a class="hv-button" id="exchange-link" '
        f'href="{url(archive)}" download="{name}">Download {name}</a> {size:,.1f} MB</p>'
    )
