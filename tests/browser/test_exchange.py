"""Automatic raters and the exchange of datasets, in a real browser."""

import os

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SLOW
from tests.preferences.exported import rate, write_clips
from tests.ui.rated import keep_clips

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


def unfold(page, *names):
    page.get_by_role("tab", name="Prefer").click()
    for name in names:
        page.locator(f"#{name} > button").first.click()


def test_a_judge_is_stopped_and_goes_on(open_page, engine):
    """Progress with the time left, Stop between two votes, then the rest; the panel counts along."""
    keep_clips(engine, 5)
    engine.pause = 1.0
    page = open_page()
    unfold(page, "judges", "votes-panel")
    page.locator("#judges-start").click()
    expect(page.locator("#judges-said")).to_contain_text("step 2 of 10 · about")
    expect(page.locator("#judges-start")).to_be_disabled()
    page.locator("#judges-stop").click()
    expect(page.locator("#judges-said")).to_contain_text("Stopped. What was done until then is kept.")
    expect(page.locator("#judges-stop")).to_be_hidden()
    given = len(engine.votes)
    assert 2 <= given < 10
    engine.pause = 0.01
    page.locator("#judges-start").click()
    expect(page.locator("#judges-said")).to_contain_text(f"{10 - given} votes were given")
    expect(page.locator("#votes")).to_contain_text("10 votes.")
    page.locator("#judges-who label", has_text="vision-language").click()
    expect(page.locator("#judges-about")).to_contain_text("HUVIDPO_JUDGE_URL")


@pytest.mark.parametrize("engine", ["real"], indirect=True)
def test_a_dataset_goes_out_and_comes_back(open_page, engine, tmp_path):
    """The file that Export gives is what Import takes; here nothing in it is new, and the form is free again."""
    (tmp_path / "made").mkdir()
    rate(engine.store, write_clips(tmp_path / "made"))
    page = open_page()
    unfold(page, "exchange")
    page.locator("#exchange-export").click()
    with page.expect_download() as download:
        page.locator("#exchange-link").click()
    assert download.value.suggested_filename == "huvidpo-votes-all.zip"
    download.value.save_as(tmp_path / "votes.zip")
    page.locator("#exchange-files input[type=file]").set_input_files(tmp_path / "votes.zip")
    expect(page.locator("#exchange-files")).to_contain_text("votes")
    page.locator("#exchange-import").click()
    expect(page.locator("#exchange-said")).to_contain_text("Nothing is new")
    expect(page.locator("#exchange-files input[type=file]")).to_be_attached()


def test_what_is_too_large_is_said_before_it_is_sent(open_page, engine, tmp_path):
    """Two gigabytes: the page says the limit at once, and stays as it was."""
    with (tmp_path / "huge.zip").open("wb") as file:
        os.truncate(file.fileno(), 2 * 2**30)
    page = open_page()
    unfold(page, "exchange")
    page.locator("#exchange-files input[type=file]").set_input_files(tmp_path / "huge.zip")
    expect(page.get_by_text("exceed the maximum allowed size of 500").first).to_be_visible()
    page.locator("#exchange-import").click()
    expect(page.locator("#exchange-said")).to_contain_text("Choose what to bring in first")
