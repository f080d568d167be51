"""Speed and memory of stage 1 on Stable Diffusion 1.4's own networks, inflated, with random weights: our step, by the
preset "lamp", against the published one's structure (method.md section 2), each in a process of its own.

    OMP_NUM_THREADS=2 python -m tests.benchmarks.speed_teaching [--size 2 256 384] [--steps 3] [--sides ours twice]

The published step encodes its clip and its prompt every time, on a network that computes as the published one does
(`alignment.published`); its settings have activations computed twice, which all sides are measured with and without.
The size is frames, height and width. The first two steps do not count. Takes minutes and up to 20 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
from torch import nn

from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.latents import encode
from huvidpo_core.models import motion_parameters
from huvidpo_core.runs import ENVIRONMENT
from huvidpo_core.training.frugal import checkpointing
from huvidpo_core.training.motion import motion_loss
from huvidpo_core.training.motion_settings import MotionSettings, load_motion_settings
from huvidpo_core.training.takes import Takes
from huvidpo_core.training.teach import Teacher
from huvidpo_core.training.tryout import Tryout
from tests.benchmarks.alignment.published import as_published, encoded
from tests.benchmarks.alignment.speed import TEXT, clips
from tests.benchmarks.alignment.speed_full import random_animator
from tests.benchmarks.peak import held, peak

WARM = 2  # steps that do not count
SIDES = {
    "published": "published step and network, activations kept",
    "twice": "published step and network, activations computed twice",
    "ours": "ours, activations kept",
    "spared": "ours, activations computed twice",
}


def published(animator: Animator, settings: MotionSettings) -> Iterator[float]:
    """Published steps without end."""
    unet, scheduler = as_published(animator.unet), make_scheduler(animator.scheduler, "ddim")
    for part in (unet, animator.vae, animator.text_encoder):
        part.requires_grad_(False)
    for parameter in motion_parameters(unet).values():
        parameter.requires_grad_(True)
    if settings.checkpointing:
        checkpointing(unet)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    unet.train()
    (clip,) = clips(1, animator.config)
    while True:
        latents, text = encoded(animator, clip), animator.embed(TEXT).clone()
        noise, timestep = torch.randn_like(latents), torch.randint(0, 1000, (1,))
        loss = motion_loss(unet, scheduler, latents, text, noise, timestep)
        loss.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        yield loss.item()


def ours(animator: Animator, settings: MotionSettings, folder: Path) -> Iterator[float]:
    """Our steps: the clips are encoded before the first."""
    video = animator.config
    with torch.no_grad():
        made = [encode(animator.vae, clip)[0] for clip in clips(2, video)]
        text = animator.embed(TEXT)[0].clone()
    takes = Takes(tuple(made), tuple(made), {TEXT: text, "": text}, (TEXT,) * 2, (1.0,) * 2)
    scheduler, frame = make_scheduler(animator.scheduler, "ddim"), np.zeros((1, 1, 1, 3), np.uint8)
    tryout = Tryout(made[0][None, :, :1], text[None], video.frames, scheduler, 1, 0.0, lambda _: frame, lambda _: 1.0)
    course = Teacher(
        animator.unet, scheduler, takes, ((0, 1), ()), "these", settings, tryout, folder, frames=video.frames
    )
    while True:
        yield course._take_step().loss


def measured(side: str, size: tuple[int, int, int], steps: int) -> dict[str, float]:
    """In this process: seconds of a step, the mean of `steps`, and MB at the peak."""
    again = side in ("twice", "spared")
    settings = replace(load_motion_settings("lamp"), checkpointing=again, held_out=0.0, check_every=10**6)
    before = held()
    with tempfile.TemporaryDirectory() as folder:
        animator = random_animator(*size)
        theirs = side in ("published", "twice")
        running = published(animator, settings) if theirs else ours(animator, settings, Path(folder))
        for _ in range(WARM):
            next(running)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(steps):
            next(running)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall / steps, "cpu": cpu / steps, "peak": peak() - before}


def main() -> None:
    """Measure one side after the other, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=3, default=(2, 256, 384), metavar=("FRAMES", "HEIGHT", "WIDTH"))
    parser.add_argument("--steps", type=int, default=3, help="that count")
    parser.add_argument("--sides", nargs="*", choices=SIDES, default=list(SIDES))
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    if options.side:
        sys.stdout.write(json.dumps(measured(options.side, tuple(options.size), options.steps)))
        return
    sys.stdout.write(
        f"{' x '.join(map(str, options.size))}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}\n\n"
        "| side | s a step | processor s | peak GB |\n|---|---|---|---|\n"
    )
    for side in options.sides:
        command = [sys.executable, "-m", "tests.benchmarks.speed_teaching", "--side", side]
        command += ["--size", *map(str, options.size), "--steps", str(options.steps)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT | os.environ)
        row = json.loads(done.stdout)
        sys.stdout.write(f"| {SIDES[side]} | {row['wall']:.1f} | {row['cpu']:.1f} | {row['peak'] / 1e3:.1f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
