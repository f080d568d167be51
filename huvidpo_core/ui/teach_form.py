"""The form that begins an action: what it is called, what the clips show, the clips themselves."""

import json
from collections.abc import Iterator
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine, Progress
from huvidpo_core.errors import UserError
from huvidpo_core.ui import teach_draft as draft_of
from huvidpo_core.ui import teach_words as said
from huvidpo_core.ui import words
from huvidpo_core.ui.remarks import PAUSE_JS
from huvidpo_core.ui.run_words import LR_STEP, whole
from huvidpo_core.ui.session import Draft, Sessions
from huvidpo_core.ui.words import message, progress_bar
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
# The last choice is answered last.
IN_TURN = PRIVATE | {"concurrency_id": "teach-needs", "concurrency_limit": 1}
EACH = PRIVATE | {"trigger_mode": "multiple"}  # none may be left out because another is still being answered
ENDINGS = [".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".txt"]
WORDS = 200  # characters that fill a gap
NAMELESS = "What is the action called? Give it a name, such as Ball bounce."
STRIP_JS = """
window.HuViDPO.strip(element, (clip) => trigger('leave', {clip}), (clip, words) => trigger('say', {clip, words}));
"""
# A press of the button may come before what was typed last has been sent.
GAPS_JS = """(gaps, ...values) => [JSON.stringify(Object.fromEntries(
    [...document.querySelectorAll('#teach-strip [data-clip] input')]
        .filter((field) => field.value !== field.getAttribute('value'))
        .map((field) => [field.closest('[data-clip]').dataset.clip, field.value]))), ...values]"""


class TeachForm:
    """Parts and wiring of the form. What was gathered is kept with the page's session: a reload, or a mistake, loses
    nothing."""

    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        self.engine, self.sessions, own = engine, sessions, engine.trainings.settings(kind="teach")
        with gr.Group(elem_classes="hv-card-group"):
            self.title = gr.Textbox(
                label="What the action is called", placeholder="Ball bounce", max_lines=1, max_length=80,
                elem_id="teach-title",
            )  # fmt: skip
            self.naming = gr.HTML("", elem_id="teach-naming")
            self.prompt = gr.Textbox(
                label="What the clips show", placeholder="a {} ball bounces", max_lines=3, elem_id="teach-prompt"
            )
            gr.HTML(f'<p class="hv-hint">{said.PROMPT_HINT}</p>', elem_id="teach-hint")
        self.files = gr.File(
            label="Clips: MP4s, GIFs, ...; 8 to 16 are good", file_count="multiple", file_types=ENDINGS, height=136,
            elem_id="teach-files",
        )  # fmt: skip
        self.strip = gr.HTML("", elem_id="teach-strip", js_on_load=STRIP_JS)
        self.remarks = gr.HTML("", elem_id="teach-remarks")
        with gr.Accordion("More settings", open=False, elem_id="teach-more"):
            presets = [("This profile's", ""), *((name, name) for name in engine.trainings.presets("teach"))]
            self.preset = gr.Dropdown(presets, value="", label="Preset", elem_id="teach-preset")
            self.preset_said = gr.HTML(said.settings_words(own), elem_id="teach-preset-said")
            with gr.Row():
                self.steps, self.lr, self.check_every = (
                    gr.Number(
                        value, label=label, step=step, info=info, elem_id=f"teach-{name}", min_width=110
                    )
                    for name, value, label, step, info in (
                        ("steps", own.steps, "Steps", 1, "more: closer to the clips"),
                        ("lr", own.lr, "Learning rate", LR_STEP, "above 0"),
                        ("check", own.check_every, "A check every", 1, "steps, with sample clips"),
                    )
                )  # fmt: skip
            self.name = gr.Textbox(
                label="Name in files", info="Letters, digits, _ and -; made from the title if empty", max_lines=1,
                elem_id="teach-name",
            )  # fmt: skip
        self.needs = gr.HTML("", elem_id="teach-needs")
        self.start = gr.Button("Teach it", variant="primary", elem_id="teach-start")
        self.gaps = gr.Textbox(visible=False)  # carries what GAPS_JS says
        self._wire()

    # Gathering

    def bring(self, request: gr.Request, files: list[str] | None, prompt: str | None) -> Iterator[list[Any]]:
        """Clips were dropped: the empty dropping place, the strip, the remarks; a bar until all have been looked at."""
        draft = self._draft(request)
        draft.prompt = prompt or draft.prompt
        draft_of.bring(draft, files or [])
        yield [None, gr.skip(), gr.skip()]
        clips = draft_of.clips(draft)
        for number, clip in enumerate(clips):
            yield [gr.skip(), gr.skip(), progress_bar(Progress(f"looking at {clip.name}", number, len(clips)))]
            with told():
                draft_of.glance(self.engine, clip)
        yield [gr.skip(), *self._show(draft, draft.prompt)]  # it may have been written meanwhile

    def leave(self, request: gr.Request, event: gr.EventData, prompt: str | None) -> list[Any]:
        """A clip is left out, or all: the strip, the remarks."""
        draft = self._draft(request)
        if key := str(event._data.get("clip") or ""):
            draft_of.leave(draft, key)
        else:
            draft.files, draft.words = [], {}
        return self._show(draft, prompt)

    def say(self, request: gr.Request, event: gr.EventData, prompt: str | None) -> str:
        """A gap was filled: the remarks. The strip stays, for the next gap is being filled."""
        draft = self._draft(request)
        draft_of.say(draft, str(event._data.get("clip")), str(event._data.get("words"))[:WORDS])
        return self._show(draft, prompt)[1]

    def reword(self, request: gr.Request, prompt: str | None) -> list[Any]:
        """The prompt was changed: the strip, the remarks."""
        draft = self._draft(request)
        draft.prompt = prompt or ""
        return self._show(draft, prompt)

    def rename(self, request: gr.Request, title: str | None, name: str | None) -> str:
        """The name was changed: what it would be called."""
        self._draft(request).title = title or ""
        return self._naming(title, name)

    def refresh(self, request: gr.Request, title: str | None, name: str | None, prompt: str | None) -> list[Any]:
        """The tab was opened, perhaps after a reload: title, prompt, what it would be called, strip, remarks."""
        draft = self._draft(request)
        fields = [
            gr.skip() if typed or not kept else kept for typed, kept in ((title, draft.title), (prompt, draft.prompt))
        ]
        return [*fields, self._naming(title or draft.title, name), *self._show(draft, prompt or draft.prompt)]

    def _naming(self, title: str | None, name: str | None) -> str:
        if not (title or "").strip() and not name:
            return ""
        try:
            return said.naming_words(self.engine.trainings.naming(title or "", (name or "").strip()))
        except UserError as error:
            return message(str(error), "error")

    def _show(self, draft: Draft, prompt: str | None) -> list[Any]:
        with told():
            cards, notes, why = draft_of.look(self.engine, draft, prompt or "")
        return [said.strip(cards), said.remarks(cards, notes, why)]

    def _draft(self, request: gr.Request) -> Draft:
        return self.sessions.of(request.session_hash).draft

    # Beginning

    def begin(
        self, request: gr.Request, gaps: str | None, title: str | None, prompt: str | None, name: str | None,
        preset: str, steps: float | None, lr: float | None, check_every: float | None,
    ) -> str:  # fmt: skip
        """Start a training, None being as the preset says; its run's name. What was gathered stays. Raises
        `gr.Error`."""
        draft, trainings = self._draft(request), self.engine.trainings
        with told():
            for key, shown in json.loads(gaps or "{}").items():
                draft_of.say(draft, key, str(shown)[:WORDS])
        with told(), draft_of.in_words(draft) as files:
            if not (title or "").strip() and not (name or "").strip():
                raise UserError(NAMELESS)
            naming = trainings.naming(title or "", (name or "").strip())
            run = trainings.teach(
                naming.action, files, prompt or "", title=naming.title, preset=preset,
                steps=whole("Steps", steps), lr=lr, check_every=whole("A check every", check_every),
            )  # fmt: skip
            return run.path.name

    @property
    def inputs(self) -> list[Any]:
        """What `begin` takes; the first comes from GAPS_JS."""
        return [self.gaps, self.title, self.prompt, self.name, self.preset, self.steps, self.lr, self.check_every]

    def fill(self, preset: str) -> list[Any]:
        """What a preset says: the memory it takes, in words, steps, learning rate, steps between checks."""
        with told():
            settings = self.engine.trainings.settings(preset, "teach")
            needs = words.hint(self.engine.trainings.needs(settings))
        return [needs, said.settings_words(settings), settings.steps, settings.lr, settings.check_every]

    def estimate(self, preset: str, needs: str | None) -> Any:
        """How much memory it takes, where that has not been said yet: it is found in seconds."""
        try:
            return gr.skip() if needs else self.fill(preset)[0]
        except gr.Error as error:  # nobody has pressed anything yet
            return words.hint(error.message)

    # Wiring

    def _wire(self) -> None:
        shown, pause = [self.strip, self.remarks], PRIVATE | {"trigger_mode": "always_last", "js": PAUSE_JS}
        self.files.upload(self.bring, [self.files, self.prompt], [self.files, *shown], **EACH)
        self.strip.leave(self.leave, self.prompt, shown, **EACH)
        self.strip.say(self.say, self.prompt, self.remarks, **EACH)
        self.prompt.change(self.reword, self.prompt, shown, **pause)
        gr.on([self.title.change, self.name.change], self.rename, [self.title, self.name], self.naming, **pause)
        filled = [self.needs, self.preset_said, self.steps, self.lr, self.check_every]
        self.preset.input(self.fill, self.preset, filled, **IN_TURN)

    def wire_refresh(self, trigger: Any) -> None:
        """Run `refresh` and `estimate` on an event of the page."""
        trigger(
            self.refresh, [self.title, self.name, self.prompt],
            [self.title, self.prompt, self.naming, self.strip, self.remarks], **PRIVATE,
        )  # fmt: skip
        trigger(self.estimate, [self.preset, self.needs], self.needs, **IN_TURN)
