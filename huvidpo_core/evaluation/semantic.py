"""What is in a clip, by the eyes of models that are handed in: agreement with the prompt, the subject, accuracies.

Neither kind of model is known here: `ClipScorer` and `Judge` say what they must be able to do.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class ClipScorer(Protocol):
    """A model that puts pictures and texts into one space, such as CLIP; d is its width."""

    def image(self, frames: np.ndarray) -> np.ndarray:
        """Pictures, uint8 `(n, h, w, 3)` of any size, as unit vectors, float32 `(n, d)`."""
        ...

    def text(self, texts: list[str]) -> np.ndarray:
        """Texts as unit vectors, float32 `(n, d)`."""
        ...


class Judge(Protocol):
    """A model that names what it sees in a clip, uint8 `(f, h, w, 3)`."""

    def recognise(self, frames: np.ndarray) -> dict[str, str]:
        """Attribute -> label, such as "style" -> "cartoon"; labels are the words that recipes use."""
        ...

    def recognise_motion(self, frames: np.ndarray) -> str:
        """The action, told from the differences between frames alone, so that no still picture can give it away."""
        ...


def clip_score(images: np.ndarray, text: np.ndarray) -> float:
    """CLIPScore of a clip: 100 max(cos, 0), mean over frames; 0 to 100.

    Hessel et al. 2021 per frame, with the factor 100 of the papers on video (HuViDPO among them) in place of 2.5.

    Args:
        images: unit vectors `(f, d)`, one a frame.
        text: unit vector `(d,)` of the prompt.
    """
    return float(100 * np.maximum(images @ text, 0).mean())


def subject_consistency(images: np.ndarray) -> float:
    """How much the subject stays itself: for every frame from 1 on the mean of its cosines, cut off at 0, with frame 0
    and with the frame before; then the mean over frames; 0 to 1.

    As VBench defines it (Huang et al. 2024) on DINO features; with CLIP's, VBench calls it background consistency.

    Args:
        images: unit vectors `(f, d)`, f >= 2.
    """
    first, previous = images[1:] @ images[0], (images[1:] * images[:-1]).sum(axis=1)
    return float((np.maximum(first, 0) + np.maximum(previous, 0)).mean() / 2)


def accuracies(judge: Judge, frames: np.ndarray, truth: Mapping[str, str]) -> dict[str, float]:
    """1 or 0 under `accuracy_<attribute>` for every attribute that is known and that the judge names.

    `accuracy_motion` is the action again, by `recognise_motion`. Without any truth the judge is not asked.
    """
    if not truth:
        return {}
    named = judge.recognise(frames)
    right = {f"accuracy_{what}": float(label == truth[what]) for what, label in named.items() if what in truth}
    if "action" in truth:
        right["accuracy_motion"] = float(judge.recognise_motion(frames) == truth["action"])
    return right
