"""What the app says: sentences, escaping, links."""

import base64
import io
import threading

import numpy as np
import pytest
from PIL import Image

from huvidpo_core.engine import PackChoice, Progress
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui import words
from tests.ui.fake_engine import DOWNLOAD


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "estimating the time left"),
        (0.2, "about 1 s left"),
        (5.4, "about 5 s left"),
        (89, "about 89 s left"),
        (200, "about 3 min left"),
    ],
)
def test_time_left(seconds, said):
    """Time left is said in words, rounded as a person would."""
    assert words.time_left(seconds) == said


def test_progress_bar():
    """The bar shows stage, step, time and the share done."""
    bar = words.progress_bar(Progress("animating", 2, 8, 12.0))
    assert "Animating" in bar
    assert "step 2 of 8 · about 12 s left" in bar
    assert "width:25%" in bar


def test_the_last_step_promises_nothing_and_a_phase_has_no_steps():
    """At the last step no time is told; decoding has a name, and neither step nor share."""
    assert "left" not in words.progress_bar(Progress("animating", 4, 4, 0.0))
    assert "3,100 of 10,300 MB" in words.progress_bar(Progress("fetching a model", 3100, 10300, unit="MB"))
    bar = words.progress_bar(Progress("decoding the clip", 0, 1))
    assert "Decoding the clip" in bar
    assert not any(said in bar for said in ("step", "left", "aria-valuenow"))


def test_a_motion_is_named_as_in_its_menu():
    """The recipe names a motion by its title; one that is gone, readably; the base model, as none."""
    recipe = Recipe("a", "horse_run", "cartoon", pack="horse_run")
    assert words.motion_words(recipe, [PackChoice("horse_run", "Horse run (motion)")]) == "motion “Horse run” at 100%"
    gone = words.motion_words(recipe.with_(pack="horse_run/mine"), [])
    assert gone == "motion “Horse run + mine (no longer there)” at 100%"
    assert words.motion_words(recipe.with_(pack=""), []) == "no learnt motion"


def test_prompts_are_escaped(engine):
    """A prompt with markup is shown as text in the recipe, the stage, the gallery and the download link."""
    prompt = '<img src=x onerror=alert(1)> "quoted" <b>'
    recipe = engine.defaults().with_(prompt=prompt)
    *_, picture = engine.first_frame(recipe, threading.Event())
    *_, clip = engine.animate(recipe, picture.image, threading.Event())
    shown = (
        words.recipe_words(clip, engine.actions, engine.styles)
        + words.stage_clip(clip)
        + words.gallery([clip], "", 10)
        + words.download_link(clip.video, clip.recipe, "MP4", "x")
    )
    assert "<img src=x" not in shown
    assert "<b>" not in shown
    assert '"quoted"' not in shown


def test_download_name(tmp_path):
    """A download is named after its prompt and seed, whatever characters the prompt holds."""
    link = words.download_link(tmp_path / "ab.mp4", Recipe("A réd/../horse: 'runs'!", "a", "s", seed=7), "MP4", "x")
    assert 'download="a-réd-horse-runs-7.mp4"' in link


def test_preview_is_a_small_picture_or_clip():
    """Previews become data addresses: still for a picture, animated for a clip."""
    noise = np.random.default_rng(0).integers(0, 255, (5, 40, 64, 3)).astype(np.uint8)
    for pixels, frames in ((noise, 5), (noise[0], 1)):
        data = base64.b64decode(words.data_uri(pixels).partition(",")[2])
        image = Image.open(io.BytesIO(data))
        assert image.size == (64, 40)
        assert getattr(image, "n_frames", 1) == frames


def test_downloads_say_what_size_and_licence(monkeypatch):
    """The panel lists each model's name, size and licence, and the sum, and says where they go."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/big disk/hub")
    assert words.downloads([]) == ""
    panel = words.downloads([DOWNLOAD, DOWNLOAD])
    assert DOWNLOAD.name in panel
    assert "6.9 GB" in panel
    assert "13.8 GB in all" in panel
    assert DOWNLOAD.licence in panel and "/big disk/hub" in panel
