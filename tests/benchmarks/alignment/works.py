"""Does alignment work? 60 votes of a simulated rater, then base against aligned on scenes and seeds not voted on.

    python -m tests.benchmarks.alignment.works --action helicopter [--votes 60] [--count 40] [--settings miniature]

The rater (`raters.moving`, or another by `--rater`) knows which pixels move in the renderer's clip of the scene, which
the model does not; one vote in ten is wrong. Both clips of a comparison begin with the same picture and the same noise.
"""

import argparse
import json
import os
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch

from huvidpo_core.training.settings import load_settings
from tests.benchmarks.alignment import raters
from tests.benchmarks.alignment.stage import TRAINED, Stage, motions, votes, wins
from tests.benchmarks.rows import mean, ratio, share


def main() -> None:
    """Rate, align, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--action", default="helicopter")
    parser.add_argument("--rater", default="moving", choices=("moving", "lively", "calm", "faithful"))
    parser.add_argument("--votes", type=int, default=60)
    parser.add_argument("--wrong", type=float, default=0.1, help="share of wrong votes")
    parser.add_argument("--count", type=int, default=40, help="scenes compared")
    parser.add_argument("--settings", default="miniature")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    rater = getattr(raters, options.rater)
    stage = Stage(options.action)
    began = time.monotonic()
    takes = stage.takes(TRAINED, options.votes)
    made = time.monotonic()
    lessons = stage.lessons(takes, votes(takes, rater, options.wrong))
    aligner = stage.align(lessons, load_settings(options.settings))
    trained = time.monotonic()
    compared = stage.compare(options.count)
    won = share(wins(compared, rater))
    base, aligned = motions(compared).T.tolist()
    moved = ratio(aligned, base)
    liked = [mean([rater(take.clips[side], take.truth) for take in compared]) for side in range(2)]
    result = {
        "action": options.action, "rater": options.rater, "votes": options.votes, "wrong": options.wrong,
        "compared": options.count, "wins": won, "motion": moved, "base": liked[0], "aligned": liked[1],
        "steps": aligner.step, "best_step": aligner.best["step"], "beta": aligner.beta,
        "held_out_accuracy": aligner.best["accuracy"], "ended": aligner.ended,
        "seconds": {"clips": made - began, "training": trained - made},
    }  # fmt: skip
    sys.stdout.write(
        "| action | aligned wins, % | score of base | of aligned | motion, aligned / base | best step | training s |\n"
        "|---|---|---|---|---|---|---|\n"
        f"| {options.action} | {_told(won, 0)} | {_told(liked[0], 2)} | {_told(liked[1], 2)} | {_told(moved, 3)} | "
        f"{aligner.best['step']} of {aligner.step} | {trained - made:.0f} |\n{json.dumps(result)}\n"
    )


def _told(values: tuple[float, float, float], digits: int) -> str:
    return "{:.{d}f} ({:.{d}f} to {:.{d}f})".format(*values, d=digits)


if __name__ == "__main__":
    main()
