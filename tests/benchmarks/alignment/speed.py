"""Speed and memory of stage 2: our step against the published one, both in one run, on the miniature.

    OMP_NUM_THREADS=2 python -m tests.benchmarks.alignment.speed [--steps 12] [--settings huvidpo]
                                                                 [--precision bfloat16]

Six sides take turns, a step each: the published step on a network that computes as the published one does, keeping its
activations and computing them twice, as the published settings have it; the published step on our network
(`published.py`); ours; ours with one look at each pair, whose reference is known by then; ours computing activations
twice. Settings, clips and threads are the same. Seconds are wall time and processor time, ratios to ours with 95 %
intervals over the turns. A line below gives the ratio over a whole training of the published twelve passes with one
look at each pair: the first pass asks the reference, the others do not. Peak memory is that of a process of its own,
less what it had before a model was loaded: with the C library's allocator as it is, and as the app sets it
(`runs.ENVIRONMENT`). `speed_full` does the same at the published size.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch

from huvidpo_core.config import VideoConfig, load_profile
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.latents import encode
from huvidpo_core.runs import ENVIRONMENT
from huvidpo_core.training.align import Aligner, StepRecord
from huvidpo_core.training.lessons import Lesson, Lessons
from huvidpo_core.training.settings import AlignSettings, load_settings
from huvidpo_core.training.tryout import Tryout
from tests.benchmarks.alignment.published import PublishedStep, as_published
from tests.benchmarks.peak import held, peak
from tests.benchmarks.rows import mean, ratio, written
from tests.training.made import run_out

PROFILE, TEXT = "miniature", "a helicopter flies over the sea"
SIDES = {
    "published": "published step and network",
    "twice": "published step and network, activations computed twice",
    "step": "published step, our network",
    "ours": "ours",
    "known": "ours, a look that comes again",
    "spared": "ours, activations computed twice",
}
PAIRS = 2  # that ours learns from: each is known after as many steps
PASSES = 12  # over the pairs, in the published code

Make = Callable[[], Animator]


def clips(count: int, video: VideoConfig) -> list[np.ndarray]:
    """Clips uint8 (f, h, w, 3) of noise: what is in them costs nothing."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (video.frames, video.height, video.width, 3), np.uint8) for _ in range(count)]


def published(make: Make, settings: AlignSettings, *, network: bool) -> Iterator[float]:
    """Published steps without end; `network`: on a network that computes as the published one, too."""
    animator = make()
    if network:
        as_published(animator.unet)
    training, (winner, loser) = PublishedStep(animator, settings), clips(2, animator.config)
    while True:
        yield training.take(winner, loser, TEXT)


def ours(make: Make, settings: AlignSettings, folder: Path) -> Iterator[float]:
    """Our steps: the clips are encoded before the first."""
    animator = make()
    video = animator.config
    made = clips(2 * PAIRS, video)
    mask = (0,) + (1,) * (video.frames - 1)
    pairs = [Lesson(str(2 * i), str(2 * i + 1), mask, TEXT) for i in range(PAIRS)]
    lessons = run_out(
        Lessons.encode(pairs, lambda name: made[int(name)], lambda clip: encode(animator.vae, clip), animator.embed)
    )
    tryout = Tryout.of(
        lessons, pairs, 1, frames=video.frames, scheduler=make_scheduler(animator.scheduler, "fast"), steps=1,
        shared_noise=0.0, motion=lambda _: 1.0, decode=lambda _: made[0],
    )  # fmt: skip
    training = Aligner(
        animator.unet, make_scheduler(animator.scheduler, "ddim"), lessons, settings, tryout, folder,
        frames=video.frames,
    )  # fmt: skip
    yield from (record.loss for record in training.run() if isinstance(record, StepRecord))


def miniature() -> Animator:
    """The shipped one."""
    return Animator.load(load_profile(PROFILE).video, device=torch.device("cpu"), dtype=torch.float32)


def sides(settings: AlignSettings, folder: Path, make: Make = miniature) -> dict[str, Callable[[], Iterator[float]]]:
    """Each side's steps, its models not loaded yet."""
    return {
        "published": lambda: published(make, settings, network=True),
        "twice": lambda: published(make, replace(settings, checkpointing=True), network=True),
        "step": lambda: published(make, settings, network=False),
        "ours": lambda: ours(make, settings, folder / "ours"),
        "known": lambda: ours(make, replace(settings, looks=1), folder / "known"),
        "spared": lambda: ours(make, replace(settings, checkpointing=True), folder / "spared"),
    }


def timed(settings: AlignSettings, steps: int) -> dict[str, dict[str, list[float]]]:
    """Wall and processor seconds of each step, by side; the first two of each do not count."""
    found: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        running = {name: begin() for name, begin in sides(settings, Path(folder)).items()}
        for turn in range(-PAIRS, steps):
            for name, taken in running.items():
                wall, cpu = time.perf_counter(), time.process_time()
                next(taken)
                if turn >= 0:
                    found[name]["wall"].append(time.perf_counter() - wall)
                    found[name]["cpu"].append(time.process_time() - cpu)
    return found


def measured_memory(side: str, settings: AlignSettings) -> dict[str, float]:
    """In this process: MB before a model is loaded, and the peak over three steps of a side."""
    before = held()
    with tempfile.TemporaryDirectory() as folder:
        running = sides(settings, Path(folder))[side]()
        for _ in range(3):
            next(running)
    return {"before": before, "peak": peak()}


def main() -> None:
    """Measure time here and memory in processes of their own, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--settings", default="huvidpo", help="a preset: rank, dropout, loss and optimizer")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of all sides")
    parser.add_argument("--memory", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    threads = int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads()))
    torch.set_num_threads(threads)
    settings = endless(options.settings, options.precision)
    if options.memory:
        sys.stdout.write(json.dumps(measured_memory(options.memory, settings)))
        return
    load = os.getloadavg()[0]
    asked = ["--settings", options.settings, "--precision", options.precision]
    memory = {name: [_memory_of(name, asked, app) for app in (False, True)] for name in SIDES}
    seconds = timed(settings, options.steps)
    rows = []
    for name in SIDES:
        rows.append({
            "side": name,
            **{kind: mean(seconds[name][kind]) for kind in ("wall", "cpu")},
            **{f"{kind}_ratio": ratio(seconds[name][kind], seconds["ours"][kind]) for kind in ("wall", "cpu")},
            "memory": [each["peak"] - each["before"] for each in memory[name]],
            "absolute": [each["peak"] for each in memory[name]],
        })  # fmt: skip
    sys.stdout.write(
        f"{threads} threads, {options.precision}, load {load:.1f} before\n\n"
        "| side | s a step | processor s | times ours, wall | times ours, processor | peak MB | as in the app |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    for row in rows:
        told = [written(row[key], 2) for key in ("wall", "cpu", "wall_ratio", "cpu_ratio")]
        both = zip(row["memory"], row["absolute"], strict=True)
        told += [f"{value:.0f} ({whole:.0f} with libraries)" for value, whole in both]
        sys.stdout.write(f"| {SIDES[row['side']]} | {' | '.join(told)} |\n")
    whole = [(first + (PASSES - 1) * later) / PASSES for first, later in zip(
        *(seconds[name]["wall"] for name in ("ours", "known")), strict=True
    )]  # fmt: skip
    times = ratio(seconds["published"]["wall"], whole)
    sys.stdout.write(f"\n{PASSES} passes with one look at each pair: {written(times, 2)} times the published steps.\n")
    result = {
        "threads": threads,
        "load": load,
        "settings": asked,
        "steps": options.steps,
        "sides": rows,
        "passes": times,
    }
    sys.stdout.write(json.dumps(result) + "\n")


def endless(name: str, precision: Literal["float32", "bfloat16"]) -> AlignSettings:
    """A preset that neither checks nor ends."""
    own = load_settings(name)
    return replace(own, precision=precision, steps=10**6, check_every=10**6, held_out=0.0, beta=own.beta or 50.0)


def _memory_of(side: str, asked: list[str], app: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.alignment.speed", "--memory", side, *asked]
    environment = ENVIRONMENT | os.environ if app else os.environ
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


if __name__ == "__main__":
    main()
