"""Draw the README's sheet: a clip of every action in every style, made by the miniature, three frames of each.

    python -m tests.benchmarks.sheet [--output assets/examples/clips.png]

Prompts and seeds are fixed and were used in no training; nothing is chosen by hand. Rows are actions, columns styles.
How good the clips are is measured by `tests.benchmarks.quality`.
"""

import argparse
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
from huvidpo_core.miniature.world import ACTIONS, STYLES, Scene, caption
from huvidpo_core.recipe import Recipe

SEED = 1001  # odd: training uses even ones
SHOWN = (0, 7, 15)


def main() -> None:
    """Make the clips and draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("assets/examples/clips.png"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as data:
        engine = Engine(load_profile("miniature"), Path(data))
        for number, action in enumerate(ACTIONS):
            row = []
            for column, style in enumerate(STYLES):
                scene = Scene.sample(np.random.default_rng([SEED, number, column]), action=action, style=style)
                recipe = Recipe(prompt=caption(scene), action=action, style=style, seed=SEED + number)
                *_, picture = engine.first_frame(recipe, threading.Event())
                *_, clip = engine.animate(picture.recipe, picture.image, threading.Event())
                frames = media.read_video(clip.video).frames
                row += [frames[index] for index in SHOWN]
                sys.stdout.write(f"{action}, {style}: {recipe.prompt}\n")
            rows.append(np.concatenate(row, axis=1))
    sheet = Image.fromarray(np.concatenate(rows))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS).save(options.output, optimize=True)


if __name__ == "__main__":
    main()
