"""Speed and memory of stage 2 on Stable Diffusion 1.4's own networks, inflated, with random weights: our step against
the published one's structure, each in a process of its own, as the app sets it.

    OMP_NUM_THREADS=2 python -m tests.benchmarks.alignment.speed_full [--size 4 192 320] [--precision bfloat16]

The size is frames, height and width. At 16 x 320 x 512 the published step does not fit into 24 GB in float32, so the
default is smaller. The first steps of each side, one with each pair, do not count. Takes minutes and up to 20 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModel

from huvidpo_core.config import load_profile
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models.architectures import VAE
from huvidpo_core.runs import ENVIRONMENT
from huvidpo_core.training.settings import AlignSettings
from tests.benchmarks.alignment.speed import PAIRS, SIDES, endless, sides
from tests.benchmarks.full_size import network
from tests.benchmarks.peak import held, peak
from tests.tiny_models import NOISE, tokenizer

CLIP = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}


def random_animator(frames: int, height: int, width: int) -> Animator:
    """Stable Diffusion 1.4 in size, knowing nothing."""
    video = replace(load_profile("full").video, frames=frames, height=height, width=width)
    schedule = NOISE | {"num_train_timesteps": 1000, "prediction_type": "epsilon"}
    texts = CLIPTextModel(CLIPTextConfig(**CLIP)).eval()
    return Animator(network(), AutoencoderKL(**VAE).eval(), texts, tokenizer(), schedule, video, "sdpa")


def measured(side: str, size: tuple[int, int, int], settings: AlignSettings, steps: int) -> dict[str, float]:
    """In this process: seconds of a step, the mean of `steps`, and MB at the peak."""
    before = held()
    with tempfile.TemporaryDirectory() as folder:
        running = sides(settings, Path(folder), partial(random_animator, *size))[side]()
        for _ in range(PAIRS):
            next(running)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            next(running)
        wall, cpu = (now - then for now, then in ((time.perf_counter(), wall), (time.process_time(), cpu)))
    return {"wall": wall / steps, "cpu": cpu / steps, "peak": peak() - before}


def main() -> None:
    """Measure one side after the other, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=3, default=(4, 192, 320), metavar=("FRAMES", "HEIGHT", "WIDTH"))
    parser.add_argument("--settings", default="huvidpo", help="a preset: rank, dropout, loss and optimizer")
    parser.add_argument("--steps", type=int, default=2, help="that count")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of all sides")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    if options.side:
        settings = endless(options.settings, options.precision)
        found = measured(options.side, tuple(options.size), settings, options.steps)
        sys.stdout.write(json.dumps(found))
        return
    rows = {}
    for side in SIDES:
        command = [sys.executable, "-m", "tests.benchmarks.alignment.speed_full", "--side", side]
        command += ["--size", *map(str, options.size), "--settings", options.settings, "--steps", str(options.steps)]
        command += ["--precision", options.precision]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT | os.environ)
        rows[side] = json.loads(done.stdout)
    ours = rows["ours"]
    sys.stdout.write(
        f"{' x '.join(map(str, options.size))}, {options.precision}, load {os.getloadavg()[0]:.1f} after\n\n"
        "| side | s a step | processor s | times ours, wall | times ours, processor | peak GB |\n"
        "|---|---|---|---|---|---|\n"
    )
    for side, row in rows.items():
        told = [row["wall"], row["cpu"], row["wall"] / ours["wall"], row["cpu"] / ours["cpu"]]
        cells = " | ".join(f"{value:.2f}" for value in told)
        sys.stdout.write(f"| {SIDES[side]} | {cells} | {row['peak'] / 1e3:.1f} |\n")
    sys.stdout.write(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
