"""What the tests of the Align tab share."""

import gradio as gr
import pytest

from huvidpo_core.ui.align_form import AlignForm
from tests.finished import write_pack


@pytest.fixture
def form(engine, sessions):
    with gr.Blocks():
        return AlignForm(engine, sessions)


@pytest.fixture
def pack(engine):
    return write_pack(engine.data / "packs" / "waterfall")
