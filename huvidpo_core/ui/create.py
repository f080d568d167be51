"""The Create tab: which press does what. Handlers live in `work` and `clips`, the layout in `parts`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr
from gradio.events import Dependency

from huvidpo_core.engine import Engine
from huvidpo_core.ui import words
from huvidpo_core.ui.clips import PAGE, Clips
from huvidpo_core.ui.few import FewWork
from huvidpo_core.ui.memory import RATER_JS, READY_JS, TAB_JS, keep_js
from huvidpo_core.ui.menus import painter_menu
from huvidpo_core.ui.parts import Controls, bar_part, frame_part, motion_part, result_part, scene_part
from huvidpo_core.ui.remarks import PAUSE_JS, Remarks
from huvidpo_core.ui.session import Sessions, Wording
from huvidpo_core.ui.settings import Settings
from huvidpo_core.ui.work import View, Work, told

# Every handler of the page is its own business, not an endpoint.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
# Not for handlers that set a `gr.State`, whose change event needs the queue, nor for those that warn.
AT_ONCE = PRIVATE | {"queue": False}
GPU = PRIVATE | {"concurrency_id": "gpu", "concurrency_limit": 1}
ENDED = "The page was reloaded while something was being made, which ended that. Press the button again."
UNREAD = "The page's settings could not be read. Check the numbers, or clear the picture, and try again."


class Create:
    """The tab's parts and wiring; `wire_load` and `wire_reload` are for events of the page."""

    def __init__(self, engine: Engine, sessions: Sessions, blocked: Callable[[], bool]) -> None:
        self.engine, self.sessions, self.blocked = engine, sessions, blocked
        self.work, self.clips, self.remarks = Work(engine), Clips(engine), Remarks(engine, sessions, blocked)
        self.few = FewWork(engine, sessions, self.work)
        self.clip_id, self.limit = gr.State(""), gr.State(PAGE)
        with gr.Row(elem_classes="hv-columns"):
            with gr.Column(elem_classes="hv-left"):
                self.scene, self.frame, self.motion = scene_part(engine), frame_part(engine), motion_part(engine)
                self.bar = bar_part()
            with gr.Column(elem_classes="hv-right"):
                self.result = result_part()
        self.controls = Controls.gather(self.scene, self.motion)
        self._wire_scene()
        self._wire_work()
        self._wire_clips()
        self._wire_remarks()

    # Handlers that only this tab has

    def begin(self, request: gr.Request) -> list[Any]:
        """A button was pressed: clear the stop flag, show the bar and Stop, hold the other buttons."""
        session = self.sessions.of(request.session_hash)
        session.stop.clear()
        session.busy = True
        session.outcome = (UNREAD, "error")  # stands only if the work cannot even begin
        return [words.waiting_bar(self.sessions.others_busy(session)), *self._buttons(busy=True)]

    def halt(self, request: gr.Request) -> str:
        """Stop was pressed."""
        self.sessions.of(request.session_hash).stop.set()
        return words.stopping_bar()

    def settle(self, request: gr.Request, clip_id: str, *wording: str | None) -> list[Any]:
        """Work has ended, however it did: its last word, the buttons, what stands on the stage."""
        session = self.sessions.of(request.session_hash)
        session.busy = False
        stage, *_ = self.clips.show(session, clip_id)
        return [*self.remarks.on(session, Wording(*wording)), *self._buttons(busy=False), stage]

    def reuse(self, request: gr.Request) -> tuple[Any, Any]:
        """The last used seed, and no new ones."""
        seed = self.sessions.of(request.session_hash).last_seed
        if seed is None:
            gr.Info("No seed has been used yet: make a picture first.")
            return gr.skip(), gr.skip()
        return seed, False

    def reload(self, clip_id: str, limit: int, for_rating: bool, request: gr.Request) -> list[Any]:
        """What may have changed behind the page's back: clips, the buttons."""
        busy = self.sessions.of(request.session_hash).busy
        return [*self.clips.gallery(clip_id, limit, for_rating), *self._buttons(busy)]

    def remember(self, request: gr.Request, stored: Any, tab: str | None) -> list[Any]:
        """The page has loaded: what the browser remembers of the form, and this tab's picture and clip."""
        session = self.sessions.arrive(request.session_hash, tab)
        if session.ended:
            session.ended = False
            gr.Info(ENDED)
        return self.clips.remember(session, stored)

    def _buttons(self, busy: bool) -> list[Any]:
        free = not busy and not self.blocked()
        return [
            gr.Button(interactive=free),
            gr.Button(interactive=free),
            gr.Button(interactive=free),
            gr.Button(interactive=free, visible=not busy),
            gr.Button(visible=busy, interactive=True),
        ]

    # Wiring

    @property
    def _wording(self) -> list[Any]:
        return [self.controls.prompt, self.controls.action, self.controls.style]

    @property
    def _said(self) -> list[Any]:
        return [self.frame.note, self.bar.bar]

    @property
    def _view_parts(self) -> list[Any]:
        """In the order of a `View`'s fields."""
        frame = self.frame
        return [self.bar.bar, self.result.stage, frame.editor, frame.note, self.controls.seed, self.clip_id, frame.few]

    @property
    def _shown(self) -> list[Any]:
        result = self.result
        return [result.stage, result.details, result.recipe, result.links, result.confirm, result.score]

    @property
    def _restored(self) -> list[Any]:
        return [*self.controls.all(), self.scene.examples, self.frame.editor, self.frame.note]

    @property
    def _button_parts(self) -> list[Any]:
        return [self.frame.draw_few, self.frame.repaint, self.bar.draw, self.bar.animate, self.bar.stop]

    def wire_reload(self, trigger: Callable[..., Dependency]) -> None:
        """Run `reload` on an event of the page, and look what motions and painters there are. The motions' menu warns,
        so it waits in the queue; the buttons must not, or they would open again under work that has begun meanwhile."""
        inputs = [self.clip_id, self.limit, self.result.for_rating]
        outputs = [self.result.gallery, self.result.more, *self._button_parts]
        trigger(self.reload, inputs, outputs, **AT_ONCE).then(self.remarks.heed, self._wording, self._said, **AT_ONCE)
        menu = [self.controls.action, self.controls.pack]
        trigger(self.clips.pack_menu, menu, self.controls.pack, **PRIVATE)
        trigger(*self._painters, **AT_ONCE)

    def wire_try(
        self, button: gr.Button, found: Callable[[str], Mapping[str, str]], run: gr.State, tabs: gr.Tabs
    ) -> None:
        """A press shows this tab with what `found` tells of a run chosen: see `Clips.choose`."""
        controls = self.controls

        def try_out(request: gr.Request, run: str, now: str) -> list[Any]:
            with told():
                chosen = self.clips.choose(self.sessions.of(request.session_hash), found(run), now)
            return [gr.Tabs(selected="create"), *chosen]

        outputs = [
            tabs, controls.painter, controls.action, controls.pack, self.scene.examples, controls.prompt,
            self.frame.editor, self.frame.note,
        ]  # fmt: skip
        pressed = button.click(try_out, [run, controls.action], outputs, **PRIVATE)
        pressed.success(None, js="() => window.scrollTo({top: 0})", **PRIVATE)
        pressed.success(self.on_session(self.clips.show), self.clip_id, self._shown, **AT_ONCE)
        self.few.wire_show(pressed.success, self.frame.few)

    def wire_load(self, load: Callable[..., Dependency], stored: gr.BrowserState) -> None:
        """Fill the page from the browser's memory when it loads, and keep that memory up to date."""
        tab = gr.Textbox(visible=False)  # carries what TAB_JS says
        loaded = load(self.remember, [stored, tab], [*self._restored, self.clip_id], js=TAB_JS, **PRIVATE)
        self.wire_reload(loaded.then)
        loaded.then(self.on_session(self.clips.show), self.clip_id, self._shown, **AT_ONCE)
        self.few.wire_show(loaded.then, self.frame.few)
        loaded.then(None, js=READY_JS, **PRIVATE)
        controls = self.controls.all()
        gr.on(
            [control.change for control in controls], None, [stored, *controls], stored,
            js=keep_js(self.engine.profile.name), trigger_mode="always_last", **PRIVATE,
        )  # fmt: skip

    @property
    def _painters(self) -> tuple[Callable[[str], gr.Dropdown], gr.Dropdown, gr.Dropdown]:
        """How the menu of painters is brought up to date: what to call, with what, for what."""
        menu = self.controls.painter
        return lambda chosen: painter_menu(self.engine, chosen), menu, menu

    def _wire_scene(self) -> None:
        scene, controls = self.scene, self.controls
        scene.examples.click(lambda sample: sample[0], scene.examples, controls.prompt, **AT_ONCE)
        controls.action.input(
            self.clips.new_action, [controls.action, controls.prompt],
            [controls.pack, scene.examples, controls.prompt], **AT_ONCE,
        )  # fmt: skip
        scene.surprise.click(
            self.clips.surprise, None,
            [controls.prompt, controls.action, controls.style, controls.pack, scene.examples], **AT_ONCE,
        )  # fmt: skip
        # A motion that training has just finished is there when the menu is opened.
        controls.pack.focus(self.clips.pack_menu, [controls.action, controls.pack], controls.pack, **PRIVATE)
        self.motion.reuse.click(self.reuse, None, [controls.seed, controls.fresh], **AT_ONCE)
        controls.seed.input(lambda: False, None, controls.fresh, **AT_ONCE)
        # So is a painter that was trained meanwhile.
        controls.painter.focus(*self._painters, **AT_ONCE)
        self.motion.fetch.wire(self.engine, controls.painter, controls.pack)
        pace = [controls.steps, controls.guidance]
        controls.pack.input(self.clips.pace, [controls.pack, controls.sampler, *pace], pace, **AT_ONCE)
        controls.sampler.input(
            lambda sampler, pack: self.clips.usual(sampler, pack).steps, [controls.sampler, controls.pack],
            controls.steps, **AT_ONCE,
        )  # fmt: skip

    def _wire_work(self) -> None:
        frame, settings = self.frame, self.controls.all()
        self._long(self.bar.draw, self.work.draw, settings)
        self._long(frame.draw_few, self.few.draw, settings)
        chosen = self.few.wire(frame.few, self.result.rater, self._view_parts)
        chosen(self.on_session(self.clips.show), self.clip_id, self._shown, **AT_ONCE).success(
            self.remarks.heed, self._wording, self._said, **AT_ONCE
        )
        self._long(frame.repaint, self.work.repaint, [*settings, frame.editor])
        self._long(self.bar.animate, self.work.animate, [*settings, frame.editor])
        self.bar.stop.click(self.halt, None, self.bar.bar, **AT_ONCE)
        edit = [frame.editor, *self._wording]
        frame.editor.input(self.remarks.edited, edit, self._said, trigger_mode="always_last", **PRIVATE)
        frame.editor.clear(self.remarks.cleared, None, self._said, **AT_ONCE)
        uploaded = frame.upload.upload(
            self.remarks.uploaded, [frame.upload, *self._wording], [frame.editor, *self._said], **PRIVATE
        )
        self.few.wire_show(uploaded.success, frame.few)

    def _long(self, button: gr.Button, handler: Callable[..., Iterator[View]], inputs: list[Any]) -> None:
        result, bar, outputs = self.result, self.bar.bar, self._view_parts

        def run(request: gr.Request, *values: Any) -> Iterator[list[Any]]:
            session = self.sessions.of(request.session_hash)
            session.outcome = ("", "info")
            yield View().values()  # a failure before the first step must not be a generator that yields nothing
            count = len(Settings._fields)
            for view in handler(session, Settings(*values[:count]).in_step(self.engine), *values[count:]):
                yield view.values()

        pressed = button.click(self.begin, None, [bar, *self._button_parts], **AT_ONCE)
        done = pressed.then(run, inputs, outputs, **GPU)
        for ended in (done.success, done.failure):  # `then` does not follow a failed generator in Gradio 6.31
            ended(
                self.settle, [self.clip_id, *self._wording], [*self._said, *self._button_parts, result.stage], **AT_ONCE
            )  # fmt: skip

    def _wire_clips(self) -> None:
        result, heed = self.result, (self.remarks.heed, self._wording, self._said)
        changed = self.clip_id.change(self.on_session(self.clips.show), self.clip_id, self._shown, **AT_ONCE)
        grid = [self.clips.gallery, [self.clip_id, self.limit, result.for_rating], [result.gallery, result.more]]
        changed.then(*grid, **AT_ONCE)
        result.for_rating.input(*grid, **AT_ONCE)
        result.gallery.select(picked, None, self.clip_id, **PRIVATE).then(*heed, **AT_ONCE)
        result.more.click(lambda limit: limit + PAGE, self.limit, self.limit, **AT_ONCE).then(*grid, **AT_ONCE)
        result.gif.click(guarded(self.clips.gif), self.clip_id, result.gif_link, **PRIVATE).success(
            None, js="() => document.getElementById('gif-anchor').click()", **PRIVATE
        )
        rated = [self.clip_id, result.score, result.rater]
        result.score.input(guarded(self.clips.rate), rated, None, js=RATER_JS, **PRIVATE)
        result.delete.click(lambda: gr.Row(visible=True), None, result.confirm, **AT_ONCE)
        result.confirm_no.click(lambda: gr.Row(visible=False), None, result.confirm, **AT_ONCE)
        delete = result.confirm_yes.click(guarded(self.clips.delete), self.clip_id, self.clip_id, **PRIVATE)
        used = result.use.click(self.on_session(self.clips.use), self.clip_id, self._restored, **PRIVATE)
        opened = result.dropped.upload(self.on_session(self.clips.open), result.dropped, self._restored, **PRIVATE)
        for ended in (opened.success, opened.failure):
            ended(lambda: None, None, result.dropped, **AT_ONCE)
        for done in (delete.success, used.success, opened.success):
            done(*heed, **AT_ONCE)
            self.few.wire_show(done, self.frame.few)

    def _wire_remarks(self) -> None:
        """What the page says unasked, after a pause in typing."""
        pause = AT_ONCE | {"trigger_mode": "always_last", "js": PAUSE_JS}
        changes = [part.change for part in self._wording]
        gr.on(changes, self.remarks.reading, self._wording, self.scene.reading, **pause)
        gr.on(changes, self.remarks.heed, self._wording, self._said, **pause)

    def on_session(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """`handler(session, value)` as an event handler, its exceptions as sentences."""

        def handle(request: gr.Request, value: Any) -> Any:
            with told():
                return handler(self.sessions.of(request.session_hash), value)

        return handle


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler` with its exceptions as sentences."""

    def handle(*values: Any) -> Any:
        with told():
            return handler(*values)

    return handle


def picked(event: gr.EventData) -> str:
    """The id of the pressed card; whoever uses it asks the engine whether there is such a clip."""
    return str(event._data["id"])
