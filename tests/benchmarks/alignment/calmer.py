"""How much of a rater's taste is a taste for clips that move less, by the kind of pair it judges.

    python -m tests.benchmarks.alignment.calmer [--action helicopter] [--count 24]

For each kind of pair: how much the two clips' scores differ (`raters.faithful`), how much their motion does, how often
the calmer clip has the better score, and the correlation of the two differences. And what the rater says of clips that
were only made duller by hand: every later frame a little nearer to the mean of them.
"""

import argparse
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch

from huvidpo_core.evaluation.metrics import clip_motion
from tests.benchmarks.alignment.raters import faithful
from tests.benchmarks.alignment.stage import ASKED, COLUMNS, TRAINED, Stage, Take, Verdict
from tests.benchmarks.rows import mean, share, written

SOURCES = ("settings", "seeds", "structural", "structural settings")
DULLED = (0.04, 0.08)


def differences(takes: list[Take]) -> tuple[np.ndarray, np.ndarray]:
    """By take, first clip less second: of the rater's score, and of the logarithm of motion."""
    scores = np.array([[faithful(clip, take.truth)[1:].mean() for clip in take.clips] for take in takes])
    motion = np.log([[clip_motion(clip) for clip in take.clips] for take in takes])
    return scores[:, 0] - scores[:, 1], motion[:, 0] - motion[:, 1]


def dulled(clip: np.ndarray, share: float) -> np.ndarray:
    """A clip uint8 (f, h, w, 3) whose frames after the first are moved by a share towards their mean."""
    later = clip[1:].astype(float)
    later += share * (later.mean(0) - later)
    return np.concatenate([clip[:1], later.round().clip(0, 255).astype(np.uint8)])


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--action", default="helicopter")
    parser.add_argument("--count", type=int, default=24, help="pairs of each kind, and clips made duller")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    stage = Stage(options.action)
    sys.stdout.write(
        f"| {options.action}: pairs | scores differ by | motion by, % | the calmer is better, % | correlation |\n"
        f"{'|---' * 5}|\n"
    )
    for source in SOURCES:
        score, motion = differences(stage.takes(TRAINED, options.count, source))
        told = (
            written(mean(abs(score).tolist()), 2),
            written(mean((100 * abs(motion)).tolist()), 1),
            written(share((score * motion < 0).astype(float).tolist()), 0),
            f"{np.corrcoef(score, motion)[0, 1]:.2f}",
        )
        sys.stdout.write(f"| {source} | {' | '.join(told)} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n| made duller by | {COLUMNS} |\n{'|---' * 5}|\n")
    bases = []
    for index in range(options.count):
        scene, text, truth = stage.scene(ASKED, index)
        bases.append(Take(scene, text, truth, (stage.animate(truth[0], text, 5000 + index),)))
    for amount in DULLED:
        takes = [Take(each.scene, each.text, each.truth, (*each.clips, dulled(*each.clips, amount))) for each in bases]
        sys.stdout.write(f"| {100 * amount:.0f} % | {Verdict.of(takes, faithful).cells()} |\n")


if __name__ == "__main__":
    main()
