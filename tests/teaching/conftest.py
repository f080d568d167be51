"""What the tests of teaching share: clips, tiny models and a way to begin."""

from pathlib import Path

import pytest
import torch

from huvidpo_core import media
from huvidpo_core.engine import Engine
from huvidpo_core.training.record import RunFolder
from tests.clips import moving_clip
from tests.teaching.taught_here import SETTINGS
from tests.tiny_models import make_profile
from tests.training.whole import make_pack


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def clips(profile, tmp_path_factory) -> Path:
    """Eight clips, one of them long, each with words of its own."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(8):
        clip = moving_clip(9 if number == 3 else 4)
        clip[:, :6, :6] = 30 * number
        media.write_mp4(folder / f"clip{number}.mp4", clip, profile.video.fps)
        (folder / f"clip{number}.txt").write_text(f"number {number}")
    return folder


@pytest.fixture
def engine(profile, tmp_path):
    """With an action pack, and an empty data folder."""
    make_pack(profile, tmp_path / "packs" / profile.family)
    return Engine(profile, tmp_path / "data", device="cpu", packs=tmp_path / "packs")


@pytest.fixture(autouse=True)
def one_thread():
    """As the processes of `in_a_process`: sums in another order differ in the last digit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def begin(engine, clips, tmp_path):
    """Begins runs, each in its folder."""

    def begin(name: str = "run", settings=SETTINGS, action="jump", **how) -> RunFolder:
        how = {"output": tmp_path / name, "adopt": False} | how
        return engine.trainings.prepare_teaching(action, [clips], "a square of {} jumps", settings, **how)

    return begin
