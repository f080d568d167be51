"""Does alignment work? 60 votes of a simulated rater, then base against aligned on scenes and seeds not voted on.

    python -m tests.benchmarks.alignment.works --action helicopter [--votes 60] [--count 24] [--settings miniature]
        [--rater moving] [--save LORA.safetensors] [--sheet F.png]

The rater (`raters.moving`, or another by `--rater`) knows which pixels move in the renderer's clip of the scene, which
the model does not; one vote in ten is wrong. Both clips of a comparison begin with the same picture and the same noise.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch

from huvidpo_core.models import preference
from huvidpo_core.training import lora
from huvidpo_core.training.settings import load_settings
from tests.benchmarks.alignment import raters
from tests.benchmarks.alignment.stage import COLUMNS, TRAINED, VOTES, Stage, Verdict, sheet, votes


def main() -> None:
    """Rate, align, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--action", default="helicopter")
    parser.add_argument("--rater", default="moving", choices=("moving", "calm", "faithful"))
    parser.add_argument("--votes", type=int, default=VOTES)
    parser.add_argument("--wrong", type=float, default=0.1, help="share of wrong votes")
    parser.add_argument("--source", default="settings", choices=("settings", "seeds"), help="of the pairs")
    parser.add_argument("--count", type=int, default=24, help="scenes compared")
    parser.add_argument("--settings", default="miniature")
    parser.add_argument("--save", type=Path, help="write the LoRA to this file")
    parser.add_argument("--sheet", type=Path, help="picture: render, base and aligned of four scenes")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    rater = getattr(raters, options.rater)
    stage = Stage(options.action)
    began = time.monotonic()
    takes = stage.takes(TRAINED, options.votes, options.source)
    made = time.monotonic()
    lessons = stage.lessons(takes, votes(takes, rater, options.wrong))
    aligner = stage.align(lessons, load_settings(options.settings))
    trained = time.monotonic()
    if options.save:
        preference.save(stage.animator.unet, lora.NAME, options.save)
    compared = stage.compare(options.count)
    if options.sheet:
        sheet(compared[:4], options.sheet)
    verdict, best = Verdict.of(compared, rater), aligner.best
    sys.stdout.write(
        f"| action | {COLUMNS} | held-out pairs in order, % | best step | training s |\n{'|---' * 8}|\n"
        f"| {options.action} | {verdict.cells()} | {100 * best['accuracy']:.0f} of {len(aligner.held_out)} | "
        f"{best['step']} of {aligner.step} | {trained - made:.0f} |\n"
    )
    result = {
        "action": options.action, "rater": options.rater, "votes": options.votes, "wrong": options.wrong,
        "compared": options.count, **asdict(verdict), "steps": aligner.step, "best_step": best["step"],
        "beta": aligner.beta, "held_out_accuracy": best["accuracy"], "ended": aligner.ended,
        "checks": [[at.step, at.accuracy, at.loss, at.winner_change, at.motion] for at in stage.checks],
        "seconds": {"clips": made - began, "training": trained - made},
    }  # fmt: skip
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
