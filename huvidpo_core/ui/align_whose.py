"""What every alignment asks for first: whose judgements it learns from, and what to call it. What is filled in is kept
with the page's session: a reload loses nothing."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from huvidpo_core.engine import Kind
from huvidpo_core.ui.remarks import PAUSE_JS
from huvidpo_core.ui.session import Asked, Sessions

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


class Whose:
    """The fields `raters` and `name` of a kind of training, to be placed in its form."""

    def __init__(self, sessions: Sessions, kind: Kind, label: str, info: str, name: str) -> None:
        """`info` says who counts if nobody is chosen, `name` what it is called then."""
        self._sessions, self._kind = sessions, kind
        self.raters = gr.Dropdown([], value=[], multiselect=True, label=label, info=info, elem_id=f"{kind}-raters")
        self.name = gr.Textbox(
            label="Name of the LoRA", info="What Create calls it; may stay empty", placeholder=name, max_lines=1,
            elem_id=f"{kind}-name",
        )  # fmt: skip
        gr.on(
            [self.raters.input, self.name.input], self.keep, self.fields, None, trigger_mode="always_last", js=PAUSE_JS,
            **PRIVATE,
        )  # fmt: skip

    @property
    def fields(self) -> list[Any]:
        """What `keep` takes, and `restore` fills."""
        return [self.raters, self.name]

    def keep(self, request: gr.Request, raters: Sequence[str] | None, name: str | None) -> None:
        """One of the fields was changed."""
        self._sessions.of(request.session_hash).asked[self._kind] = Asked(tuple(raters or ()), name or "")

    def restore(
        self, request: gr.Request, raters: Sequence[str] | None, name: str | None, known: Sequence[str]
    ) -> tuple[list[str], list[Any]]:
        """The tab was opened, perhaps after a reload: who of those who are `known` is chosen, and the two fields."""
        kept = self._sessions.of(request.session_hash).asked.get(self._kind, Asked())
        chosen = [rater for rater in raters or kept.raters if rater in known]
        menu = gr.Dropdown(choices=list(known), value=chosen, multiselect=True)
        return chosen, [menu, gr.skip() if name else kept.name]
