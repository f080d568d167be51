"""A person at the Align tab, in a real browser: a training begun, followed, stopped, tried out and put to use."""

import re

import pytest
from playwright.sync_api import expect

from huvidpo_core.engine import Score
from huvidpo_core.preferences.records import Estimate
from tests.browser.conftest import SLOW
from tests.browser.person import has_picture
from tests.finished import until, write_pack

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


def open_tab(page):
    page.get_by_role("tab", name="Align").click()
    expect(page.locator("#align-supply")).to_contain_text(re.compile("24 judged pairs.*, 22 with a better clip"))


def test_a_training_is_begun_followed_stopped_and_resumed(open_page, engine):
    """One press; bar, plots and clips come by themselves; it survives a reload; Stop keeps it, Resume ends it."""
    trainings = engine.trainings
    trainings.pause = 0.5
    page = open_page()
    open_tab(page)
    page.locator("#align-name input, #align-name textarea").fill("calm")
    page.locator("#align-raters input").click()
    page.get_by_role("option", name="Anna").click()
    expect(page.locator("#align-supply")).to_contain_text("24 judged pairs by Anna")
    page.locator("#align-more > button").first.click()
    expect(page.locator("#align-lr input")).to_have_value(f"{trainings.settings().lr:g}")
    page.locator("#align-steps input").fill("2000")
    page.locator("#align-start").click()
    expect(page.locator("#align-head")).to_contain_text("of 2000 · about")
    expect(page.locator("#align-plots svg")).to_have_count(5)
    expect(page.locator("#align-clips")).to_contain_text("Step 4")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    open_tab(page)
    expect(page.locator("#align-name :is(input, textarea)")).to_have_value("calm")
    expect(page.locator("#align-raters")).to_contain_text("Anna")
    expect(page.locator(".hv-run-row")).to_contain_text("Running")
    page.wait_for_function("() => [...document.querySelectorAll('#align-clips video')].some((v) => v.readyState >= 2)")
    page.locator("#align-stop").click()
    expect(page.locator("#align-head")).to_contain_text("Stopped. Resume continues here.")
    expect(page.locator(".hv-run-row")).to_contain_text("Stopped")
    expect(page.locator("#align-stop")).to_be_hidden()
    page.locator("#align-resume").click()
    expect(page.locator("#align-stop")).to_be_visible()
    page.locator("#align-stop").click()
    page.locator("#align-remove").click()
    page.locator("#align-remove-yes").click()
    expect(page.locator("#align-runs")).to_contain_text("No training yet")


def test_the_training_that_was_asked_about_is_removed(open_page, engine):
    """The question names it, and is gone when another is shown."""
    trainings = engine.trainings
    trainings.pause = 0.01
    runs = {name: trainings.prepare("waterfall", trainings.settings(steps=8), name=name) for name in ("one", "other")}
    for run in runs.values():
        trainings.start(run)
        until(run, "finished")
    page = open_page()
    open_tab(page)
    page.locator(f"[data-run='{runs['one'].path.name}']").click()
    expect(page.locator("#align-head")).to_contain_text("one")
    page.locator("#align-remove").click()
    expect(page.locator("#align-confirm")).to_contain_text("Remove the training “one”")
    page.locator(f"[data-run='{runs['other'].path.name}']").click()
    expect(page.locator("#align-confirm")).to_be_hidden()
    page.locator("#align-remove").click()
    expect(page.locator("#align-confirm")).to_contain_text("Remove the training “other”")
    page.locator("#align-remove-yes").click()
    expect(page.locator("#align-runs")).not_to_contain_text("other")
    expect(page.locator("#align-runs")).to_contain_text("one")


def test_tried_blind_it_is_put_to_use(open_page, engine):
    """A round, the way to its pairs, the verdict at its end, Use it; Create offers it at once, without a reload,
    follows it when it is renamed and says so when it is deleted. Put to use again, it is back in the open panel."""
    write_pack(engine.data / "packs" / "waterfall")
    trainings = engine.trainings
    trainings.pause = 0.01
    trainings.start(trainings.prepare("waterfall", trainings.settings(steps=8), name="calm"))
    page = open_page()
    open_tab(page)
    expect(page.locator("#align-head")).to_contain_text("Finished")
    expect(page.locator("#align-use")).to_be_disabled()
    page.locator("#align-round").click()
    expect(page.locator("#align-helped")).to_contain_text("8 pairs of the round wait in Prefer, under Waterfall")
    page.locator("#align-rate").click()
    expect(page.get_by_role("tab", name="Prefer")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#rating [name=action]")).to_have_value("waterfall")
    engine.blind_rounds.result = Score(8, 7, 7, 0, 0, Estimate(1.0, 0.65, 1.0))
    page.get_by_role("tab", name="Align").click()
    expect(page.locator("#align-helped")).to_contain_text("7 of 8 pairs of the round are answered")
    expect(page.locator("#align-helped")).not_to_contain_text("%")
    expect(page.locator("#align-use")).to_be_disabled()
    page.get_by_role("tab", name="Prefer").click()
    engine.blind_rounds.result = Score(8, 8, 7, 0, 1, Estimate(0.875, 0.53, 0.98))
    page.get_by_role("tab", name="Align").click()
    expect(page.locator("#align-helped")).to_contain_text("It helped.")
    page.get_by_role("tab", name="Create").click()
    page.locator("#action label", has_text="Rain").click()
    page.locator("#prompt textarea").fill("a red horse")
    page.locator("#draw").click()
    has_picture(page)
    expect(page.locator("#draw")).to_be_enabled()
    page.get_by_role("tab", name="Align").click()
    expect(page.locator("#align-try")).to_be_hidden()
    page.locator("#align-use").click()
    expect(page.locator("#align-helped")).to_contain_text("in Create now, as “Waterfall + calm”")
    page.locator("#align-try").click()
    expect(page.get_by_role("tab", name="Create")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#pack input")).to_have_value("Waterfall + calm")
    expect(page.locator("#prompt textarea")).to_have_value(engine.actions["waterfall"].examples[0])
    expect(page.locator("#note")).to_contain_text("No picture yet")
    expect(page.locator("#stage")).to_contain_text("Your clip will play here")
    page.get_by_role("tab", name="Align").click()
    page.locator("#loras > button").first.click()
    expect(page.locator("#loras-table")).to_contain_text("88% (53% to 98%)")
    expect(page.locator("#loras-clips video")).to_have_count(2)
    page.wait_for_function("() => [...document.querySelectorAll('#loras-clips video')].every((v) => v.readyState >= 2)")
    page.locator("#loras-name :is(input, textarea)").fill("mild")
    page.locator("#loras-rename").click()
    expect(page.locator("#loras-said")).to_contain_text("It is called mild now.")
    expect(page.locator("#align-helped")).to_contain_text("in Create now, as “Waterfall + mild”")
    page.locator("#loras-delete").click()
    expect(page.locator("#loras-said p")).to_have_count(0)
    page.locator("#loras-no").click()
    page.get_by_role("tab", name="Create").click()
    page.locator("#pack input").click()
    page.get_by_role("option", name="Waterfall + mild").click()
    page.get_by_role("tab", name="Align").click()
    page.locator("#loras-name :is(input, textarea)").fill("third")
    page.locator("#loras-rename").click()
    expect(page.locator("#loras-said")).to_contain_text("It is called third now.")
    page.get_by_role("tab", name="Create").click()
    expect(page.locator("#pack input")).to_have_value("Waterfall + third")
    page.get_by_role("tab", name="Align").click()
    page.locator("#loras-delete").click()
    page.locator("#loras-yes").click()
    expect(page.locator("#loras-table")).to_contain_text("No LoRA for this action yet")
    page.locator("#align-use").click()
    expect(page.locator("#loras-table")).to_contain_text("88% (53% to 98%)")
    page.get_by_role("tab", name="Create").click()
    expect(page.locator("#pack input")).to_have_value("Waterfall (motion)")
    expect(page.get_by_text("The motion “Waterfall + third” is no longer there")).to_be_visible()


def test_what_was_begun_below_is_seen_above(open_page, engine):
    """On a screen that shows the button alone the page goes to the bar and Stop; what Compare answers is beside it."""
    write_pack(engine.data / "packs" / "waterfall")
    engine.trainings.pause = 0.5
    page = open_page(1440, 600)
    open_tab(page)
    page.locator("#align-more > button").first.click()
    expect(page.locator("#align-lr input")).to_have_value(f"{engine.trainings.settings().lr:g}")
    page.locator("#align-start").scroll_into_view_if_needed()
    page.mouse.wheel(0, 900)
    expect(page.locator("#align-head")).not_to_be_in_viewport()
    page.locator("#align-start").click()
    expect(page.locator("#align-stop")).to_be_in_viewport()
    expect(page.locator("#align-head")).to_be_in_viewport(ratio=0.9)
    page.locator("#align-stop").click()
    expect(page.locator("#align-head")).to_contain_text("Stopped")  # what stands there then moves what is below it
    page.locator("#loras > button").first.click()
    expect(page.locator("#loras-merge")).to_be_hidden()
    page.locator("#loras-compare").click()
    expect(page.locator("#loras-answered")).to_contain_text("5 pairs are being made")
    expect(page.locator("#loras-answered p")).to_be_in_viewport()


def test_a_step_that_another_run_lacks_is_not_asked_for(open_page, engine):
    """The kept step is shown of one that has ended; when another begins, its own come."""
    trainings = engine.trainings
    trainings.pause = 0.01
    run = trainings.prepare("waterfall", trainings.settings(steps=8), name="calm")
    trainings.start(run)
    until(run, "finished")
    run.note("check", {"step": 8, "best": 4})
    page = open_page()
    open_tab(page)
    expect(page.locator("#align-check input")).to_have_value("Step 4 (kept)")
    expect(page.locator("#align-clips")).to_contain_text("Step 4 (kept)")
    page.locator("#align-check input").click()
    page.get_by_role("option", name="Step 8").click()
    expect(page.locator("#align-clips")).to_contain_text("Step 8")
    trainings.pause = 0.5
    page.locator("#align-start").click()
    expect(page.locator("#align-clips")).to_contain_text("Step 4")
    expect(page.locator("#align-check input")).to_have_value("Latest")
    page.locator("#align-stop").click()
    expect(page.locator("#align-head")).to_contain_text("Stopped. Resume continues here.")
    expect(page.locator(".toast-body.error")).to_have_count(0)


def test_a_training_on_clips_rated_alone(open_page, engine):
    """Chosen among the losses, the form speaks of rated clips and begins a training that says what it learns from."""
    page = open_page()
    open_tab(page)
    page.locator("#align-more > button").first.click()
    expect(page.locator("#align-lr input")).to_have_value(f"{engine.trainings.settings().lr:g}")
    page.locator("#align-loss input").click()
    page.get_by_role("option", name="Diffusion-KTO, clips rated alone").click()
    expect(page.locator("#align-supply")).to_contain_text("9 rated clips, 4 good and 3 bad")
    page.locator("#align-start").click()
    expect(page.locator("#align-head")).to_contain_text("4 good and 3 bad clips")


def test_what_cannot_be_trained_is_said(open_page, engine):
    """No votes on an action: the button waits, and the page says what to do."""
    engine.trainings.supply.given = {}
    page = open_page()
    page.get_by_role("tab", name="Align").click()
    expect(page.locator("#align-supply")).to_contain_text("No votes on Waterfall yet. Rate some pairs in Prefer first.")
    expect(page.locator("#align-start")).to_be_disabled()
    expect(page.locator("#align-head")).to_contain_text("Your training will be followed here")
