"""Another painter is chosen, and what it takes is agreed to."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SLOW
from tests.browser.person import clip_made
from tests.ui.fake_engine import DOWNLOAD, FakeEngine

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


@pytest.fixture
def engine(tmp_path):
    """An engine whose painter "plain" wants to download a model."""
    engine = FakeEngine(tmp_path / "data", pause=0.05)
    engine.for_plain = (DOWNLOAD,)
    return engine


def test_what_a_painter_takes_is_shown_when_it_is_chosen(open_page, engine):
    """Its name, size and licence, and a button; then its clip says who drew the first frame."""
    page = open_page()
    page.get_by_text("More settings").click()
    expect(page.locator("#fetch")).to_be_hidden()
    page.locator("#painter input").click()
    page.get_by_role("option", name="Without alignment").click()
    for text in (DOWNLOAD.name, "6.9 GB", DOWNLOAD.licence):
        expect(page.locator("#fetch")).to_contain_text(text)
    assert not engine.agreed_to_plain
    page.locator("#fetch-agree").click()
    expect(page.locator("#fetch")).to_be_hidden()
    assert engine.agreed_to_plain
    clip_made(page)
    expect(page.locator("#recipe")).to_contain_text("drawn from your words by Without alignment")
    [clip] = engine.gallery()
    assert clip.recipe.painter == "plain"
    page.reload()
    page.get_by_text("More settings").click()
    expect(page.locator("#painter input")).to_have_value("Without alignment")
