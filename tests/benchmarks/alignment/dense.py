"""DenseDPO's claim: a rater who dislikes artefacts teaches plain DPO to stand still; labels by segment on pairs that
share their motion do not.

    python -m tests.benchmarks.alignment.dense [--action helicopter] [--labels 60] [--count 24]

All learn from the same number of labels of the same rater (`raters.faithful`), one in ten of them wrong: one for each
of two independent clips; one for each structural pair (one clip noised part-way and denoised twice); one for each
second of half as many structural pairs; the same where the two seeds also have two settings, for seeds alone make
little difference here (`calmer`). No training is ended for lost motion here: it is what is measured.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, replace

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch

from huvidpo_core.training import lora
from huvidpo_core.training.settings import load_settings
from tests.benchmarks.alignment import raters
from tests.benchmarks.alignment.stage import COLUMNS, TRAINED, VOTES, Stage, Verdict, votes

WAYS = {  # title: source of pairs, loss, labels a pair
    "independent pairs, one label each": ("settings", "huvidpo", 1),
    "structural pairs, one label each": ("structural", "huvidpo", 1),
    "structural pairs, a label a second": ("structural", "dense", 2),
    "structural pairs of two settings, a label a second": ("structural settings", "dense", 2),
    "structural pairs of the renderer's clips, a label a second": ("real structural", "dense", 2),
    "the same of two settings": ("real structural settings", "dense", 2),
}


def main() -> None:
    """Rate, align and compare, for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--action", default="helicopter")
    parser.add_argument("--labels", type=int, default=VOTES)
    parser.add_argument("--wrong", type=float, default=0.1, help="share of wrong labels")
    parser.add_argument("--count", type=int, default=24, help="scenes compared")
    parser.add_argument("--settings", default="miniature")
    parser.add_argument("--ways", type=int, nargs="*", default=list(range(len(WAYS))), help="which rows, from 0")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    stage, results = Stage(options.action), {}
    sys.stdout.write(f"| {options.action}, {options.labels} labels | {COLUMNS} | best step |\n{'|---' * 6}|\n")
    for title, (source, loss, labels) in [list(WAYS.items())[way] for way in options.ways]:
        takes = stage.takes(TRAINED, options.labels // labels, source)
        frames = stage.profile.video.frames
        masks = votes(takes, raters.faithful, options.wrong, frames // labels)
        settings = replace(load_settings(options.settings), loss=loss, least_motion=0.0)
        aligner = stage.align(stage.lessons(takes, masks), settings)
        verdict = Verdict.of(stage.compare(options.count), raters.faithful)
        lora.detach(stage.animator.unet)
        results[title] = asdict(verdict) | {"best_step": aligner.best["step"], "ended": aligner.ended}
        sys.stdout.write(f"| {title} | {verdict.cells()} | {aligner.best['step']} of {aligner.step} |\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps({"action": options.action, "labels": options.labels, "ways": results}) + "\n")


if __name__ == "__main__":
    main()
