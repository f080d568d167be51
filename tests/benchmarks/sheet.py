"""Draw the README's sheet of clips, and measure them against the renderer's own.

    python -m tests.benchmarks.sheet [--output assets/examples/clips.png]

Prompts and seeds are fixed and were used in no training. Prints a table and one JSON line: mean absolute difference
between consecutive frames (8-bit levels) of the made clips, of the renderer's clips of the same actions, and of the
frozen-frame control (zero by definition); PSNR of frame 0 against the picture given.
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
from huvidpo_core.miniature.world import ACTIONS, STYLES, Scene, caption, render
from huvidpo_core.recipe import Recipe

SEED = 1001  # odd: training uses even ones
SHOWN = (0, 5, 10, 15)


def motion(frames: np.ndarray) -> float:
    """Mean absolute difference between consecutive frames, in levels."""
    return float(np.abs(np.diff(frames.astype(float), axis=0)).mean())


def main() -> None:
    """Make the clips, draw the sheet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("assets/examples/clips.png"))
    options = parser.parse_args()
    rows, table = [], []
    with tempfile.TemporaryDirectory() as data:
        engine = Engine(load_profile("miniature"), Path(data))
        for number, action in enumerate(ACTIONS):
            row, made, true, kept = [], [], [], []
            for style in (STYLES[number % 4], STYLES[(number + 2) % 4]):
                scene = Scene.sample(
                    np.random.default_rng([SEED, number, STYLES.index(style)]), action=action, style=style
                )
                recipe = Recipe(prompt=caption(scene), action=action, style=style, seed=SEED + number)
                *_, picture = engine.first_frame(recipe, threading.Event())
                *_, clip = engine.animate(picture.recipe, picture.image, threading.Event())
                frames = media.read_video(clip.video).frames
                made.append(motion(frames))
                true.append(motion(render(scene)))
                kept.append(10 * np.log10(255**2 / ((frames[0].astype(float) - picture.image) ** 2).mean()))
                row += [frames[index] for index in SHOWN]
            rows.append(np.concatenate(row, axis=1))
            values = {"made": np.mean(made), "rendered": np.mean(true), "frame_0_psnr": np.mean(kept)}
            table.append({"action": action} | {name: round(float(value), 2) for name, value in values.items()})
    sheet = Image.fromarray(np.concatenate(rows))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((sheet.width * 5 // 8, sheet.height * 5 // 8), Image.Resampling.LANCZOS).save(
        options.output, optimize=True
    )
    sys.stdout.write(
        "| action | motion of made clips | of rendered clips | ratio | PSNR of frame 0 |\n|---|---|---|---|---|\n"
    )
    for row in table:
        ratio = row["made"] / row["rendered"]
        sys.stdout.write(
            f"| {row['action']} | {row['made']} | {row['rendered']} | {ratio:.2f} | {row['frame_0_psnr']} |\n"
        )
    sys.stdout.write(json.dumps(table) + "\n")


if __name__ == "__main__":
    main()
