"""What a person does again and again on the Prefer tab."""

from playwright.sync_api import expect

OPEN = "[data-vote=left]:enabled"
SHOWN = "[data-state=rating]"


def rate(page, name="Anna"):
    """Open the tab and say who rates, unless the browser knows."""
    page.get_by_role("tab", name="Prefer").click()
    if name:
        page.locator("[name=rater]").fill(name)
        page.get_by_role("button", name="Start rating").click()


def unfold_form(page):
    """Open *Make pairs*, and wait until it is filled: what is typed before that is lost."""
    page.locator("#pairs > button").first.click()
    expect(page.locator("#pairs-prompt textarea")).not_to_have_value("")
    # What a page does when it shows something new, setting its value once more, is through after two of its frames.
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def says(page, text):
    expect(page.locator(".hv-say")).to_contain_text(text)


def vote(page, key):
    """Wait until the vote is open, and press a key."""
    page.wait_for_selector(OPEN)
    page.locator(".hv-say").evaluate("say => { say.textContent = '' }")
    page.keyboard.press(key)
    expect(page.locator(".hv-say")).not_to_be_empty()
