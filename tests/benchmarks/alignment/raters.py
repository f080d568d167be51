"""Simulated raters: they know what the renderer knows of a scene, and the model does not."""

import numpy as np

MOVES = 8  # levels by which a pixel must change between two of the renderer's frames to count as moving


def moving(clip: np.ndarray, truth: np.ndarray) -> float:
    """Likes change where the renderer knows that something should move; what happens elsewhere is all the same."""
    return float(_change(clip)[:, _moving(truth)].mean())


def lively(clip: np.ndarray, truth: np.ndarray) -> float:
    """Likes a lively subject before a calm background: change where something should move, less thrice elsewhere."""
    moving = _moving(truth)
    change = _change(clip)
    return float(change[:, moving].mean() - 3 * change[:, ~moving].mean())


def calm(clip: np.ndarray, truth: np.ndarray) -> float:
    """Likes clips in which what should stand still does."""
    return -float(_change(clip)[:, ~_moving(truth)].mean())


def faithful(clip: np.ndarray, truth: np.ndarray) -> float:
    """Dislikes artefacts: every departure from the renderer's own clip."""
    return -float(np.abs(clip[1:].astype(float) - truth[1:]).mean())


def faithful_by_frame(clip: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """`faithful` for each frame, (f,)."""
    return -np.abs(clip.astype(float) - truth).mean((1, 2, 3))


def _change(clip: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(clip.astype(float), axis=0)).mean(-1)  # (f - 1, h, w)


def _moving(truth: np.ndarray) -> np.ndarray:
    return (_change(truth) > MOVES).any(0)  # (h, w)
