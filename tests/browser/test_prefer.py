"""A person at the Prefer tab, in a real browser."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from huvidpo_core.preferences.records import Ballot, Mark
from tests.browser.conftest import READY, SLOW
from tests.browser.rater import OPEN, SHOWN, rate, says, vote
from tests.ui.rated import keep_clips

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser

# The frame that each canvas shows, read from its pixels: where the white bar stands.
FRAMES = """[...document.querySelectorAll('.hv-pair canvas')].map((canvas) => {
  const row = canvas.getContext('2d').getImageData(0, canvas.height / 2, canvas.width, 1).data;
  const bright = [...Array(canvas.width).keys()].filter((x) => row[4 * x] > 128);
  return Math.floor(bright.reduce((sum, x) => sum + x, 0) / bright.length / canvas.width * 16);
})"""
# The same in every animation frame until both have gone through all frames.
WATCH = f"""() => new Promise((done) => {{
  const seen = [], all = new Set();
  const look = () => {{
    const frames = {FRAMES};
    seen.push(frames);
    all.add(frames[0]);
    if (all.size === 16) done(seen); else requestAnimationFrame(look);
  }};
  requestAnimationFrame(look);
}})"""


def test_both_sides_show_the_same_frame(open_page, engine):
    """Playing at any speed, scrubbing, stepping and replaying, the pixels of both canvases are of one frame."""
    keep_clips(engine, 2)
    page = open_page()
    rate(page)
    page.wait_for_selector(SHOWN)
    for speed in ("1", "2"):
        page.locator("[name=speed]").select_option(speed)
        watched = page.evaluate(WATCH)
        assert all(left == right for left, right in watched)
        order = [left for left, _ in watched]
        assert all((after - before) % 16 <= 2 for before, after in pairwise(order))
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    ruler = page.locator(".hv-ruler").bounding_box()
    for frame in (0, 15, 7, 3):
        page.mouse.click(ruler["x"] + ruler["width"] * (frame + 0.5) / 16, ruler["y"] + 5)
        assert page.evaluate(FRAMES) == [frame, frame]
    for key, frame in (("ArrowRight", 4), ("ArrowLeft", 3), ("]", 8), ("[", 0), ("ArrowLeft", 15)):
        page.keyboard.press(key)
        assert page.evaluate(FRAMES) == [frame, frame]
    expect(page.locator(".hv-frame-number")).to_have_text("16 / 16")


def test_a_vote_by_keys(open_page, engine):
    """Voting opens once both have played; marks, scores and vote arrive; the models are named only then."""
    keep_clips(engine)
    answers = []
    page = open_page()
    page.on("response", lambda answer: answers.append(answer) if "component_server" in answer.url else None)
    rate(page)
    page.wait_for_selector(SHOWN)
    page.locator("[name=speed]").select_option("0.25")
    page.keyboard.press("1")
    says(page, "opens when both clips have played")
    expect(page.locator("[data-vote=left]")).to_have_attribute("title", re.compile("opens when both clips have played"))
    assert engine.votes == []
    showing = next(iter(engine.standing.values()))
    before = page.locator("#rating").inner_html() + "".join(answer.text() for answer in answers)
    assert not any(word in before for word in ("liked", "base model", showing.left, showing.right))
    page.keyboard.press(".")
    page.keyboard.press(".")
    page.wait_for_selector(OPEN)
    page.keyboard.press("Space")
    page.keyboard.press("[")
    page.keyboard.press("[")
    page.keyboard.press("q")
    page.keyboard.press("]")
    page.keyboard.press("e")
    page.locator(".hv-scores summary").click()
    page.locator("label:has([name='left consistency'][value='4'])").click()
    vote(page, "1")
    assert engine.votes[0][0] == showing
    ballot = engine.votes[0][1]
    marks = (Mark(0, 8, "left"), Mark(8, 16, "right"))
    assert ballot == Ballot("left", marks, (("left", "consistency", 4),), ballot.seconds)
    titles = {"horse_run": "Horse run (motion)", "horse_run/liked": "Horse run + liked", "": "the bare base model"}
    sides = (engine.clip(clip).recipe for clip in (showing.left, showing.right))
    one, two = (f"{titles[recipe.pack]}, seed {recipe.seed}" for recipe in sides)
    says(page, f"You chose 1. 1 by {one}; 2 by {two}.")
    expect(page.locator(".hv-count")).to_contain_text("1 rated, 2 waiting")
    expect(page.locator(".hv-cell[aria-pressed=true]")).to_have_count(0)  # the next pair starts clean
    expect(page.locator(".hv-scores input:checked")).to_have_count(0)


def test_every_answer_has_a_key_and_a_button(open_page, engine):
    """2, 0, 9 and S, and the buttons, send their choices; skipping needs no watching; in the end the page says so."""
    keep_clips(engine, 4)
    page = open_page()
    rate(page)
    for key in "209":
        vote(page, key)
    page.wait_for_selector("[data-vote=skip]:enabled")
    page.keyboard.press("s")
    says(page, "Skipped")
    page.wait_for_selector(OPEN)
    page.get_by_role("button", name="Left").click()
    says(page, "You chose 1")
    page.wait_for_selector("[data-vote=skip]:enabled")
    page.get_by_role("button", name="Skip").click()
    expect(page.locator(".hv-waits")).to_contain_text("No pair is waiting")
    assert [ballot.choice for _, ballot in engine.votes] == ["right", "tie", "both_bad", "skip", "left", "skip"]


def test_reload_and_undo_lose_nothing(open_page, engine):
    """A reload brings the same pair with its marks and scores; undo brings an answered pair back with
    them."""
    keep_clips(engine)
    page = open_page()
    rate(page)
    page.wait_for_selector(SHOWN)
    showing = next(iter(engine.standing.values()))
    page.locator("[name=length]").select_option("1")
    row = page.locator(".hv-cell[data-side=right]")
    start, end = (row.nth(number).bounding_box() for number in (2, 5))
    page.mouse.move(start["x"] + 5, start["y"] + 5)  # dragging marks all segments on the way
    page.mouse.down()
    page.mouse.move(end["x"] + 5, end["y"] + 5, steps=12)
    page.mouse.up()
    page.locator(".hv-scores summary").click()
    page.locator("label:has([name='right alignment'][value='2'])").click()
    page.reload()
    page.wait_for_selector(READY)
    rate(page, name=None)
    vote(page, "2")
    [(answered, ballot)] = engine.votes
    assert answered == showing
    assert (ballot.marks, ballot.scores) == ((Mark(2, 6, "right"),), (("right", "alignment", 2),))
    page.wait_for_selector(SHOWN + " [data-vote=skip]:enabled")
    page.keyboard.press("z")
    says(page, "taken back")
    says(page, "does not count in comparing models")
    vote(page, "1")
    [(again, other)] = engine.votes
    assert (again.id, other.choice, other.marks, other.scores) == (showing.id, "left", ballot.marks, ballot.scores)
    assert len(engine.taken_back) == 1


def test_a_vote_outlives_a_server_that_does_not_answer(open_page, engine):
    """While the server cannot be reached the vote waits on the page, and is sent when it can be, once."""
    keep_clips(engine)
    page = open_page()
    cut_off = False
    # Routed long before it is cut off: a busy page sends one more request past a route that has just been set.
    page.route("**/component_server/", lambda route: route.abort() if cut_off else route.continue_())
    rate(page)
    page.wait_for_selector(OPEN)
    cut_off = True
    page.keyboard.press("1")
    says(page, "Your vote is kept")
    assert engine.votes == []
    cut_off = False
    says(page, "You chose 1")
    assert len(engine.votes) == 1


def test_a_pair_answered_in_another_window(open_page, engine):
    """The second answer to one pair is refused with a sentence, and the page goes on to the next pair."""
    keep_clips(engine)
    page, other = open_page(), open_page()
    rate(page)
    page.wait_for_selector(OPEN)
    rate(other)
    vote(other, "2")
    page.bring_to_front()
    vote(page, "1")
    says(page, "already been answered")
    vote(page, "0")
    assert [ballot.choice for _, ballot in engine.votes] == ["right", "tie"]


def test_the_next_pair_is_in_memory_before_the_vote(open_page, engine):
    """With its clips out of reach by then, it comes all the same, plays, and can be answered."""
    keep_clips(engine)
    page = open_page()
    fetched = []
    page.on("requestfinished", lambda request: fetched.append(request.url) if ".reel" in request.url else None)
    rate(page)
    while len(fetched) < 2:  # this pair's and the next one's
        page.wait_for_timeout(50)
    page.route("**/*.reel", lambda route: route.abort())
    vote(page, "1")
    says(page, "You chose 1")
    vote(page, "2")
    one, two = (showing.id for showing, _ in engine.votes)
    assert one != two


def test_starts_and_stops_leave_one_clock(open_page, engine):
    """However often play and pause are pressed between two frames, a clip plays at its own speed."""
    keep_clips(engine)
    page = open_page()
    rate(page)
    page.wait_for_selector(OPEN)
    asked = page.evaluate(
        """() => new Promise((done) => {
          for (let i = 0; i < 8; i++) document.querySelector('.hv-play').click();
          const real = window.requestAnimationFrame;
          let asked = 0, frames = 0;
          const count = () => { if (++frames < 10) real(count); else done(asked); };
          real(() => {
            window.requestAnimationFrame = (tick) => { // Gradio has loops of its own
              asked += String(tick).includes('advance');
              return real(tick);
            };
            real(count);
          });
        })"""
    )
    assert 0 < asked <= 11
