"""Do edits last? First frames painted over as in the editor, then animated: is the change still there in each frame?

    python -m tests.benchmarks.edits [--count 32] [--sheet F.png]

Half of the pictures get a red disc where nothing moves, half lose a patch of the subject to the colour around it. A
frame keeps the edit when, inside the edited area, it is nearer to the edited first frame than to the untouched one.
Prints a table and one JSON line.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
from PIL import Image

from huvidpo_core import media
from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.miniature.world import Scene, caption
from huvidpo_core.recipe import Recipe

SEED = 3001  # odd: training uses even ones
FRAMES = (1, 4, 8, 15)
RED = (222, 40, 46)


def disc(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where the new red disc is: bool (h, w), in the upper corners, away from the subject."""
    h, w = picture.shape[:2]
    x, y, radius = rng.choice([0.12, 0.88]) * w, rng.uniform(0.15, 0.3) * h, rng.uniform(0.07, 0.1) * h
    down, right = np.mgrid[:h, :w]
    return np.hypot(right - x, down - y) < radius


def patch(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What is erased: bool (h, w), a box near the middle, where the subject is."""
    h, w = picture.shape[:2]
    x, y, size = rng.uniform(0.4, 0.6) * w, rng.uniform(0.45, 0.6) * h, rng.uniform(0.08, 0.12) * h
    down, right = np.mgrid[:h, :w]
    return (np.abs(right - x) < size) & (np.abs(down - y) < size)


def edit(picture: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray, str]:
    """The painted picture, the painted area, and what was done."""
    rng, painted = np.random.default_rng([SEED, index]), picture.copy()
    if index % 2 == 0:
        area = disc(picture, rng)
        painted[area] = RED
        return painted, area, "added disc"
    area = patch(picture, rng)
    painted[area] = np.median(picture[:, : picture.shape[1] // 8].reshape(-1, 3), axis=0)
    return painted, area, "erased patch"


def main() -> None:
    """Edit, animate, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    kept: dict[str, list[list[bool]]] = {"added disc": [], "erased patch": []}
    sheet = []
    with tempfile.TemporaryDirectory() as data:
        engine = Engine(load_profile("miniature"), Path(data))
        for index in range(options.count):
            scene = Scene.sample(np.random.default_rng([SEED, 1, index]))
            recipe = Recipe(prompt=caption(scene), action=scene.action, style=scene.style, seed=SEED + index)
            *_, picture = engine.first_frame(recipe, threading.Event())
            painted, area, what = edit(picture.image, index)
            *_, clip = engine.animate(picture.recipe, painted, threading.Event())
            frames = media.read_video(clip.video).frames.astype(float)
            to_edit, to_old = (
                np.abs(frames[:, area] - image[area].astype(float)).mean((1, 2)) for image in (painted, picture.image)
            )
            kept[what].append([bool(to_edit[frame] < to_old[frame]) for frame in FRAMES])
            sheet.append(np.concatenate([painted, *frames[list(FRAMES)].astype(np.uint8)], axis=1))
    sys.stdout.write(f"| {options.count} edits | " + " | ".join(f"frame {frame}, %" for frame in FRAMES) + " |\n")
    sys.stdout.write("|---" * (len(FRAMES) + 1) + "|\n")
    for what, answers in kept.items():
        cells = " | ".join(f"{100 * share:.0f}" for share in np.mean(answers, axis=0))
        sys.stdout.write(f"| {what} still there | {cells} |\n")
    sys.stdout.write(json.dumps(kept) + "\n")
    if options.sheet:
        Image.fromarray(np.concatenate(sheet)).save(options.sheet)


if __name__ == "__main__":
    main()
