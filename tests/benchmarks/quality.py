"""How good the miniature is, by its judge, on prompts that no training used: the table of the README and the card.

    python -m tests.benchmarks.quality [--count 256] [--json F] [--work DIR]

Each scene is drawn, animated and saved as the app would, from its canonical sentence alone; the same scene rendered and
the made clip's frame 0 repeated are measured beside it. `--work` keeps what is done, so that a run can be continued.
Prints a Markdown table with 95 % bootstrap intervals over clips; writes every number to `--json`.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch

from huvidpo_core import media
from huvidpo_core.config import load_profile, resolve
from huvidpo_core.engine import Engine
from huvidpo_core.evaluation import clip_consistency
from huvidpo_core.evaluation.judge import Judge
from huvidpo_core.evaluation.metrics import motion_energy
from huvidpo_core.evaluation.report import bootstrap
from huvidpo_core.generation.latents import decode, encode
from huvidpo_core.miniature.world import ACTIONS, COLORS, PLACES, STYLES, Scene, caption, render
from huvidpo_core.recipe import Recipe

SEED = 2027  # odd: training uses even ones
ATTRIBUTES = {"action": ACTIONS, "style": STYLES, "color": COLORS, "place": PLACES}


def measure(index: int, engine: Engine, judge: Judge) -> dict[str, float | str]:
    """Everything about one scene; keys are "<row> <column>"."""
    scene = Scene.sample(np.random.default_rng([SEED, index]))
    recipe = Recipe(prompt=caption(scene), action=scene.action, style=scene.style, seed=SEED + index)
    began = time.monotonic()
    *_, picture = engine.first_frame(recipe, threading.Event())
    *_, clip = engine.animate(picture.recipe, picture.image, threading.Event())
    seconds = time.monotonic() - began
    made, true = media.read_video(clip.video).frames, render(scene)
    frozen = np.repeat(made[:1], len(made), axis=0)
    vae = engine._load().animator.vae
    row: dict[str, float | str] = {
        "action": scene.action,
        "style": scene.style,
        "seconds": seconds,
        "vae psnr": psnr(decode(vae, encode(vae, true[:1]))[0], true[:1]),
        "made kept": psnr(made[0], picture.image),
    }
    for name, frames, first in (("made", made, picture.image), ("rendered", true, true[0]), ("frozen", frozen, None)):
        if first is not None:
            named = judge.recognise(first[None])
            row |= {f"{name} {what}": float(named[what] == getattr(scene, what)) for what in ATTRIBUTES}
        row[f"{name} motion"] = float(judge.recognise_motion(frames) == scene.action)
        row[f"{name} energy"] = float(np.mean([motion_energy(a, b) for a, b in pairwise(frames)]))
        row[f"{name} ssim"] = clip_consistency(frames).ssim
        row[f"{name} clip"] = float(100 * np.maximum(judge.image(frames) @ judge.text([recipe.prompt])[0], 0).mean())
    return row


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean()))


def table(rows: list[dict]) -> Iterator[str]:
    """The lines of the Markdown table."""

    def cell(key: str, scale: float = 1, digits: int = 1) -> str:
        if key not in rows[0]:
            return "-"
        mean, low, high, _ = bootstrap([scale * row[key] for row in rows])
        return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    yield f"| {len(rows)} prompts | made | rendered | frame 0 repeated | by chance |"
    yield "|---|---|---|---|---|"
    for what, words in ATTRIBUTES.items():
        cells = [cell(f"{row} {what}", 100, 0) for row in ("made", "rendered")]
        yield f"| first frame: {what} recognised, % | {' | '.join(cells)} | as made | {100 / len(words):.1f} |"
    for title, key, scale, digits, chance in (
        ("clip: action from motion alone, %", "motion", 100, 0, "12.5"),
        ("motion energy, levels", "energy", 1, 2, "-"),
        ("SSIM of consecutive frames", "ssim", 1, 3, "-"),
        ("CLIPScore of the judge", "clip", 1, 1, "-"),
    ):
        cells = [cell(f"{row} {key}", scale, digits) for row in ("made", "rendered", "frozen")]
        yield f"| {title} | {' | '.join(cells)} | {chance} |"
    yield f"| frame 0 against the picture given, PSNR dB | {cell('made kept')} | - | - | - |"
    yield f"| VAE, unseen renders, PSNR dB | {cell('vae psnr')} | - | - | - |"
    yield f"| prompt to MP4, median s | {np.median([row['seconds'] for row in rows]):.1f} | - | - | - |"
    yield ""
    yield "| action | motion energy, made / rendered | action from motion, % |"
    yield "|---|---|---|"
    for action in ACTIONS:
        own = [row for row in rows if row["action"] == action]
        if own:
            ratio = sum(row["made energy"] for row in own) / sum(row["rendered energy"] for row in own)
            yield f"| {action} | {ratio:.2f} | {100 * np.mean([row['made motion'] for row in own]):.0f} |"


def main() -> None:
    """Measure what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    parser.add_argument("--part", default="0/1", help="I/N: only every Nth scene from the Ith on, without a table")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    options.work.mkdir(parents=True, exist_ok=True)
    profile = load_profile("miniature")
    engine = Engine(profile, options.work / "data")
    judge = Judge.load(Path(resolve(profile.judge)), torch.device("cpu"))
    part, parts = map(int, options.part.split("/"))
    rows = []
    for index in range(part, options.count, parts):
        file = options.work / f"{index:04d}.json"
        if not file.exists():
            row = measure(index, engine, judge)
            file.write_text(json.dumps(row))
        rows.append(json.loads(file.read_text()))
    if parts > 1:
        return
    sys.stdout.write("\n".join(table(rows)) + "\n")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=0) + "\n")


if __name__ == "__main__":
    main()
