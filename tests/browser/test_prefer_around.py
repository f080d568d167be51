"""What stands around the players of the Prefer tab, in a real browser: the form, the panel, the gallery, a phone."""

import pytest
from playwright.sync_api import expect

from huvidpo_core import media
from huvidpo_core.engine import Order
from tests.browser.conftest import SLOW
from tests.browser.rater import OPEN, SHOWN, rate, says, unfold_form, vote
from tests.ui.rated import FPS, coded, keep_clips

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


def test_pairs_are_made_while_the_page_waits(open_page, engine):
    """Without pairs the page says what to do; ordered pairs appear by themselves, and so do clips a person brings."""
    page = open_page()
    rate(page)
    expect(page.locator(".hv-waits")).to_contain_text("Make pairs")
    unfold_form(page)
    page.locator("#pairs-way label", has_text="Two models").click()
    expect(page.locator("#pairs-rival")).to_be_visible()
    page.locator("#pairs-make").click()
    expect(page.locator("#pairs-said")).to_contain_text("Ordered: 3 pairs, and as many more")
    page.wait_for_selector(SHOWN)
    [order] = engine.orders
    assert (order.source, order.recipe.pack, order.rival, order.keep) == ("models", "waterfall", "", True)
    expect(page.locator(".hv-making")).to_contain_text("3 are kept ready while you rate.")
    page.get_by_role("button", name="Stop making").first.click()
    expect(page.locator(".hv-making")).to_be_hidden()
    page.locator("#pairs-many label", has_text="A fixed number").click()
    page.locator("#pairs-count input[type=number]").fill("2")
    page.locator("#pairs-make").click()
    expect(page.locator("#pairs-said")).to_contain_text("Ordered: 2 pairs.")
    expect(page.locator(".hv-making")).to_be_hidden()
    [order] = engine.orders
    assert (order.count, order.keep) == (2, False)


def test_words_in_the_form_that_name_another_action(open_page):
    """The form remarks on them while typing, as the Create tab does, and stops when the action is chosen."""
    page = open_page()
    rate(page)
    unfold_form(page)
    page.locator("#pairs-prompt textarea").fill("a green firework")
    expect(page.locator("#pairs-remark")).to_contain_text("Your words speak of “Firework”")
    page.locator("#pairs-action input").click()
    page.locator("#pairs-action").get_by_role("option", name="Firework").click()
    expect(page.locator("#pairs-remark .hv-message")).to_have_count(0)


def test_clips_made_for_rating_are_shown_in_the_gallery_on_request_only(open_page, engine):
    """A clip made on the Create tab is there at once; those of pairs when the box is ticked."""
    (own,) = keep_clips(engine, 1)
    engine.make_pairs(Order(engine.defaults(), count=1))
    page = open_page()
    expect(page.locator(".hv-card")).to_have_count(1)
    expect(page.locator(f".hv-card[data-id='{own.id}']")).to_be_visible()
    page.get_by_label("Also clips made for rating").check()
    expect(page.locator(".hv-card")).to_have_count(3)


def test_clips_that_a_person_brings(open_page, engine, tmp_path):
    """GIFs with a prompt become a pair; without files or prompt a sentence says what is missing."""
    files = [str(media.write_gif(tmp_path / f"{name}.gif", coded(128, 80), FPS)) for name in "ab"]
    page = open_page()
    rate(page)
    unfold_form(page)
    page.locator("#pairs-way label", has_text="Clips I bring").click()
    page.locator("#pairs-make").click()
    expect(page.locator("#pairs-said")).to_contain_text("Choose the clips first")
    page.locator("#pairs-prompt textarea").fill("a white bar")
    page.locator("#pairs-files input[type=file]").set_input_files(files)
    expect(page.locator("#pairs-files")).to_contain_text("b")
    page.locator("#pairs-make").click()
    expect(page.locator("#pairs-said")).to_contain_text("2 clips are taken in")
    expect(page.locator(".hv-scene-prompt")).to_have_text("a white bar")


def test_clips_of_another_method_are_named_after_the_vote(open_page, engine, tmp_path):
    """Its name is asked for where clips are brought, and nowhere else; the vote tells it."""
    scene, clip = engine.defaults().with_(pack=""), coded()
    engine._keep(scene, clip[0], clip, 1.0)
    file = media.write_gif(tmp_path / "a.gif", clip, FPS)
    page = open_page()
    rate(page)
    unfold_form(page)
    expect(page.get_by_label("Made by (optional)")).to_have_count(0)
    page.locator("#pairs-way label", has_text="Clips I bring").click()
    page.get_by_label("Made by (optional)").fill("LVDM")
    page.locator("#pairs-files input[type=file]").set_input_files(str(file))
    expect(page.locator("#pairs-files")).to_contain_text("a")
    page.locator("#pairs-make").click()
    expect(page.locator("#pairs-said")).to_contain_text("One clip is taken in and paired with clips of other models")
    vote(page, "1")
    says(page, "LVDM")


def test_typing_is_not_voting(open_page, engine):
    """Keys in a text field write there and do nothing to the pair."""
    keep_clips(engine)
    page = open_page()
    rate(page)
    page.wait_for_selector(OPEN)
    unfold_form(page)
    page.locator("#pairs-prompt textarea").press_sequentially("12s09z")
    assert "12s09z" in page.locator("#pairs-prompt textarea").input_value()
    page.get_by_role("tab", name="Create").click()
    page.keyboard.press("1")
    assert engine.votes == []
    page.get_by_role("tab", name="Prefer").click()
    vote(page, "1")


def test_what_the_votes_say(open_page, engine):
    """The panel opens with the votes so far."""
    keep_clips(engine)
    page = open_page()
    rate(page)
    vote(page, "1")
    page.locator("#votes-panel > button").first.click()
    expect(page.locator("#votes")).to_contain_text("1 vote. Horse run 1.")
    expect(page.locator("#votes")).to_contain_text("<b>liked")


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_phone(open_page, engine, query):
    """At 390 px both clips and the vote are in sight, nothing scrolls sideways, and a touch votes."""
    keep_clips(engine)
    page = open_page(390, 844, query)
    rate(page)
    page.wait_for_selector(OPEN)
    for canvas in page.locator(".hv-pair canvas").all():
        expect(canvas).to_be_in_viewport(ratio=1)
    expect(page.locator("[data-vote=left]")).to_be_in_viewport(ratio=1)
    page.evaluate("scrollTo(0, 150)")  # to the timeline
    over = "([one, two]) => document.querySelector(one).getBoundingClientRect()[two]"
    assert page.evaluate(over, [".hv-ballot", "bottom"]) <= page.evaluate(over, [".hv-marking", "top"])
    expect(page.locator(".hv-timeline")).to_be_in_viewport(ratio=1)
    expect(page.locator("[data-vote=left]")).to_be_in_viewport(ratio=1)
    page.locator(".hv-scores summary").click()
    unfold_form(page)
    page.locator("#votes-panel > button").first.click()
    edges = "[...document.querySelectorAll('#prefer *')].map((part) => part.getBoundingClientRect().right)"
    assert max(page.evaluate(edges)) <= 390
    page.get_by_role("button", name="Below").click()
    says(page, "You chose 2")
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator(".hv-say")).to_be_in_viewport(ratio=1)
