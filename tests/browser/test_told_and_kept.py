"""What the page tells unasked, and what it keeps over a reload, in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import READY, SLOW
from tests.browser.person import animate, clip_made, paint

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


def test_a_picture_for_other_words(open_page, engine):
    """Changed words are told by the picture and beside Animate, until they are changed back or drawn."""
    page = open_page()
    prompt, bar, note = page.locator("#prompt textarea"), page.locator("#bar"), page.locator("#note")
    prompt.fill("a red waterfall")
    page.locator("#draw").click()
    expect(note).to_contain_text("Drawn from your words")
    expect(page.locator("#draw")).to_be_enabled()
    prompt.fill("a blue waterfall")
    expect(bar).to_contain_text("This picture was drawn for “a red waterfall”")
    expect(note).to_contain_text("Drawn before your changes")
    prompt.fill("a red waterfall")
    expect(bar).to_have_text("")
    page.locator("#style label", has_text="Cartoon").click()
    expect(bar).to_contain_text("was drawn for")
    page.locator("#draw").click()
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#draw")).to_be_enabled()
    expect(bar).to_have_text("")
    expect(note).to_contain_text("Drawn from your words")


def test_words_the_model_does_not_know(open_page):
    """While typing the page names the ignored words, and stops when there are none."""
    page = open_page()
    page.locator("#prompt textarea").press_sequentially("a majestic red horse")
    expect(page.locator("#reading")).to_contain_text("Understood: red horse.")
    expect(page.locator("#reading")).to_contain_text("Ignored: majestic.")
    page.locator("#prompt textarea").fill("a red horse")
    expect(page.locator("#reading")).to_have_text("")


def test_a_reload_keeps_the_form_and_the_picture(open_page, engine):
    """Words, style, action, motion, numbers, the painted picture and the clip on the stage survive a reload."""
    page = open_page()
    page.locator("#action label", has_text="Rain").click()
    expect(page.locator("#pack input")).to_have_value("Rain (motion)")
    page.locator("#style label", has_text="Cartoon").click()
    page.locator("#advanced button").first.click()
    page.locator("#fresh input").uncheck()
    page.locator("#seed input").fill("4711")
    page.locator("#steps input[type=number]").fill("7")
    page.locator("#steps input[type=number]").press("Tab")
    clip_made(page)
    paint(page)
    page.locator("#prompt textarea").fill("a blue umbrella")
    expect(page.locator("#bar")).to_contain_text("without your edits")
    page.reload()
    page.wait_for_selector(READY)
    expect(page.locator("#prompt textarea")).to_have_value("a blue umbrella")
    expect(page.locator("#note")).to_contain_text("edited by you")
    expect(page.locator("#bar")).to_contain_text("drawn for “a red horse” (Rain, Cartoon)")
    expect(page.locator("#recipe")).to_contain_text("motion “Rain” at 100%")
    animate(page)
    expect(page.locator(".hv-card")).to_have_count(2)
    again, first = (clip.recipe for clip in engine.gallery())
    assert (again.prompt, again.origin) == ("a blue umbrella", "edited")
    kept = ("action", "style", "pack", "seed", "steps")
    assert [getattr(again, name) for name in kept] == ["rain", "cartoon", "rain", 4711, 7]
    assert again.first_frame != first.first_frame


@pytest.fixture
def looked_at_often(monkeypatch):
    """Before the app is built: the head of the page is filled anew each second."""
    monkeypatch.setattr("huvidpo_core.ui.app.LATER", 1)


def test_the_status_follows_the_models(looked_at_often, open_page, engine):
    """The header tells that the models are loaded as soon as they are, and when they are put away, without a reload."""
    engine.models_loaded = False
    page = open_page()
    expect(page.locator("#status")).to_contain_text("not loaded yet")
    engine.models_loaded = True
    expect(page.locator("#status")).to_contain_text("models loaded")
    engine.models_loaded = False
    expect(page.locator("#status")).to_contain_text("not loaded yet")


def test_a_clip_on_the_stage_is_rated(open_page, engine):
    """A press on a number keeps the score, under the name given in Prefer or as "me"; a word says so."""
    page = open_page()
    clip_made(page)
    page.locator("#score label", has_text="4").click()
    expect(page.get_by_text("Rated 4 of 5 by me.")).to_be_visible()
    assert list(engine.scores.values()) == [4]
