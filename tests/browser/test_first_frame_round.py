"""First frames at the Align tab, in a real browser: a blind round, Use it, the LoRA renamed and deleted."""

import pytest
from playwright.sync_api import expect

from huvidpo_core.preferences.picture_choices import PictureChoice
from tests.browser.conftest import SLOW

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


def test_judged_blind_used_renamed_and_deleted(open_page, engine):
    """Two pictures at a time, the pressed one counts; the verdict; the LoRA in the panel and in Create's menu, under
    its new name without a reload, and gone when it is deleted."""
    engine.pause = 0.001
    made = [PictureChoice(str(n), 0.0, str(n), "Anna", {}, f"{n}a", (f"{n}b",)) for n in range(20)]
    engine.trainings.supply.chosen += made
    engine.trainings.pause = 0.01
    engine.trainings.start(engine.picture_trainings.prepare(engine.trainings.settings("", "picture", steps=8)))
    page = open_page()
    page.get_by_role("tab", name="Align").click()
    expect(page.locator("#align-head")).to_contain_text("Finished")
    expect(page.locator("#align-round")).to_be_hidden()
    page.locator("#round-draw").click()
    expect(page.locator("#round-said")).to_contain_text("8 pairs can be told apart")
    expect(page.locator("#align-helped")).to_contain_text("0 of 8 pairs judged")
    page.locator("#round-look").click()
    cards = page.locator("#round-pair .hv-card")
    for number in range(8):
        expect(cards).to_have_count(2)
        page.wait_for_function("() => [...document.querySelectorAll('#round-pair img')].every((i) => i.naturalWidth)")
        shown = cards.first.get_attribute("data-pick")
        cards.nth(number % 2).click()
        expect(page.locator(f"#round-pair [data-pick='{shown}']")).to_have_count(0)
    expect(page.locator("#round-pair")).to_contain_text("You have judged every pair of the round")
    expect(page.locator("#align-helped")).to_contain_text("of 8 pairs went to the new model")
    assert {choice.rater for choice in engine.picture_rounds.choices.list()} == {"me"}

    page.locator("#align-use").click()
    expect(page.locator("#align-helped")).to_contain_text("+ liked” under Drawn by")
    page.locator("#loras > button").first.click()
    expect(page.locator("#loras-action input")).to_have_value("First frames")
    expect(page.locator("#loras-table")).to_contain_text("liked")
    expect(page.locator("#loras-clips img")).to_have_count(2)
    for hidden in ("#loras-upload", "#loras-compare", "#loras-merge"):
        expect(page.locator(hidden)).to_be_hidden()
    page.locator("#loras-name :is(input, textarea)").fill("bright")
    page.locator("#loras-rename").click()
    expect(page.locator("#loras-said")).to_contain_text("It is called bright now.")
    expect(page.locator("#align-helped")).to_contain_text("+ bright” under Drawn by")
    page.get_by_role("tab", name="Create").click()
    page.locator("#advanced > button").first.click()
    page.locator("#painter input").click()
    expect(page.get_by_role("option", name="+ bright")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Align").click()
    page.locator("#loras-delete").click()
    page.locator("#loras-yes").click()
    expect(page.locator("#loras-said")).to_contain_text("It is deleted.")
    expect(page.locator("#loras-table")).to_contain_text("No LoRA for first frames yet")
    expect(page.locator("#align-use")).to_be_enabled()
    page.locator("#loras-action input").click()
    page.get_by_role("option", name="Waterfall").click()
    expect(page.locator("#loras-compare")).to_be_visible()
