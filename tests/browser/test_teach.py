"""A person at the Teach tab, in a real browser: clips dropped in, an action taught by a process of its own, chosen."""

import re

import pytest
from playwright.sync_api import expect

from huvidpo_core import media
from huvidpo_core.config import ASSETS, load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.models.packs import TAUGHT as TAUGHT_HERE
from huvidpo_core.training.material import Material
from tests.browser.conftest import READY, SLOW
from tests.clips import moving_clip
from tests.finished import write_pack
from tests.ui.fake_engine import FakeEngine

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser

TAUGHT = 400_000  # ms; a process that loads torch and the models, on a busy machine


@pytest.fixture
def engine(request, tmp_path):
    """The fake engine, or the real one over packs of the test's own: what is taught must not stay in the project."""
    if getattr(request, "param", "fake") == "fake":
        return FakeEngine(tmp_path / "data", pause=0.05)
    if not (ASSETS / "miniature").exists():
        pytest.skip("assets/miniature is not there yet")
    return Engine(load_profile("miniature"), tmp_path / "data", packs=tmp_path / "packs")


@pytest.fixture
def clips(tmp_path):
    """Three clips of a moving block."""
    made = [
        media.write_mp4(tmp_path / f"block{n}.mp4", moving_clip(6, height=80, width=128)[:, :, :: 1 - 2 * (n % 2)], 8)
        for n in range(2)
    ]
    made.append(media.write_gif(tmp_path / "block2.gif", moving_clip(5, height=80, width=128), 8))
    return [str(path) for path in made]


def open_tab(page):
    page.get_by_role("tab", name="Teach").click()
    expect(page.locator("#teach-start")).to_be_visible()


def drop(page, clips):
    page.locator("#teach-files input[type=file]").set_input_files(clips)
    expect(page.locator(".hv-shot img")).to_have_count(len(clips))


@pytest.mark.parametrize("engine", ["real"], indirect=True)
@pytest.mark.slow
def test_an_action_is_taught_and_chosen(open_page, clips):
    """Clips in, a word typed into a gap, one press; the process ends; Create has it with its motion, all menus have it,
    and so has a page that is opened then."""
    page = open_page()
    open_tab(page)
    page.locator("#teach-title input, #teach-title textarea").fill("Block slide")
    page.locator("#teach-prompt textarea").fill("a {} block slides")
    drop(page, clips)
    expect(page.locator("#teach-remarks")).to_contain_text("There are 3 clips only")
    page.locator("#teach-more > button").first.click()
    expect(page.locator("#teach-steps input")).to_have_value("120")
    page.locator("#teach-steps input").fill("2")
    page.locator("#teach-check input").fill("2")
    page.get_by_label("What varies in block1.mp4").fill("white")
    page.locator("#teach-start").click()
    expect(page.locator("#teach-head")).to_contain_text("“a {} block slides”")
    page.reload()
    page.wait_for_selector(READY)
    open_tab(page)
    expect(page.get_by_label("What varies in block1.mp4")).to_have_value("white")
    expect(page.locator("#teach-made")).to_contain_text("“Block slide” can now be chosen in Create", timeout=TAUGHT)
    expect(page.locator("#teach-plots svg")).to_have_count(3)
    page.wait_for_function("() => [...document.querySelectorAll('#teach-clips video')].some((v) => v.readyState >= 2)")
    page.locator("#teach-try").click()
    expect(page.get_by_role("tab", name="Create")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#action label.selected")).to_have_text("Block slide")
    expect(page.locator("#pack input")).to_have_value("Block slide (motion)")
    expect(page.locator("#prompt textarea")).to_have_value(re.compile("block slides"))
    page.get_by_role("tab", name="Prefer").click()
    expect(page.locator("#rating [name=action] option")).to_contain_text(["All actions", "Waterfall", "Block slide"])
    other = open_page()
    other.locator("#action label", has_text="Block slide").click()
    expect(other.locator("#pack input")).to_have_value("Block slide (motion)")


def test_a_taught_action_is_renamed_and_deleted(open_page, engine):
    """All menus follow at once; where it was chosen another action is; it is asked first."""
    write_pack(engine.data / "packs" / "ball", title="Ball", training={"source": TAUGHT_HERE})
    page = open_page()
    page.locator("#action label", has_text="Ball").click()
    page.get_by_role("tab", name="Prefer").click()
    page.locator("#rating [name=action]").wait_for(state="attached")
    open_tab(page)
    page.locator("#taught > button").first.click()
    expect(page.locator("#taught-action input")).to_have_value("Ball (ball)")
    page.locator("#taught-title :is(input, textarea)").fill("Rubber ball")
    page.locator("#taught-rename").click()
    expect(page.locator("#taught-said")).to_contain_text("It is called “Rubber ball” now.")
    expect(page.locator("#taught-action input")).to_have_value("Rubber ball (ball)")
    expect(page.locator("#rating [name=action] option").last).to_have_text("Rubber ball")
    page.get_by_role("tab", name="Create").click()
    expect(page.locator("#action label.selected")).to_have_text("Rubber ball")
    open_tab(page)
    page.locator("#taught-delete").click()
    expect(page.locator("#taught-question")).to_contain_text("Delete Rubber ball for good?")
    expect(page.locator("#taught-said p")).to_have_count(0)
    page.locator("#taught-yes").click()
    expect(page.locator("#taught-empty")).to_contain_text("None yet")
    expect(page.locator("#taught-said")).to_contain_text("It is deleted.")
    expect(page.locator("#taught-confirm")).to_be_hidden()
    expect(page.locator("#rating [name=action] option", has_text="ball")).to_have_count(0)
    page.get_by_role("tab", name="Create").click()
    expect(page.locator("#action label.selected")).to_have_text("Waterfall")
    expect(page.locator("#pack input")).to_have_value("Waterfall (motion)")


def test_a_mistake_is_told_and_a_name_that_is_there_explained(open_page, engine, clips, tmp_path):
    """Every gap can be reached by keys; a clip is left out by a press, its words go with it, and the focus stays in the
    strip; what is taught is what is seen."""
    write_pack(engine.data / "packs" / "waterfall")
    page = open_page(width=390, height=844)
    open_tab(page)
    drop(page, clips)
    page.locator("#teach-start").click()
    expect(page.locator(".toast-body")).to_contain_text("What is the action called?")
    expect(page.locator(".hv-shot")).to_have_count(3)
    page.locator("#teach-title input, #teach-title textarea").fill("Waterfall")
    expect(page.locator("#teach-naming")).to_contain_text("the new one will be called “Waterfall 2”")
    page.locator("#teach-prompt textarea").fill("a {} block")
    expect(page.get_by_label("What varies in block2.gif")).to_have_value("")
    page.locator("#teach-start").click()  # a gap that was never filled is not emptied by that
    expect(page.locator("#teach-head")).to_contain_text("Running")
    (tmp_path / "block2.txt").write_text("grey")
    page.locator("#teach-files input[type=file]").set_input_files(str(tmp_path / "block2.txt"))
    expect(page.get_by_label("What varies in block2.gif")).to_have_value("grey")
    page.locator("#teach-stop").click()
    expect(page.locator("#teach-head")).to_contain_text("Stopped. Resume continues here.")
    page.get_by_label("What varies in block0.mp4").fill("red, and of an altogether remarkable size for its age")
    strip = page.locator("#teach-strip .hv-strip")
    assert strip.evaluate("(strip) => strip.scrollWidth <= strip.clientWidth")
    page.keyboard.press("Enter")
    page.keyboard.type("blue")
    page.keyboard.press("Enter")
    expect(page.get_by_label("What varies in block2.gif")).to_be_focused()
    page.get_by_role("button", name="Leave out block0.mp4").press("Enter")
    expect(page.locator(".hv-shot")).to_have_count(2)
    expect(page.get_by_role("button", name="Leave out block1.mp4")).to_be_focused()
    expect(page.get_by_label("What varies in block1.mp4")).to_have_value("blue")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#teach-start").click()
    expect(page.locator("#teach-head h2")).to_be_in_viewport()
    expect(page.locator("#teach-head")).to_contain_text("Running")
    texts = [[take.text for take in Material.load(run.path).takes] for run in engine.trainings.runs("teach")]
    assert texts == [["a blue block", "a grey block"], ["a block"] * 3]
    page.locator("#teach-stop").click()
    expect(page.locator("#teach-head")).to_contain_text("Stopped. Resume continues here.")
