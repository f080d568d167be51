"""What preference gave the first-frame UNet: the aligned one against the undisturbed one, same prompts, same noise.

    python -m tests.benchmarks.taste [--count 128] [--dpo FOLDER] [--work DIR] [--sheet F.png]

The preference that was taught (`huvidpo_core.miniature.taste`) is measured part by part, with 95 % intervals: is the
subject in the middle, are the colours strong, are flat areas free of smudges; and beside it whether the prompt is still
followed, by the judge. Position and flatness are told by the nearest render: of renders of the same words, over
positions, sides and looks, the one that correlates best with the picture. `preferred` and `not preferred` are the two
sides of a training pair for the same scene, after the VAE: they show what each measure makes of the preference itself.
Of two pictures the one wins in which more of what was asked is recognised; with equally many, the more colourful one if
Hasler & Suesstrunk's M3 differs by 2 or more; else it is a tie, half a win. Prompts were used in no training.
"""

import argparse
import itertools
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import uniform_filter

from huvidpo_core import media
from huvidpo_core.config import load_profile, resolve
from huvidpo_core.engine import Engine
from huvidpo_core.evaluation.judge import Judge
from huvidpo_core.generation.latents import decode, draw_noise, encode
from huvidpo_core.miniature.taste import SMUDGE, colourfulness, render_pair
from huvidpo_core.miniature.world import SHIFT, Scene, caption, render
from huvidpo_core.recipe import Recipe
from tests.benchmarks.rows import Row, kept_rows, mean, share, weights_digest, written

SEED = 4001  # odd: training uses even ones
ASKED = {"action": "action", "style": "style", "color": "colour", "place": "place"}
SIDES = {"aligned": "aligned", "plain": "undisturbed", "preferred": "preferred", "other": "not preferred"}
PARTS = {  # key: title, digits, the better direction
    "off": ("subject off the middle, frame heights", 3, -1),
    "colour": ("colourfulness, M3", 1, 1),
    "smudge": ("smudges: deviation in flat areas, levels", 2, -1),
    "asked": ("recognised of the four things asked", 2, 1),
    "clip": ("CLIPScore of the judge", 1, 1),
}


class Bench:
    """Both UNets, and what looks at their pictures."""

    def __init__(self, folder: Path, dpo: str) -> None:
        profile = load_profile("miniature")
        self.folder = folder
        self.judge = Judge.load(Path(resolve(profile.judge)), torch.device("cpu"))
        self.engines = {
            side: Engine(replace(profile, first_frame=replace(profile.first_frame, unet=unet)), folder / side)
            for side, unet in (("aligned", dpo), ("plain", None))
        }

    def measure(self, index: int) -> Row:
        """Everything about one prompt; keys are "<side> <part>". Leaves both drawn pictures in the folder."""
        scene = Scene.sample(np.random.default_rng([SEED, index]))
        recipe = Recipe(prompt=caption(scene), action=scene.action, style=scene.style, seed=SEED + index)
        pictures = {}
        for side, engine in self.engines.items():
            *_, drawn = engine.first_frame(recipe, threading.Event())
            pictures[side] = drawn.image
            media.write_png(self.folder / f"{index:04d}-{side}.png", drawn.image)
        preferred, other = render_pair(scene, np.random.default_rng([SEED, index]))
        vae = self.engines["aligned"]._load().animator.vae
        latents = encode(vae, np.stack([preferred, other]))
        latents[:, :, 1] += 0.6 * SMUDGE * draw_noise(latents[:, :, 1].shape, SEED + index)
        pictures["preferred"], pictures["other"] = decode(vae, latents)[0]
        row: Row = {}
        for side, picture in pictures.items():
            named = self.judge.recognise(picture[None])
            right = {f"{side} {what}": float(named[what] == getattr(scene, what)) for what in ASKED}
            like = nearest(picture, scene)
            row |= right | {
                f"{side} off": abs(like.shift),
                f"{side} colour": colourfulness(picture),
                f"{side} smudge": smudges(picture, like),
                f"{side} asked": sum(right.values()),
                f"{side} clip": float(100 * self.judge.image(picture[None])[0] @ self.judge.text([recipe.prompt])[0]),
            }
        # How far the position is told wrongly, on a render whose position is known.
        row["told wrongly"] = abs(nearest(render(scene, frames=1)[0], scene).shift - scene.shift)
        return row


def nearest(picture: np.ndarray, scene: Scene) -> Scene:
    """Of the ways to draw the words of `scene`, the one whose render correlates best with a picture uint8 (h, w, 3)."""
    wanted = _standard(np.asarray(Image.fromarray(picture).resize((128, 80), Image.Resampling.BOX)))
    layouts = itertools.product(np.linspace(-SHIFT, SHIFT, 9), (False, True), (0, 1), (False, True))
    ways = [
        replace(scene, shift=round(float(shift), 3), scale=1.0, flip=flip, variant=variant, mirror=mirror)
        for shift, flip, variant, mirror in layouts
    ]
    return max(ways, key=lambda way: float((wanted * _standard(render(way, frames=1, width=128, height=80)[0])).mean()))


def _standard(picture: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 in every channel: strong or weak colours are the same to a correlation."""
    values = picture.astype(np.float32)
    return (values - values.mean((0, 1))) / (values.std((0, 1)) + 1e-3)


def smudges(picture: np.ndarray, like: Scene) -> float:
    """Median deviation within 5 x 5 pixels, in levels of grey, over the flattest third of the nearest render."""
    clean = _deviation(render(like, frames=1)[0])
    return float(np.median(_deviation(picture)[clean <= np.quantile(clean, 1 / 3)]))


def _deviation(picture: np.ndarray) -> np.ndarray:
    grey = np.asarray(Image.fromarray(picture).convert("L"), float)
    return np.sqrt(np.maximum(uniform_filter(grey**2, 5) - uniform_filter(grey, 5) ** 2, 0))


def table(rows: list[Row]) -> Iterator[str]:
    """The lines of what is printed."""

    def column(key: str) -> list[float]:
        return [row[key] for row in rows]

    yield f"| {len(rows)} prompts | {' | '.join(SIDES.values())} | aligned less undisturbed | aligned better, % |"
    yield "|---" * (len(SIDES) + 3) + "|"
    for part, (title, digits, better) in PARTS.items():
        cells = [written(mean(column(f"{side} {part}")), digits) for side in SIDES]
        gains = np.subtract(column(f"aligned {part}"), column(f"plain {part}"))
        wins = (1 + np.sign(better * gains)) / 2  # a tie is half a win
        yield f"| {title} | {' | '.join(cells)} | {written(mean(gains), digits)} | {written(mean(100 * wins), 0)} |"
    for what, said in ASKED.items():
        cells = [written(share(column(f"{side} {what}")), 0) for side in SIDES]
        gains = 100 * np.subtract(column(f"aligned {what}"), column(f"plain {what}"))
        yield f"| {said} recognised, % | {' | '.join(cells)} | {written(mean(gains), 0)} | - |"
    yield ""
    keys = ("aligned asked", "plain asked", "aligned colour", "plain colour")
    wins = [win(*(row[key] for key in keys)) for row in rows]
    decided = np.mean([row["aligned asked"] == row["plain asked"] for row in rows])
    yield f"win rate {written(mean([100 * value for value in wins]), 0)} %; {100 * decided:.0f} % decided by colour"
    yield f"positions are told to {np.mean(column('told wrongly')):.3f} frame heights, mean, on renders"


def win(right: float, other_right: float, vivid: float, other_vivid: float) -> float:
    """1, 0.5 or 0: whether the first of two pictures is preferred, by what is recognised and by its colours."""
    if right != other_right:
        return float(right > other_right)
    return 0.5 if abs(vivid - other_vivid) < 2 else float(vivid > other_vivid)


def main() -> None:
    """Draw and measure what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--dpo", default="assets/miniature/first_frame_dpo")
    parser.add_argument("--work", type=Path, default=Path("runs/taste"))
    parser.add_argument("--sheet", type=Path, help="the first eight prompts, aligned above undisturbed")
    options = parser.parse_args()
    bench = Bench(options.work / f"{weights_digest()}-{Path(options.dpo).name}", options.dpo)
    rows = kept_rows(bench.folder, range(options.count), bench.measure)
    sys.stdout.write("\n".join(table(rows)) + "\n")
    if options.sheet:
        shown = range(min(8, options.count))
        lines = [
            np.concatenate([media.read_image(bench.folder / f"{index:04d}-{side}.png") for index in shown], axis=1)
            for side in bench.engines
        ]
        Image.fromarray(np.concatenate(lines)).save(options.sheet)


if __name__ == "__main__":
    main()
