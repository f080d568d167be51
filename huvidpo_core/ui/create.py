"""The Create tab: which press does what. Handlers live in `work` and `clips`, the layout in `parts`."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.events import Dependency

from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.media import read_image
from huvidpo_core.ui import words
from huvidpo_core.ui.clips import PAGE, Clips
from huvidpo_core.ui.parts import Controls, bar_part, frame_part, motion_part, result_part, scene_part
from huvidpo_core.ui.picture import EditorValue, painted
from huvidpo_core.ui.session import Sessions
from huvidpo_core.ui.settings import Settings
from huvidpo_core.ui.work import View, Work, editor_value, told

# Every handler of the page is its own business, not an endpoint.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE = PRIVATE | {"queue": False}  # not for handlers that set a `gr.State`: its change event needs the queue
GPU = PRIVATE | {"concurrency_id": "gpu", "concurrency_limit": 1}
UNREAD = "The page's settings could not be read. Check the numbers, or clear the picture, and try again."
NEED_MODELS = "The models are not on this machine yet. Agree to their download at the top of the page first."


class Create:
    """The tab's parts and wiring; `reload` is for the page's load event."""

    def __init__(self, engine: Engine, sessions: Sessions, blocked: Callable[[], bool]) -> None:
        self.engine, self.sessions, self.blocked = engine, sessions, blocked
        self.work, self.clips = Work(engine), Clips(engine)
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

    # Handlers that only this tab has

    def begin(self, request: gr.Request) -> list[Any]:
        """A button was pressed: clear the stop flag, show the bar and Stop, hold the other buttons."""
        session = self.sessions.of(request.session_hash)
        session.stop.clear()
        session.busy = True
        session.outcome = (UNREAD, "error")  # stands only if the work cannot even begin
        return [words.waiting_bar(), *self._buttons(busy=True)]

    def halt(self, request: gr.Request) -> str:
        """Stop was pressed."""
        self.sessions.of(request.session_hash).stop.set()
        return words.stopping_bar()

    def settle(self, clip_id: str, request: gr.Request) -> list[Any]:
        """Work has ended, however it did: its last word, the buttons, what stands on the stage."""
        session = self.sessions.of(request.session_hash)
        session.busy = False
        stage, *_ = self.clips.show(session, clip_id)
        return [words.message(*session.outcome), *self._buttons(busy=False), stage]

    def edited(self, value: EditorValue, request: gr.Request) -> str:
        """The person painted, cropped or cleared: the note on the picture."""
        session = self.sessions.of(request.session_hash)
        try:
            picture = painted(value, self.engine.fit)
        except UserError as error:
            return words.message(str(error), "error")
        if picture is None:
            session.put(None, "generated")
        return words.origin_note(None if picture is None else session.origin_of(picture))

    def uploaded(self, file: str, request: gr.Request) -> tuple[Any, str]:
        """A picture was uploaded: refitted to the model's size, into the editor."""
        with told():
            picture = self.engine.fit(read_image(file))
        self.sessions.of(request.session_hash).put(picture, "uploaded")
        return editor_value(picture), words.origin_note("uploaded")

    def reuse(self, request: gr.Request) -> tuple[Any, Any]:
        """The last used seed, and no new ones."""
        seed = self.sessions.of(request.session_hash).last_seed
        if seed is None:
            gr.Info("No seed has been used yet: make a picture first.")
            return gr.skip(), gr.skip()
        return seed, False

    def reload(self, action: str, pack: str | None, clip_id: str, limit: int, request: gr.Request) -> list[Any]:
        """What may have changed behind the page's back: motions on disk, clips, the buttons."""
        busy = self.sessions.of(request.session_hash).busy
        bar = gr.skip() if busy else words.message(NEED_MODELS if self.blocked() else "")
        return [
            self.clips.pack_menu(action, pack)[0], *self.clips.gallery(clip_id, limit), bar, *self._buttons(busy)
        ]  # fmt: skip

    def _buttons(self, busy: bool) -> list[Any]:
        free = not busy and not self.blocked()
        return [
            gr.Button(interactive=free),
            gr.Button(interactive=free),
            gr.Button(interactive=free, visible=not busy),
            gr.Button(visible=busy, interactive=True),
        ]

    # Wiring

    @property
    def _button_parts(self) -> list[Any]:
        return [self.frame.repaint, self.bar.draw, self.bar.animate, self.bar.stop]

    def wire_reload(self, trigger: Callable[..., Dependency]) -> None:
        """Run `reload` on an event of the page."""
        inputs = [self.controls.action, self.controls.pack, self.clip_id, self.limit]
        outputs = [self.controls.pack, self.result.gallery, self.result.more, self.bar.bar, *self._button_parts]
        trigger(self.reload, inputs, outputs, **AT_ONCE)

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
        self.motion.refresh.click(
            lambda action, pack: self.clips.pack_menu(action, pack)[0], [controls.action, controls.pack],
            controls.pack, **AT_ONCE,
        )  # fmt: skip
        self.motion.reuse.click(self.reuse, None, [controls.seed, controls.fresh], **AT_ONCE)
        controls.seed.input(lambda: False, None, controls.fresh, **AT_ONCE)
        controls.sampler.input(
            lambda sampler: self.engine.defaults(sampler).steps, controls.sampler, controls.steps, **AT_ONCE
        )

    def _wire_work(self) -> None:
        frame, settings = self.frame, self.controls.all()
        self._long(self.bar.draw, self.work.draw, settings)
        self._long(frame.repaint, self.work.repaint, [*settings, frame.editor])
        self._long(self.bar.animate, self.work.animate, [*settings, frame.editor])
        self.bar.stop.click(self.halt, None, self.bar.bar, **AT_ONCE)
        frame.editor.input(self.edited, frame.editor, frame.note, trigger_mode="always_last", **PRIVATE)
        frame.editor.clear(lambda: words.origin_note(None), None, frame.note, **AT_ONCE)
        frame.upload.upload(self.uploaded, frame.upload, [frame.editor, frame.note], **PRIVATE)

    def _long(self, button: gr.Button, handler: Callable[..., Iterator[View]], inputs: list[Any]) -> None:
        frame, result, bar = self.frame, self.result, self.bar.bar
        outputs = [bar, result.stage, frame.editor, frame.note, self.controls.seed, self.clip_id]

        def run(request: gr.Request, *values: Any) -> Iterator[list[Any]]:
            session = self.sessions.of(request.session_hash)
            session.outcome = ("", "info")
            count = len(Settings._fields)
            for view in handler(session, Settings(*values[:count]).in_step(self.engine), *values[count:]):
                yield view.values()

        pressed = button.click(self.begin, None, [bar, *self._button_parts], **AT_ONCE)
        done = pressed.then(run, inputs, outputs, **GPU)
        for ended in (done.success, done.failure):  # `then` does not follow a failed generator in Gradio 6.31
            ended(self.settle, self.clip_id, [bar, *self._button_parts, result.stage], **AT_ONCE)

    def _wire_clips(self) -> None:
        result = self.result
        shown = [result.stage, result.details, result.recipe, result.links, result.confirm]
        changed = self.clip_id.change(self.on_session(self.clips.show), self.clip_id, shown, **AT_ONCE)
        grid = [self.clips.gallery, [self.clip_id, self.limit], [result.gallery, result.more]]
        changed.then(*grid, **AT_ONCE)
        result.gallery.select(picked, None, self.clip_id, **PRIVATE)
        result.more.click(lambda limit: limit + PAGE, self.limit, self.limit, **AT_ONCE).then(*grid, **AT_ONCE)
        result.gif.click(guarded(self.clips.gif), self.clip_id, result.gif_link, **PRIVATE).success(
            None, js="() => document.getElementById('gif-anchor').click()", **PRIVATE
        )
        result.delete.click(lambda: gr.Row(visible=True), None, result.confirm, **AT_ONCE)
        result.confirm_no.click(lambda: gr.Row(visible=False), None, result.confirm, **AT_ONCE)
        result.confirm_yes.click(guarded(self.clips.delete), self.clip_id, self.clip_id, **PRIVATE)
        restored = [*self.controls.all(), self.scene.examples, self.frame.editor, self.frame.note]
        result.use.click(self.on_session(self.clips.use), self.clip_id, restored, **PRIVATE)
        opened = result.dropped.upload(self.on_session(self.clips.open), result.dropped, restored, **PRIVATE)
        for ended in (opened.success, opened.failure):
            ended(lambda: None, None, result.dropped, **AT_ONCE)

    def on_session(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """`handler(session, value)` as an event handler, its exceptions as sentences."""

        def handle(request: gr.Request, value: Any) -> Any:
            with told():
                return handler(self.sessions.of(request.session_hash), value)

        return handle


def guarded(handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`handler(value)` with its exceptions as sentences."""

    def handle(value: Any) -> Any:
        with told():
            return handler(value)

    return handle


def picked(event: gr.EventData) -> str:
    """The id of the pressed card; whoever uses it asks the engine whether there is such a clip."""
    return str(event._data["id"])
