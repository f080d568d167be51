"""What the judge's names are chosen from: probabilities of every word (a random network)."""

import numpy as np
import pytest
import torch

from huvidpo_core.evaluation.judge import Judge, JudgeModel

LABELS = {"action": ["rain", "smile", "horse_run"], "color": ["red", "blue"]}


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge(JudgeModel(labels=LABELS, vocabulary=16, length=8, widths=(16, 32)), tokenizer=None)


def test_they_sum_to_one_and_the_name_is_the_likeliest(judge):
    """Of motion exactly; of looks at most, being a geometric mean over the frames; the words are the labels."""
    frames = np.random.default_rng(1).integers(0, 255, (6, 40, 64, 3), dtype=np.uint8)
    looks, motion = judge.likelihoods(frames), judge.motion_likelihoods(frames)
    assert {name: list(words) for name, words in looks.items()} == LABELS and list(motion) == LABELS["action"]
    assert np.exp(list(motion.values())).sum() == pytest.approx(1, abs=1e-5)
    assert all(0.5 < np.exp(list(words.values())).sum() <= 1 + 1e-5 for words in looks.values())
    assert judge.recognise(frames) == {name: max(words, key=words.get) for name, words in looks.items()}
    assert judge.recognise_motion(frames) == max(motion, key=motion.get)
    (one,) = (np.exp(list(words.values())).sum() for words in [judge.likelihoods(frames[:1])["color"]])
    assert one == pytest.approx(1, abs=1e-5)
