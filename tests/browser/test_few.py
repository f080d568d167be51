"""A person chooses one of four first frames, in a real browser."""

import numpy as np
import pytest
from playwright.sync_api import expect

from huvidpo_core.media import read_image, write_png
from tests.browser.conftest import READY, SLOW
from tests.browser.person import PLAYS, clip_made, has_picture

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


def test_four_to_choose_from(open_page, engine):
    """They appear one by one; a press takes one into the editor and keeps the choice; Animate makes a clip of it; all
    this is still there after a reload; another press changes the choice, and Done closes them."""
    page = open_page()
    page.locator("#prompt textarea").fill("a red horse")
    page.locator("#draw-few").click()
    cards = page.locator("#few .hv-card")
    expect(cards.first).to_be_visible()
    expect(page.locator("#bar")).to_contain_text("step")
    expect(cards).to_have_count(4)
    expect(page.locator("#draw")).to_be_enabled()
    cards.nth(2).click()
    has_picture(page)
    expect(cards.nth(2)).to_have_attribute("aria-pressed", "true")
    [((_, rater), (chosen, others))] = engine.choices.items()
    assert rater == "me" and len(others) == 3
    page.locator("#animate").click()
    page.wait_for_function(PLAYS)
    [clip] = engine.gallery()
    assert (clip.recipe.seed, clip.recipe.origin) == (chosen.recipe.seed, "generated")
    assert np.array_equal(read_image(clip.picture), chosen.image)

    page.reload()
    page.wait_for_selector(READY)
    expect(cards.nth(2)).to_have_attribute("aria-pressed", "true")
    cards.nth(1).click()
    expect(cards.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(cards.nth(2)).to_have_attribute("aria-pressed", "false")
    [(second, _)] = engine.choices.values()
    assert second is not chosen and any(second is other for other in others)
    page.locator("#few [data-pick=done]").click()
    expect(cards).to_have_count(0)
    assert len(engine.choices) == 1


def test_they_close_when_another_picture_comes(open_page, engine, tmp_path):
    """By First frame, by an upload, by a clip's settings."""
    engine.pause = 0.005
    page = open_page()
    clip_made(page)
    cards = page.locator("#few .hv-card")
    own = write_png(tmp_path / "own.png", engine.fit(read_image(engine.gallery()[0].picture)[:, ::-1]))
    for close in (
        lambda: page.locator("#draw").click(),
        lambda: page.locator("input[data-testid='Upload a picture-upload-button']").set_input_files(own),
        lambda: page.locator("#use").click(),
    ):
        page.locator("#draw-few").click()
        expect(cards).to_have_count(4)
        expect(page.locator("#draw")).to_be_enabled()
        cards.first.click()
        expect(cards.first).to_have_attribute("aria-pressed", "true")
        page.locator("#gallery [data-id]").first.click()
        expect(page.locator("#use")).to_be_visible()
        close()
        expect(cards).to_have_count(0)


def test_stop_leaves_what_is_drawn(open_page, engine):
    """Pressed after the first: it can be chosen from those that are there, or none taken."""
    engine.pause = 0.2
    page = open_page()
    page.locator("#prompt textarea").fill("a red horse")
    page.locator("#draw-few").click()
    cards = page.locator("#few .hv-card")
    expect(cards).to_have_count(2)
    page.locator("#stop").click()
    expect(page.locator("#bar")).to_contain_text("Choose from those that are done")
    expect(cards).to_have_count(2)
    page.locator("#few [data-pick=none]").click()
    expect(cards).to_have_count(0)
    assert engine.choices == {}
