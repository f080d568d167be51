"""What the tests of the Teach tab share."""

import gradio as gr
import pytest

from huvidpo_core import media
from huvidpo_core.ui.teach_form import TeachForm
from huvidpo_core.ui.teach_run import TeachRun
from tests.clips import moving_clip


@pytest.fixture
def form(engine, sessions):
    with gr.Blocks():
        return TeachForm(engine, sessions)


@pytest.fixture
def view(engine):
    with gr.Blocks():
        view = TeachRun(engine)
        view.place_list()
        return view


@pytest.fixture
def clips(tmp_path):
    """Eight clips, 16 frames at 8 a second, all different; text files say what the first two show."""
    paths = []
    for number in range(8):
        frames = moving_clip(16, height=80, width=128)
        frames[:, -8:, -8:] = 20 * number
        paths.append(str(media.write_mp4(tmp_path / "clips" / f"ball{number}.mp4", frames, 8)))
    for number, colour in enumerate(("red", "blue")):
        path = tmp_path / "texts" / f"ball{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(colour)
        paths.append(str(path))
    return paths
