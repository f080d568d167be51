"""How good the miniature is, by its judge, on prompts that no training used: the tables of the README and the card.

    python -m tests.benchmarks.quality [--count 256] [--json F] [--work DIR] [--part I/N]

Each scene is drawn, animated and saved as the app would, from its canonical sentence alone. Beside it are measured the
same scene rendered; that clip as it comes back from an MP4, which made clips went through too; the made clip's frame 0
repeated; and what chance gives: the most frequent answer, or another scene's picture or sentence in this one's place.
`--work` keeps what is done, apart for each state of the weights, so that a run can be continued; `--part` does every
Nth scene from the Ith on, without tables, so that two processes can share the work.
"""

import argparse
import json
import os
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
from PIL import Image, ImageFilter

from huvidpo_core import media
from huvidpo_core.config import load_profile, resolve
from huvidpo_core.engine import Engine
from huvidpo_core.evaluation import clip_consistency
from huvidpo_core.evaluation.judge import Judge
from huvidpo_core.evaluation.metrics import motion_energy
from huvidpo_core.generation.latents import decode, encode
from huvidpo_core.miniature.world import Scene, caption, render
from huvidpo_core.recipe import Recipe
from tests.benchmarks.quality_tables import ATTRIBUTES, bars, by_action, overall
from tests.benchmarks.rows import Row, kept_rows, weights_digest

SEED = 2027  # odd: training uses even ones
APART = 8  # px between what stands still and what moves: a VAE's cell


class Bench:
    """The models that measure and are measured."""

    def __init__(self, folder: Path) -> None:
        profile = load_profile("miniature")
        self.folder = folder
        self.engine = Engine(profile, folder / "data")
        self.judge = Judge.load(Path(resolve(profile.judge)), torch.device("cpu"))

    def measure(self, index: int) -> Row:
        """Everything about one scene; keys are "<column> <figure>"."""
        scene, other = (Scene.sample(np.random.default_rng([SEED, number])) for number in (index, index + 1))
        recipe = Recipe(prompt=caption(scene), action=scene.action, style=scene.style, seed=SEED + index)
        true, strange = render(scene), render(other, frames=1)[0]
        vae = self.engine._load().animator.vae  # loading is not part of a clip's time
        began = time.monotonic()
        *_, picture = self.engine.first_frame(recipe, threading.Event())
        *_, clip = self.engine.animate(picture.recipe, picture.image, threading.Event())
        seconds = time.monotonic() - began
        made = media.read_video(clip.video).frames
        # From the renderer's own picture: only here is it known what has to stand still.
        *_, kin = self.engine.animate(recipe, true[0], threading.Event())
        coded = self._as_mp4(true)
        still = standing_still(true)
        row: Row = {name: getattr(scene, name) for name in ATTRIBUTES} | {"made seconds": seconds}
        row |= self._look("made", picture.image, made, scene)
        row |= self._look("rendered", true[0], true, scene)
        row |= self._look("coded", coded[0], coded, scene)
        row |= self._look("frozen", made[0], made[:1].repeat(len(made), axis=0), scene)
        row |= {
            "made kept": psnr(made[0], picture.image),
            "coded kept": psnr(coded[0], true[0]),
            "frozen kept": psnr(made[0], picture.image),
            "chance kept": psnr(strange, true[0]),
            "made vae": psnr(reconstructed(vae, picture.image), picture.image),
            "rendered vae": psnr(reconstructed(vae, true[0]), true[0]),
            "coded vae": psnr(coded[0], true[0]),
            "chance vae": psnr(strange, true[0]),
            "chance energy": motion_energy(true[0], strange),
            "chance ssim": clip_consistency(np.stack([true[0], strange])).ssim,
            "chance clip": self._score(made, caption(other)),
        }
        moves = {"made": media.read_video(kin.video).frames, "rendered": true, "coded": coded, "frozen": true[:1]}
        if still.any():
            row |= {f"{name} flicker": change(frames[:, still]) for name, frames in moves.items()}
            row["chance flicker"] = change(np.stack([true[0], strange])[:, still])
        return row

    def _look(self, column: str, first: np.ndarray, frames: np.ndarray, scene: Scene) -> Row:
        named = self.judge.recognise(first[None])
        return {f"{column} {what}": float(named[what] == getattr(scene, what)) for what in ATTRIBUTES} | {
            f"{column} motion": float(self.judge.recognise_motion(frames) == scene.action),
            f"{column} energy": change(frames),
            f"{column} ssim": clip_consistency(frames).ssim,
            f"{column} clip": self._score(frames, caption(scene)),
        }

    def _score(self, frames: np.ndarray, prompt: str) -> float:
        """CLIPScore, the judge being CLIP: 100 x cosine, never below 0, mean over frames."""
        return float(100 * np.maximum(self.judge.image(frames) @ self.judge.text([prompt])[0], 0).mean())

    def _as_mp4(self, frames: np.ndarray) -> np.ndarray:
        return media.read_video(media.write_mp4(self.folder / f"{os.getpid()}.mp4", frames, 8)).frames


def reconstructed(vae: torch.nn.Module, picture: np.ndarray) -> np.ndarray:
    """A picture uint8 (h, w, 3), encoded and decoded."""
    return decode(vae, encode(vae, picture[None]))[0, 0]


def standing_still(frames: np.ndarray) -> np.ndarray:
    """Where a rendered clip never changes, nor anything within `APART` pixels: bool (h, w)."""
    moves = (frames != frames[0]).any(axis=(0, 3))
    grown = Image.fromarray(moves.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(2 * APART + 1))
    return np.asarray(grown) == 0


def change(frames: np.ndarray) -> float:
    """Mean absolute difference of consecutive frames, 8-bit levels, 0 for a single one; uint8 (f, ..., 3)."""
    return float(np.mean([motion_energy(a, b) for a, b in pairwise(frames)])) if len(frames) > 1 else 0.0


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean()))


def main() -> None:
    """Measure what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    parser.add_argument("--part", default="0/1", help="I/N: only every Nth scene from the Ith on, without tables")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    part, parts = map(int, options.part.split("/"))
    bench = Bench(options.work / weights_digest())
    rows = kept_rows(bench.folder, range(part, options.count, parts), bench.measure)
    if parts > 1:
        return
    for lines in (overall(rows), by_action(rows), bars(rows)):
        sys.stdout.write("\n".join(lines) + "\n\n")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=0) + "\n")


if __name__ == "__main__":
    main()
