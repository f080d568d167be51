"""A person at the Create tab, in a real browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from huvidpo_core.media import read_image, read_recipe, read_video
from tests.browser.conftest import READY, SLOW
from tests.browser.person import PLAYS, animate, clip_made, has_picture, paint

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


@pytest.mark.parametrize("engine", ["fake", "real"], indirect=True)
def test_the_walk(open_page, engine, tmp_path):
    """Prompt, first frame, a stroke of paint, animate: the clip plays, is downloaded whole, and kept the paint."""
    page = open_page()
    page.locator("#prompt textarea").fill("a red horse runs on the beach")
    page.locator("#action label", has_text="Horse run").click()
    page.locator("#style label", has_text="Cartoon").click()
    page.locator("#draw").click()
    has_picture(page)
    expect(page.locator("#note")).to_contain_text("Drawn from your words")
    expect(page.locator("#draw")).to_be_enabled()
    paint(page)
    animate(page)
    with page.expect_download() as download:
        page.locator("#mp4-link").click()
    assert download.value.suggested_filename.startswith("a-red-horse-runs-on-the-")
    path = tmp_path / "clip.mp4"
    download.value.save_as(path)
    recipe = read_recipe(path)
    assert (recipe["action"], recipe["style"], recipe["origin"]) == ("horse_run", "cartoon", "edited")
    frames, _ = read_video(path)
    assert len(frames) == engine.profile.video.frames
    stroke = frames[0][frames.shape[1] // 2 + 2, frames.shape[2] // 2].astype(int)
    assert np.abs(stroke - (229, 72, 77)).max() < 60  # the first colour of the palette, after H.264


def test_gif_download(open_page, tmp_path):
    """Download GIF saves an animated GIF."""
    page = open_page()
    clip_made(page)
    with page.expect_download() as download:
        page.locator("#gif").click()
    download.value.save_as(tmp_path / "clip.gif")
    assert Image.open(tmp_path / "clip.gif").n_frames == 16


def test_the_gallery_stays_and_settings_come_back(open_page, engine):
    """In a new window the clip is in the gallery; "Use these settings" brings back its words, seed and picture."""
    page = open_page()
    page.locator("#surprise").click()
    expect(page.locator("#prompt textarea")).not_to_have_value("")
    animate(page)
    recipe = engine.gallery()[0].recipe
    page = open_page()
    page.locator(".hv-card").click()
    expect(page.locator("#recipe")).to_contain_text(f"seed {recipe.seed}")
    page.wait_for_function(PLAYS)
    page.locator("#use").click()
    expect(page.locator("#prompt textarea")).to_have_value(recipe.prompt)
    expect(page.locator(f"#action input[value={recipe.action}]")).to_be_checked()
    expect(page.locator(f"#style input[value={recipe.style}]")).to_be_checked()
    has_picture(page)
    page.locator("#advanced button").first.click()
    expect(page.locator("#seed input")).to_have_value(str(recipe.seed))
    expect(page.locator("#fresh input")).not_to_be_checked()
    page.locator("#animate").click()
    expect(page.locator(".hv-card")).to_have_count(2)
    repeated = engine.gallery()[0].recipe
    assert repeated == recipe


def test_settings_from_a_dropped_mp4(open_page, engine):
    """An MP4 made here, dropped on the page, restores its settings; another file is refused with a sentence."""
    page = open_page()
    clip_made(page)
    video = engine.gallery()[0].video
    page = open_page()
    page.locator("#from-file button").first.click()
    page.locator("#dropped input[type=file]").set_input_files(str(video))
    expect(page.locator("#prompt textarea")).to_have_value("a red horse")
    has_picture(page)
    other = {"name": "x.mp4", "mimeType": "video/mp4", "buffer": b"no video"}
    page.locator("#dropped input[type=file]").set_input_files(other)
    expect(page.get_by_text("carries no recipe").first).to_be_visible()


def test_stop_with_escape(open_page, engine):
    """Ctrl+Enter starts, previews and the bar show, Esc stops at the next step; the page says so until one goes on."""
    engine.pause = 0.4
    page = open_page()
    page.locator("#prompt textarea").fill("a red horse")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#stage img")).to_be_visible()
    expect(page.locator("#bar")).to_contain_text("step")
    expect(page.locator("#bar")).to_contain_text("left")
    assert "processing" not in page.locator("body").inner_text()
    page.keyboard.press("Escape")
    expect(page.locator("#bar")).to_contain_text("Stopped")
    expect(page.locator("#animate")).to_be_enabled()
    expect(page.locator("#stop")).to_be_hidden()
    assert engine.gallery() == []
    page.locator("#style label", has_text="Cartoon").click()
    expect(page.locator("#bar")).not_to_contain_text("Stopped")


def test_reload_in_the_middle_frees_the_engine(open_page, engine):
    """A page reloaded during work stops that work, and says so; the fresh page can make a clip at once."""
    engine.pause = 0.3
    page = open_page()
    page.locator("#prompt textarea").fill("a blue horse")
    page.locator("#animate").click()
    expect(page.locator("#stage img")).to_be_visible()
    page.reload()
    engine.pause = 0.02
    page.wait_for_selector("#editor canvas")
    page.wait_for_selector(READY)
    expect(page.get_by_text("reloaded while something was being made").first).to_be_visible()
    clip_made(page)
    assert [clip.recipe.prompt for clip in engine.gallery()] == ["a red horse"]


def test_redraw_what_is_brushed(open_page):
    """Strokes become a mask: the marked part is drawn anew and the strokes are gone."""
    page = open_page()
    page.locator("#prompt textarea").fill("a red horse")
    page.locator("#repaint").click()
    expect(page.locator("#bar")).to_contain_text("There is no picture yet")
    expect(page.locator(".toast-body")).to_have_count(0)  # one error, one place
    page.locator("#draw").click()
    has_picture(page)
    expect(page.locator("#draw")).to_be_enabled()
    page.locator("#repaint").click()
    expect(page.locator("#bar")).to_contain_text("Nothing is marked")
    paint(page)
    page.locator("#repaint").click()
    expect(page.locator("#stage")).to_contain_text("first frame is ready")
    page.locator("#repaint").click()
    expect(page.locator("#bar")).to_contain_text("Nothing is marked")


def test_uploads(open_page, engine, tmp_path):
    """A photo is refitted and animated as 'uploaded'; 20,000x20,000 and a text file are refused with a sentence."""
    photo, bomb, text = tmp_path / "photo.jpg", tmp_path / "bomb.png", tmp_path / "text.png"
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(noise).resize((1200, 900)).save(photo)
    Image.new("1", (20_000, 20_000)).save(bomb)
    text.write_text("hello")
    page = open_page()
    chooser = page.locator("input[data-testid='Upload a picture-upload-button']")
    chooser.set_input_files(str(bomb))
    expect(page.get_by_text("is too large").first).to_be_visible()
    chooser.set_input_files(str(text))
    expect(page.get_by_text("is not a picture").first).to_be_visible()
    chooser.set_input_files(str(photo))
    expect(page.locator("#note")).to_contain_text("Your own picture")
    clip_made(page)
    clip = engine.gallery()[0]
    assert clip.recipe.origin == "uploaded"
    assert np.array_equal(read_image(clip.picture), engine.fit(read_image(photo)))


def test_a_picture_dropped_on_the_editor(open_page):
    """Dropping a picture on the editor is an upload."""
    buffer = io.BytesIO()
    Image.new("RGB", (80, 60), "orange").save(buffer, "PNG")
    page = open_page()
    page.evaluate(
        """data => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], 'drop.png', {type: 'image/png'}));
            const options = {dataTransfer: transfer, bubbles: true, cancelable: true};
            document.querySelector('#editor canvas').dispatchEvent(new DragEvent('drop', options));
        }""",
        base64.b64encode(buffer.getvalue()).decode(),
    )
    expect(page.locator("#note")).to_contain_text("Your own picture")


def test_delete_asks_first(open_page, engine):
    """Delete asks; keeping keeps, deleting deletes and clears the stage."""
    page = open_page()
    clip_made(page)
    page.locator("#delete").click()
    page.locator("#confirm-no").click()
    expect(page.locator("#confirm")).to_be_hidden()
    assert len(engine.gallery()) == 1
    page.locator("#delete").click()
    page.locator("#confirm-yes").click()
    expect(page.locator(".hv-nothing")).to_be_visible()
    expect(page.locator("#details")).to_be_hidden()
    assert engine.gallery() == []


def test_the_menu_of_motions(open_page, engine):
    """The menu follows the action, and a pack that appears on disk is there when it is opened."""
    page = open_page()
    page.locator("#action label", has_text="Rain").click()
    menu = page.locator("#pack input")
    expect(menu).to_have_value("Rain (motion)")
    engine.extra_packs.append(engine.packs("smile")[0].__class__("rain/new", "Rain + new"))
    menu.click()
    page.get_by_role("option", name="Rain + new").click()
    clip_made(page)
    assert engine.gallery()[0].recipe.pack == "rain/new"


@pytest.mark.parametrize("query", ["", "?__theme=dark"])
def test_phone(open_page, query):
    """At 390 px nothing scrolls sideways, before and after a clip, and Animate is in sight."""
    page = open_page(390, 844, query)
    expect(page.locator("#animate")).to_be_in_viewport()
    clip_made(page)
    expect(page.locator("#stage video")).to_be_in_viewport()
    expect(page.locator("#animate")).to_be_in_viewport()
    page.locator("#repaint").focus()
    clear = "() => document.querySelector('#repaint').getBoundingClientRect().bottom"
    assert page.evaluate(clear) <= page.locator("#actionbar").bounding_box()["y"]
    page.locator("#advanced button").first.click()
    for dot in page.locator("footer .divider").all():  # between links of which a phone shows one
        expect(dot).to_be_hidden()
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]


def test_two_people_at_once(open_page, engine):
    """Two windows work at the same time without taking each other's clip or stop."""
    engine.pause = 0.2
    first, second = open_page(), open_page()
    first.locator("#prompt textarea").fill("a red horse")
    second.locator("#prompt textarea").fill("a blue horse")
    first.locator("#animate").click()
    second.locator("#animate").click()
    expect(first.locator("#stage img")).to_be_visible()
    second.locator("#stop").click()
    expect(first.locator("#recipe")).to_contain_text("a red horse")
    expect(second.locator("#bar")).to_contain_text("Stopped")
    assert [clip.recipe.prompt for clip in engine.gallery()] == ["a red horse"]
