"""A launched app and a real Chromium.

Without Chromium these tests are skipped, except in CI, where they fail. The page fixture fails a test on any script
error and on any request to another host.
"""

import os
import shutil
from urllib.parse import urlsplit

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import pytest

from huvidpo_core.config import ASSETS, load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.ui import build_app, launch_options
from tests.ui.fake_engine import FakeEngine

READY = "body[data-ready]"  # set when the page has been filled from the browser's memory
SLOW = 90_000  # ms; ample, so that a busy machine fails no test

# Without a GPU each frame that the picture editor draws takes 45 ms of a core, and it draws 58 on being hidden.
DRAW_WHAT_IS_SEEN = """{
  const context = WebGL2RenderingContext.prototype, draw = context.drawElements;
  context.drawElements = function (...how) {
    if (!this.canvas.isConnected || this.canvas.checkVisibility()) draw.apply(this, how);
  };
}"""


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium: it plays H.264, which Playwright's own does not."""
    path = shutil.which("chromium")
    if not path:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Chromium is missing: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def engine(request, tmp_path):
    """The fake engine, or the real one where a test is parametrised with `engine="real"` and the weights are there."""
    if getattr(request, "param", "fake") == "fake":
        return FakeEngine(tmp_path / "data", pause=0.05)
    if not (ASSETS / "miniature").exists():
        pytest.skip("assets/miniature is not there yet")
    return Engine(load_profile("miniature"), tmp_path / "data")


@pytest.fixture
def url(engine):
    """Where the app for `engine` answers."""
    app = build_app(engine)
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, **launch_options(engine))
    yield url
    app.close()


@pytest.fixture
def open_page(browser, url):
    """Opens the app in a new window of a given size; checks at the end that nothing went wrong on the page."""
    errors, outside, contexts = [], [], []

    def open_page(width=1400, height=1000, query=""):
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOW)
        page.add_init_script(DRAW_WHAT_IS_SEEN)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: outside.append(request.url) if _is_outside(request.url, url) else None)
        page.goto(url + query)
        page.wait_for_selector("#animate")
        page.wait_for_selector("#editor canvas")
        page.wait_for_selector(READY)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert outside == []


def _is_outside(address, url):
    parts = urlsplit(address)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != urlsplit(url).netloc
