"""Clips on disk, small and quick."""

from pathlib import Path

import numpy as np
import pytest

from huvidpo_core import media


def moving(frames: int = 4, width: int = 48, height: int = 32, seed: int = 0) -> np.ndarray:
    """A bright square that crosses a random picture: uint8 (f, h, w, 3)."""
    image = np.random.default_rng(seed).integers(60, 120, (height, width, 3), dtype=np.uint8)
    clip = np.stack([image] * frames)
    for i in range(frames):
        clip[i, 8:20, 3 * i : 3 * i + 12] = 230
    return clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An MP4 with a recipe, a GIF of another size, rate and length in a folder of its own."""
    recipe = {"prompt": "a red square", "action": "rain", "style": "cartoon", "seed": 1, "of_a_later_version": [1]}
    media.write_mp4(tmp_path / "clips" / "red.mp4", moving(), 8, recipe)
    media.write_gif(tmp_path / "clips" / "others" / "blue.gif", moving(6, 40, 24, seed=1), 10)
    return tmp_path / "clips"
