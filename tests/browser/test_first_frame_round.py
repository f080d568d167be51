"""First frames at the Align tab, in a real browser: a blind round, Use it, the LoRA renamed and deleted."""

import threading

import pytest
from playwright.sync_api import expect

from huvidpo_core.preferences.picture_choices import PictureChoice
from tests.browser.conftest import SLOW
from tests.finished import until

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


def begin(engine, steps=8, pause=0.01):
    """A training of first frames, under way."""
    made = [PictureChoice(str(n), 0.0, str(n), "Anna", {}, f"{n}a", (f"{n}b",)) for n in range(20)]
    engine.trainings.supply.chosen += made
    engine.trainings.pause = pause
    run = engine.picture_trainings.prepare(engine.trainings.settings("", "picture", steps=steps))
    engine.trainings.start(run)
    return run


def test_judged_blind_used_renamed_and_deleted(open_page, engine):
    """Two pictures at a time, the pressed one counts, or neither; a reload loses nothing; the verdict; the LoRA in the
    panel and in Create's menu, under its new name without a reload, and gone when it is deleted."""
    engine.pause = 0.001
    begin(engine)
    page = open_page()
    page.get_by_role("tab", name="Align").click()
    expect(page.locator("#align-head")).to_contain_text("Finished")
    expect(page.locator("#align-round")).to_be_hidden()
    page.locator("#round-draw").click()
    expect(page.locator("#round-said")).to_contain_text("8 pairs can be told apart")
    expect(page.locator("#align-helped")).to_contain_text("8 of 8 pairs wait to be judged")
    page.locator("#round-look").click()
    cards = page.locator("#round-pair .hv-card")
    for number in range(8):
        expect(cards).to_have_count(2)
        page.wait_for_function("() => [...document.querySelectorAll('#round-pair img')].every((i) => i.naturalWidth)")
        shown = cards.first.get_attribute("data-pick")
        press = cards.nth(number % 2) if number < 6 else page.get_by_role("button", name="No difference")
        press.click()
        expect(page.locator(f"#round-pair [data-pick='{shown}']")).to_have_count(0)
        if number == 6:
            page.reload()
            page.get_by_role("tab", name="Align").click()
            expect(page.locator("#align-runs")).to_contain_text("1 pair to judge")
            page.locator("#round-look").click()
    expect(page.locator("#round-pair")).to_contain_text("You have judged every pair of the round")
    expect(page.locator("#align-helped")).to_contain_text("of 8 pairs went to the new model")
    expect(page.locator("#align-helped")).to_contain_text("6 decided")
    expect(page.locator("#align-helped")).to_contain_text("2 not, which count half")
    expect(page.locator("#align-runs")).not_to_contain_text("to judge")
    assert [choice.rater for choice in engine.picture_rounds.choices.list()] == ["me"] * 6

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


def test_a_round_that_is_drawn_by_itself_appears(open_page, engine):
    """While the page is open, from the training's end on: what is there can be judged, what comes is shown where "the
    next is being drawn" stood, and nothing says that there is no round. An open pair goes with its training."""
    engine.pause = 0.05
    run = begin(engine, steps=100, pause=1)
    page = open_page()
    page.get_by_role("tab", name="Align").click()
    expect(page.locator("#align-head")).to_contain_text("Running")
    engine.trainings.pause, engine.attended = 0, [run.path]
    until(run, "finished")
    more = threading.Event()

    def draw():
        drawn = engine.picture_rounds.make(run, threading.Event(), 4)
        while not engine.picture_rounds.score(run).pairs:
            next(drawn)
        more.wait(SLOW / 1000)
        list(drawn)

    thread = threading.Thread(target=draw)
    thread.start()
    expect(page.locator("#align-helped")).to_contain_text("A blind round is being drawn: 1 of 1 pair waits")
    expect(page.locator("#align-runs")).to_contain_text("1 pair to judge")
    page.locator("#round-look").click()
    page.locator("#round-pair .hv-card").first.click()
    expect(page.locator("#round-pair")).to_contain_text("The next is being drawn")
    more.set()
    expect(page.locator("#round-pair .hv-card")).to_have_count(2)
    expect(page.locator("#align-helped")).to_contain_text("3 of 4 pairs wait to be judged")
    thread.join()
    for left in range(3, 0, -1):
        expect(page.locator("#align-runs")).to_contain_text(f"{left} pair")
        page.get_by_role("button", name="No difference").click()
    expect(page.locator("#round-pair")).to_contain_text("You have judged every pair of the round")
    page.locator("#round-draw").click()
    expect(page.locator("#round-pair")).not_to_contain_text("You have judged every pair")
    expect(page.locator("#round-said")).to_contain_text("8 pairs can be told apart")
    page.locator("#round-look").click()
    expect(page.locator("#round-pair .hv-card")).to_have_count(2)
    engine.trainings.pause = 1
    page.locator("#align-what").get_by_text("First frames").click()
    page.locator("#picture-start").click()
    expect(page.locator("#align-head")).to_contain_text("Running")
    expect(page.locator("#round-pair .hv-card")).to_have_count(0)


@pytest.mark.parametrize("width", [1440, 390])
def test_what_stands_there_before_and_after(open_page, engine, width):
    """Without a training the page speaks of what the form is for; a button's words stand in one line."""
    page = open_page(width=width)
    page.get_by_role("tab", name="Align").click()
    head = page.locator("#align-head")
    of_clips, of_pictures = head.get_by_text("Rate pairs of clips"), head.get_by_text("Four to choose from")
    expect(of_clips).to_be_visible()
    expect(of_pictures).to_be_hidden()
    page.locator("#align-what").get_by_text("First frames").click()
    expect(of_pictures).to_be_visible()
    expect(of_clips).to_be_hidden()
    until(begin(engine), "finished")
    page.reload()
    page.get_by_role("tab", name="Align").click()
    expect(page.locator("#round-draw")).to_be_visible()
    expect(page.locator("#round-look")).to_be_hidden()
    height, use = (page.locator(each).bounding_box()["height"] for each in ("#round-draw", "#align-use"))
    assert height == pytest.approx(use, abs=1)
