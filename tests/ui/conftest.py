"""What the UI tests share: a quick engine and a launched app."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import pytest
from gradio_client import Client

from huvidpo_core.ui import build_app, launch_options
from huvidpo_core.ui.align_run import AlignRun
from huvidpo_core.ui.session import Sessions
from tests.ui.fake_engine import FakeEngine


@pytest.fixture
def engine(tmp_path):
    """A fake engine with an empty data folder."""
    return FakeEngine(tmp_path / "data", pause=0.001)


@pytest.fixture
def sessions():
    return Sessions()


@pytest.fixture
def view(engine):
    """The part of the Align tab that follows a run."""
    with gr.Blocks():
        view = AlignRun(engine)
        view.place_list()
        return view


@pytest.fixture
def client(engine):
    """A client of a launched app."""
    app = build_app(engine)
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, **launch_options(engine))
    yield Client(url, verbose=False, httpx_kwargs={"timeout": 60})
    app.close()
