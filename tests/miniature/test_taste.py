"""The preference that the first-frame UNet is taught: what a pair differs in, and how colour is measured."""

import numpy as np
import pytest

from huvidpo_core.miniature.taste import colourfulness, render_pair
from huvidpo_core.miniature.world import Scene


def test_colourfulness_by_hand():
    """Grey has none. Half red (255, 0, 0), half cyan: red-green is 255 and -255, the other axis 127.5 and -127.5."""
    assert colourfulness(np.full((4, 4, 3), 90, np.uint8)) == 0
    half = np.zeros((2, 4, 3), np.uint8)
    half[:, :2, 0] = 255
    half[:, 2:, 1:] = 255
    assert colourfulness(half) == pytest.approx(np.hypot(255, 127.5))


def test_a_pair_is_the_same_scene_with_and_without_faults():
    """The preferred side is the more colourful; the other is duller, off centre, or both; the seed decides alone."""
    scene = Scene("helicopter", style="cartoon", color="red", place="beach", shift=0.03)
    faults = set()
    for seed in range(12):
        preferred, other = render_pair(scene, np.random.default_rng(seed))
        again = render_pair(scene, np.random.default_rng(seed))
        assert np.array_equal(preferred, again[0]) and np.array_equal(other, again[1])
        assert colourfulness(preferred) > colourfulness(other)
        moved = abs(_column_of_red(preferred) - _column_of_red(other)) > 4
        faults.add((moved, colourfulness(other) < 0.85 * colourfulness(preferred)))
    assert (True, False) in faults or (True, True) in faults
    assert any(not moved for moved, _ in faults)


def _column_of_red(picture: np.ndarray) -> float:
    """Mean column of what is much redder than green and blue: the helicopter."""
    red = picture.astype(int)
    return float(np.nonzero((red[..., 0] - red[..., 1:].max(-1)) > 40)[1].mean())
