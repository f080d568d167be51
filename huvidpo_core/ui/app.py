"""The whole page: header, what must be downloaded, the tabs."""

import logging
import threading
from typing import Any

import gradio as gr
from PIL import Image

from huvidpo_core.config import PACKS
from huvidpo_core.engine import Engine, exports_folder
from huvidpo_core.media import MAX_FILE, MAX_PIXELS
from huvidpo_core.ui import words
from huvidpo_core.ui.align import Align
from huvidpo_core.ui.align_loras import OF_FIRST_FRAMES
from huvidpo_core.ui.api import Api
from huvidpo_core.ui.api_align import AlignApi
from huvidpo_core.ui.api_first_frames import FirstFramesApi
from huvidpo_core.ui.create import AT_ONCE, Create
from huvidpo_core.ui.memory import KEY, SECRET
from huvidpo_core.ui.menus import ActionMenus
from huvidpo_core.ui.prefer import Prefer
from huvidpo_core.ui.prefer_desk import Desk, reels_folder
from huvidpo_core.ui.session import Sessions
from huvidpo_core.ui.shown import shown_folder
from huvidpo_core.ui.teach import Teach
from huvidpo_core.ui.theme import STATIC, theme

log = logging.getLogger(__name__)

HOUR = 3600  # seconds
SOON, LATER = 2, 10  # seconds between two looks at the models' state, while they are not loaded and afterwards
# On a phone Gradio hides the first link of the footer, and not the dot after it. In a style sheet of the app's it would
# be narrowed to the page, of which the footer is no part.
FOOTER = "<style>@media (width <= 640px) { footer .divider { display: none } }</style>"
SCRIPTS = ("page.js", "lockstep.js", "timeline.js", "prefer_controls.js", "prefer.js", "teach.js")


class Consent:
    """Whether the models may be fetched."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.given = False
        self.wrong = ""  # why the models are still not here

    def needed(self) -> bool:
        """The person has still to agree."""
        return not self.given and bool(self.engine.missing_downloads())

    def give(self) -> None:
        """The person agreed: fetch and load in the background."""
        self.engine.allow_downloads()
        self.given, self.wrong = True, ""
        threading.Thread(target=self._fetch, daemon=True, name="downloads").start()

    def _fetch(self) -> None:
        try:
            self.wrong = self.engine.warm_up()
        except Exception as error:  # a thread of its own: whatever a network can do, nobody else would write it down
            log.exception("fetching the models failed")
            self.wrong = f"The download failed ({type(error).__name__}); the log says more. Try again."
        self.given = not self.wrong  # else the person is asked again, with the reason


def build_app(engine: Engine, local: bool = False) -> gr.Blocks:
    """The app for an engine, not launched; launch it with `launch_options(engine)`.

    `local`: it will serve this machine only, so that whoever uses it may name files of this machine.
    """
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Gradio opens pictures too: above twice this PIL refuses
    sessions, consent = Sessions(), Consent(engine)
    with gr.Blocks(title="HuViDPO Lab", analytics_enabled=False, delete_cache=(HOUR, 24 * HOUR)) as demo:
        with gr.Row(elem_id="header"):
            gr.HTML("<h1>HuViDPO Lab</h1><p>Describe it, draw it, set it in motion.</p>", elem_id="brand")
            status = gr.HTML("", elem_id="status")
        wrong = gr.HTML("", visible=False, elem_id="downloads-wrong")
        with gr.Column(visible=consent.needed(), elem_id="downloads") as panel:
            listing = gr.HTML(words.downloads(engine.missing_downloads()))
            agree = gr.Button("I agree, download", variant="primary", elem_id="agree")
        desk, menus = Desk(engine), ActionMenus(engine)
        with gr.Tabs() as tabs:
            with gr.Tab("Create", id="create", elem_id="create") as tab:
                create = Create(engine, sessions, consent.needed)
            with gr.Tab("Prefer", id="prefer", elem_id="prefer") as prefer_tab:
                Prefer(engine, desk, menus)
            with gr.Tab("Align", id="align", elem_id="align") as align_tab:
                align = Align(engine, sessions)
            with gr.Tab("Teach", id="teach", elem_id="teach") as teach_tab:
                teach = Teach(engine, sessions, local)
        align.wire(tabs, align_tab.select)
        teach.wire(teach_tab.select)
        for follow in (align.run, teach.run):
            create.wire_try(follow.try_it, follow.made_by, follow.run, tabs)
        menus.add(create.controls.action)
        menus.add(align.loras.action, OF_FIRST_FRAMES)
        for event in (demo.load, tab.select, prefer_tab.select, align_tab.select, *teach.changed):
            menus.wire(event)
        Api(engine, desk).wire()
        AlignApi(engine).wire()
        FirstFramesApi(engine).wire()
        # These stand outside the tabs: in a tab that has never been open they would not work.
        stored = gr.BrowserState(storage_key=KEY, secret=SECRET)
        clock = gr.Timer(SOON)

        def head() -> list[Any]:
            said = gr.HTML(words.message(consent.wrong, "error"), visible=bool(consent.wrong))
            look_again = gr.Timer(LATER if engine.loaded else SOON)  # plan and peak change with the work
            missing = words.downloads(engine.missing_downloads())
            return [words.status(engine.status()), look_again, gr.Column(visible=consent.needed()), said, missing]

        def agreed() -> list[Any]:
            consent.give()
            gr.Info("The download has started. You can press First frame now; it waits for the models.")
            return head()

        heads = [status, clock, panel, wrong, listing]
        demo.load(head, None, heads, **AT_ONCE)
        clock.tick(lambda: head()[:-1], None, heads[:-1], **AT_ONCE)  # who reads the list is not disturbed
        create.wire_load(demo.load, stored)
        create.wire_reload(tab.select)
        pressed = agree.click(agreed, None, heads, **AT_ONCE)
        create.wire_reload(pressed.then)

        def leave(request: gr.Request) -> None:
            sessions.forget(request.session_hash)

        demo.unload(leave)
    return demo.queue(default_concurrency_limit=8, max_size=64)


def launch_options(engine: Engine) -> dict[str, Any]:
    """What `launch` must be given for this app: looks, keys, which files may be served, limits."""
    return {
        "theme": theme(),
        "css_paths": [STATIC / "style.css", STATIC / "prefer.css", STATIC / "align.css", STATIC / "teach.css"],
        "head": FOOTER + "".join(f"<script>{(STATIC / name).read_text(encoding='utf-8')}</script>" for name in SCRIPTS),
        "favicon_path": STATIC / "icon.svg",
        "allowed_paths": [
            str((engine.data / "clips").resolve()),
            str(shown_folder(engine.data)),
            str(reels_folder(engine)),
            str(exports_folder(engine.data)),
        ],
        "blocked_paths": [str(PACKS), str((engine.data / "huvidpo.db").resolve())],
        "max_file_size": MAX_FILE,
        "run_history": False,
        "footer_links": ["api", "settings"],
        "ssr_mode": False,
        "_frontend": False,  # else Gradio asks for the page itself and refuses to start where that takes 3 s
    }
