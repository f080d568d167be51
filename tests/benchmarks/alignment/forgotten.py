"""Is anything forgotten? An aligned action's LoRA, and the other seven actions; and does it still follow the prompt?

    python -m tests.benchmarks.alignment.forgotten --action helicopter --lora LORA.safetensors [--count 48]

The LoRA (from `works --save`) is put beside a copy of its action pack, as the app does. The other actions' clips are
made before it was in the network and after; they should be the same to the bit. What the judge recognises in the
action's own clips, drawn and animated from the prompt alone, is compared without and with it.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch

from huvidpo_core import media
from huvidpo_core.config import PACKS, load_profile, resolve
from huvidpo_core.engine import Engine
from huvidpo_core.evaluation.judge import Judge
from huvidpo_core.miniature.world import ACTIONS, Scene, caption, render
from huvidpo_core.recipe import Recipe
from tests.benchmarks.rows import mean, share, written

SEED = 6001  # odd: training uses even ones
ATTRIBUTES = ("action", "style", "color", "place")


class Bench:
    """The app, with a LoRA beside one of its packs."""

    def __init__(self, folder: Path, action: str, file: Path) -> None:
        packs = folder / "packs"
        shutil.copytree(PACKS / "miniature", packs / "miniature")
        shutil.copy(file, packs / "miniature" / action / "preference-aligned.safetensors")
        self.action, profile = action, load_profile("miniature")
        self.engine = Engine(profile, folder / "data", device="cpu", packs=packs)
        self.judge = Judge.load(Path(resolve(profile.judge)), torch.device("cpu"))

    def others(self) -> dict[str, bool]:
        """Of each other action, whether a clip made after the aligned one is the one made before, to the bit."""
        before = {action: self._rendered(action, action) for action in ACTIONS if action != self.action}
        self._rendered(self.action, f"{self.action}/aligned")
        return {action: np.array_equal(clip, self._rendered(action, action)) for action, clip in before.items()}

    def followed(self, index: int) -> tuple[list[float], list[float], float]:
        """Without and with the LoRA: 1 for each attribute of a prompt that is recognised, the motion's action last. And
        by how many levels the LoRA changes the clip.
        """
        scene = Scene.sample(np.random.default_rng([SEED, index]), action=self.action)
        recipe = Recipe(prompt=caption(scene), action=scene.action, style=scene.style, seed=SEED + index)
        *_, picture = self.engine.first_frame(recipe, threading.Event())
        found, clips = [], []
        for pack in (self.action, f"{self.action}/aligned"):
            frames = self._clip(picture.recipe.with_(pack=pack), picture.image)
            named = self.judge.recognise(frames[1:])
            right = [float(named[what] == getattr(scene, what)) for what in ATTRIBUTES]
            found.append([*right, float(self.judge.recognise_motion(frames) == scene.action)])
            clips.append(frames.astype(float))
        return found[0], found[1], float(np.abs(clips[0] - clips[1]).mean())

    def _rendered(self, action: str, pack: str) -> np.ndarray:
        scene = Scene.sample(np.random.default_rng([SEED, 0]), action=action)
        recipe = Recipe(prompt=caption(scene), action=action, style=scene.style, seed=SEED, pack=pack)
        return self._clip(recipe, render(scene, frames=1)[0])

    def _clip(self, recipe: Recipe, image: np.ndarray) -> np.ndarray:
        *_, clip = self.engine.animate(recipe, image, threading.Event())
        return media.read_video(clip.video).frames


def main() -> None:
    """Compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--action", default="helicopter")
    parser.add_argument("--lora", type=Path, required=True)
    parser.add_argument("--count", type=int, default=48, help="prompts of the action")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.action, options.lora)
        same = bench.others()
        found = zip(*map(bench.followed, range(options.count)), strict=True)
        without, aligned, changed = (np.array(values) for values in found)
    sys.stdout.write(f"{sum(same.values())} of the {len(same)} other actions' clips are the same to the bit; ")
    sys.stdout.write(f"the action's own change by {written(mean(changed.tolist()), 2)} levels\n\n")
    sys.stdout.write("| recognised, % | without | aligned | points |\n|---|---|---|---|\n")
    result = {"action": options.action, "count": options.count, "same": same, "changed": mean(changed.tolist())}
    for column, what in enumerate([*ATTRIBUTES, "action from motion", "all"]):
        one, two = (side.mean(1) if what == "all" else side[:, column] for side in (without, aligned))
        points = mean((100 * (two - one)).tolist())
        told = [mean((100 * side).tolist()) if what == "all" else share(side.tolist()) for side in (one, two)]
        result[what] = [*told, points]
        sys.stdout.write(f"| {what} | {written(told[0], 0)} | {written(told[1], 0)} | {written(points, 1)} |\n")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
