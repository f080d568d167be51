"""What a choice takes that is not on this machine yet, and a button to agree to its being fetched."""

from typing import Any

import gradio as gr

from huvidpo_core.config import Download
from huvidpo_core.engine import Engine
from huvidpo_core.ui import words

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
TITLE = "What you chose needs models that are not on this machine yet"


class Fetch:
    """A panel that is seen only while something is missing that nobody has agreed to."""

    def __init__(self, element_id: str) -> None:
        with gr.Column(visible=False, elem_id=element_id, elem_classes="hv-fetch") as self.panel:
            self.listing = gr.HTML("")
            self.agree = gr.Button("I agree, download", size="sm", elem_id=f"{element_id}-agree")

    def wire(self, engine: Engine, *choices: Any) -> None:
        """Follow these menus of painters and motions."""

        settled: set[Download] = set()  # agreed to, on whichever page

        def missing(*chosen: str | None) -> list[Download]:
            usual = engine.missing_downloads()  # these are asked for at the top of the page
            return [item for item in engine.missing_downloads(*(each or "" for each in chosen)) if item not in usual]

        def look(*chosen: str | None) -> list[Any]:
            found = [item for item in missing(*chosen) if item not in settled]
            return [gr.Column(visible=bool(found)), words.downloads(found, TITLE) if found else ""]

        def agreed(*chosen: str | None) -> Any:
            settled.update(missing(*chosen))
            engine.allow_downloads(*(each or "" for each in chosen))
            gr.Info("Agreed. It is fetched when it is first needed.")
            return gr.Column(visible=False)

        shown = [self.panel, self.listing]
        gr.on([menu.change for menu in choices], look, list(choices), shown, **PRIVATE)
        self.agree.click(agreed, list(choices), self.panel, **PRIVATE)
