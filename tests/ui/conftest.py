"""What the UI tests share: a quick engine and a launched app."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import pytest

from tests.ui.fake_engine import FakeEngine


@pytest.fixture
def engine(tmp_path):
    """A fake engine with an empty data folder."""
    return FakeEngine(tmp_path / "data", pause=0.001)
