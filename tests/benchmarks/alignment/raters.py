"""Simulated raters, by frame: they know what the renderer knows of a scene, and the model does not."""

import numpy as np

MOVES = 8  # levels by which a pixel must change between two of the renderer's frames to count as moving


def moving(clip: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Likes change where the renderer knows that something should move; what happens elsewhere is all the same."""
    return _by_frame(_change(clip)[:, _moving(truth)].mean(1))


def calm(clip: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Likes clips in which what should stand still does."""
    return _by_frame(-_change(clip)[:, ~_moving(truth)].mean(1))


def faithful(clip: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dislikes artefacts: every departure from the renderer's own clip."""
    return -np.abs(clip.astype(float) - truth).mean((1, 2, 3))


def _change(clip: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(clip.astype(float), axis=0)).mean(-1)  # (f - 1, h, w)


def _moving(truth: np.ndarray) -> np.ndarray:
    return (_change(truth) > MOVES).any(0)  # (h, w)


def _by_frame(changes: np.ndarray) -> np.ndarray:
    """(f - 1,) to (f,): what changes towards a frame is said of that frame."""
    return np.concatenate([[0.0], changes])
