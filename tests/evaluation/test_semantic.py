"""CLIPScore, subject consistency and accuracies on vectors and answers made by hand."""

import numpy as np
import pytest

from huvidpo_core.evaluation.semantic import accuracies, clip_score, subject_consistency

EAST, NORTH, WEST = np.float32([[1, 0], [0, 1], [-1, 0]])


def test_clip_score_is_the_mean_cosine_times_100():
    """Frames at 0, 60 and 180 degrees from the prompt: 100 (1 + 0.5 + 0) / 3 = 50, opposite counting as nothing."""
    at_60 = np.float32([0.5, 3**0.5 / 2])
    assert clip_score(np.stack([EAST, at_60, WEST]), EAST) == pytest.approx(50, abs=1e-4)


def test_subject_consistency_by_hand():
    """East, north, north, west: with frame 0 0, 0, -1 -> 0; with the frame before 0, 1, 0; so 1/2 of 1/3."""
    assert subject_consistency(np.stack([EAST, NORTH, NORTH, WEST])) == pytest.approx(1 / 6)
    assert subject_consistency(np.stack([NORTH] * 4)) == pytest.approx(1)


class Witness:
    """Says what it is told to, and remembers whether it was asked."""

    def __init__(self, named: dict[str, str], motion: str) -> None:
        self.named, self.motion, self.asked = named, motion, 0

    def recognise(self, frames: np.ndarray) -> dict[str, str]:
        self.asked += 1
        return self.named

    def recognise_motion(self, frames: np.ndarray) -> str:
        self.asked += 1
        return self.motion


def test_accuracies_count_what_is_known():
    """Right is 1, wrong is 0; what the judge names without a truth, or the truth without a judge, does not count."""
    judge = Witness({"action": "rain", "style": "cartoon", "colour": "red"}, "rain")
    truth = {"action": "rain", "style": "pixel_art", "place": "beach"}
    assert accuracies(judge, np.zeros((2, 8, 8, 3), np.uint8), truth) == {
        "accuracy_action": 1, "accuracy_style": 0, "accuracy_motion": 1
    }  # fmt: skip
    judge.motion = "smile"
    assert accuracies(judge, np.zeros((2, 8, 8, 3), np.uint8), truth)["accuracy_motion"] == 0


def test_without_a_truth_the_judge_is_not_asked():
    """Nothing known, nothing judged; without an action the motion is not judged either."""
    judge = Witness({"style": "cartoon"}, "rain")
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    assert accuracies(judge, frames, {}) == {} and judge.asked == 0
    assert accuracies(judge, frames, {"style": "cartoon"}) == {"accuracy_style": 1} and judge.asked == 1
