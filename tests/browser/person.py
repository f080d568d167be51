"""What a person does again and again on the Create tab."""

from playwright.sync_api import expect

PLAYS = "() => { const v = document.querySelector('#stage video'); return v && v.readyState >= 2 && v.currentTime > 0 }"


def has_picture(page):
    expect(page.locator("#note .hv-has")).to_be_visible()


def paint(page):
    """A stroke across the middle of the picture."""
    page.locator("#editor button[aria-label='Brush']").click()
    box = page.locator("#editor canvas").last.bounding_box()
    x, y, w, h = (box[key] for key in ("x", "y", "width", "height"))
    page.mouse.move(x + 0.4 * w, y + 0.5 * h)
    page.mouse.down()
    page.mouse.move(x + 0.6 * w, y + 0.55 * h, steps=8)
    page.mouse.up()
    expect(page.locator("#note")).to_contain_text("edited by you")


def animate(page):
    """Press Animate and wait until the new clip plays."""
    page.locator("#animate").click()
    expect(page.locator("#mp4-link")).to_be_visible()
    expect(page.locator("#animate")).to_be_visible()
    page.wait_for_function(PLAYS)


def clip_made(page):
    """A clip from a prompt, in one press."""
    page.locator("#prompt textarea").fill("a red horse")
    animate(page)
