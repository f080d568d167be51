"""The first start of a profile whose models are not on the machine."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SLOW
from tests.ui.fake_engine import DOWNLOAD, FakeEngine

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


@pytest.fixture
def engine(tmp_path):
    """An engine that wants to download a model."""
    return FakeEngine(tmp_path / "data", downloads=(DOWNLOAD,))


def test_consent_comes_first(open_page, engine):
    """The page says what, how large and under which licence; nothing can be made before the person agrees.
    Where the download fails it says why, and asks again."""
    page = open_page()
    for text in (DOWNLOAD.name, "6.9 GB", DOWNLOAD.licence):
        expect(page.locator("#downloads")).to_contain_text(text)
    expect(page.locator("#animate")).to_be_disabled()
    expect(page.locator("#bar")).to_contain_text("Agree to their download")
    assert not engine.agreed
    engine.wrong = "The disk is full."
    page.locator("#agree").click()
    expect(page.locator("#downloads-wrong")).to_contain_text("The disk is full.")
    expect(page.locator("#agree")).to_be_visible()
    engine.wrong = ""
    page.locator("#agree").click()
    expect(page.locator("#downloads-wrong")).to_be_hidden()
    expect(page.locator("#downloads")).to_be_hidden()
    expect(page.locator("#animate")).to_be_enabled()
    page.locator("#prompt textarea").fill("a red horse")
    page.locator("#animate").click()
    expect(page.locator("#mp4-link")).to_be_visible()
