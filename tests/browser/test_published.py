"""A published checkpoint brought in on the Teach tab, in a real browser, over real (tiny) models."""

import pytest
from playwright.sync_api import expect

from huvidpo_core.engine import Engine
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.ui import build_app, launch_options
from tests.browser.conftest import SLOW
from tests.published import profile_below, write_files

expect.set_options(timeout=SLOW)
pytestmark = pytest.mark.browser


@pytest.fixture
def engine(tmp_path):
    return Engine(profile_below(tmp_path / "models"), tmp_path / "data", "cpu", packs=tmp_path / "packs")


@pytest.fixture
def url(engine):
    """As `app.py` serves it to this machine only."""
    app = build_app(engine, local=True)
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, **launch_options(engine))
    yield url
    app.close()


def choose(page, title):
    field = page.locator("#published-action input")
    field.fill(title)
    field.press("Enter")


def test_a_checkpoint_is_dropped_in_and_chosen(open_page, engine, tmp_path):
    """Files in, a new name, a press: first a mistake that is told, then the pack, which Create has without a reload;
    the same by its path is the action's second."""
    (config, weights), lora = write_files(tmp_path / "uploads")
    page = open_page()
    page.get_by_role("tab", name="Teach").click()
    page.locator("#published > button").first.click()
    page.locator("#published-files input[type=file]").set_input_files([str(weights)])
    expect(page.locator("#published-files")).to_contain_text("diffusion_pytorch_model")
    choose(page, "Ball bounce")
    expect(page.locator("#published-naming")).to_contain_text("ball_bounce")
    page.locator("#published-take").click()
    expect(page.locator("#published-said")).to_contain_text("There is no config.json")
    page.locator("#published-files button[aria-label='Clear']").click()
    page.locator("#published-files input[type=file]").set_input_files([str(config), str(weights)])
    page.locator("#published-lora input[type=file]").set_input_files([str(lora)])
    expect(page.locator("#published-files")).to_contain_text("config")
    expect(page.locator("#published-lora")).to_contain_text("model_weights")
    page.locator("#published-take").click()
    expect(page.locator("#published-said")).to_contain_text("“Ball bounce” in Create")
    assert ActionPack.load(engine._packs_folder / "ball_bounce").preferences == ("preference",)

    page.get_by_role("tab", name="Create").click()
    page.locator("#action").get_by_text("Ball bounce").click()
    page.get_by_role("tab", name="Teach").click()
    page.locator("#published-files button[aria-label='Clear']").click()
    page.locator("#published-folder input, #published-folder textarea").fill(str(tmp_path / "uploads"))
    page.locator("#published-lora button[aria-label='Clear']").click()
    page.get_by_label("LAMP (key frame 0 only)").click()
    page.locator("#published-take").click()
    expect(page.locator("#published-said")).to_contain_text("“Ball bounce 2 (motion)”")
    expect(page.locator("#published-naming")).to_contain_text("ball_bounce-3")
    assert ActionPack.load(engine._packs_folder / "ball_bounce-2").key_frames == "first"
