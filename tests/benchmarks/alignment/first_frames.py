"""Does the alignment of first frames work? A simulated rater chooses one of four, then base against aligned, blind.

    python -m tests.benchmarks.alignment.first_frames [--choices 50] [--count 40] [--wrong 0.1] [--settings miniature]
        [--taste colourful|dark] [--save LORA.safetensors] [--sheet F.png]

The rater likes the most colourful of four pictures (M3 of Hasler and Suesstrunk 2003), or the darkest; one choice in
ten is another one. Base is the profile's own painter, which was taught a preference once already. Both pictures of a
comparison are drawn from the same words, which nobody chose from, and from the same seed; the rater's eye is without
error then. Beside it, whether the words are still followed: so much of what was asked does the judge name.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch

from huvidpo_core.config import ASSETS, compose_prompt, load_profile, load_styles, resolve
from huvidpo_core.evaluation.judge import Judge
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.media import write_png
from huvidpo_core.miniature.taste import colourfulness
from huvidpo_core.miniature.world import Scene, caption
from huvidpo_core.models import preference
from huvidpo_core.preferences.picture_choices import PictureChoice, as_pairs
from huvidpo_core.training import lora
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.checks import CheckRecord
from huvidpo_core.training.lessons import Lesson, Lessons
from huvidpo_core.training.pictures import FRAMES, PictureTryout, embed, encode_picture, trainable
from huvidpo_core.training.settings import AlignSettings, load_settings
from tests.benchmarks.rows import mean, share, written
from tests.training.made import run_out

TRAINED, ASKED = 5151, 6262  # seeds of the scenes: chosen from, and held out
FEW = 4
ATTRIBUTES = ("action", "style", "color", "place")

TASTES: dict[str, Callable[[np.ndarray], float]] = {"colourful": colourfulness, "dark": lambda image: -image.mean()}


class Easel:
    """The miniature's painter, ready to be trained."""

    def __init__(self) -> None:
        self.painter = trainable(
            FirstFramePainter.load(
                load_profile("miniature").first_frame, device=torch.device("cpu"), dtype=torch.float32
            )
        )
        self.styles, self.checks = load_styles(), []

    def scene(self, seed: int, index: int) -> tuple[Scene, str]:
        """A scene and its whole prompt."""
        scene = Scene.sample(np.random.default_rng([seed, index]))
        return scene, compose_prompt(caption(scene), None, self.styles[scene.style])

    def draw(self, text: str, seed: int) -> np.ndarray:
        """A picture as the app draws it."""
        return self.painter.draw(text, "", seed, lambda *_: False)

    def choices(self, count: int, liking: Callable[[np.ndarray], float], wrong: float) -> tuple[list[Lesson], dict]:
        """What a rater's choices teach, and the pictures by name."""
        rng, lessons, pictures = np.random.default_rng(0), [], {}
        for index in range(count):
            _, text = self.scene(TRAINED, index)
            four = {f"{index}-{side}": self.draw(text, 100 * index + side) for side in range(FEW)}
            best, *rest = sorted(four, key=lambda name: -liking(four[name]))
            chosen = rest[rng.integers(FEW - 1)] if rng.random() < wrong else best
            others = tuple(name for name in four if name != chosen)
            choice = PictureChoice("", 0.0, str(index), "rater", {}, chosen, others)
            lessons += [Lesson.of(pair, pair.prompt) for pair in as_pairs(choice, text)]
            pictures |= four
        return lessons, pictures

    def align(self, pairs: list[Lesson], pictures: dict[str, np.ndarray], settings: AlignSettings) -> Aligner:
        """Train a LoRA, which stays in the network, its best values in it."""
        painter = self.painter
        lessons = run_out(
            Lessons.encode(
                pairs,
                lambda name: pictures[name][None],
                lambda picture: encode_picture(painter.vae, picture),
                lambda text: embed(painter, text),
            )
        )
        scheduler = make_scheduler(painter.scheduler.config, "ddim")
        with tempfile.TemporaryDirectory() as folder:
            tryout = PictureTryout(painter, [pairs[0].text])
            aligner = Aligner(painter.unet, scheduler, lessons, settings, tryout, Path(folder), frames=FRAMES)
            self.checks = [done for done in aligner.run() if isinstance(done, CheckRecord)]
        aligner.use_best()
        return aligner

    def compare(self, count: int, known: set[str]) -> list[tuple[Scene, np.ndarray, np.ndarray]]:
        """Held-out scenes, each drawn without and with the LoRA from the same seed."""
        made, index = [], 0
        while len(made) < count:
            scene, text = self.scene(ASKED, index)
            if text not in known:
                with lora.switched_off(self.painter.unet):
                    base = self.draw(text, 90_000 + index)
                made.append((scene, base, self.draw(text, 90_000 + index)))
            index += 1
        return made


def named_right(judge: Judge, picture: np.ndarray, scene: Scene) -> float:
    """Share of what was asked that the judge names in a picture."""
    found = judge.recognise(picture[None])
    return float(np.mean([found[what] == getattr(scene, what) for what in ATTRIBUTES]))


def main() -> None:
    """Choose, align, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--taste", default="colourful", choices=TASTES)
    parser.add_argument("--choices", type=int, default=50)
    parser.add_argument("--wrong", type=float, default=0.1, help="share of choices that are another one")
    parser.add_argument("--count", type=int, default=40, help="pictures compared")
    parser.add_argument("--settings", default="miniature")
    parser.add_argument("--save", type=Path, help="write the LoRA to this file")
    parser.add_argument("--sheet", type=Path, help="picture: base above aligned, eight scenes")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    liking, easel, began = TASTES[options.taste], Easel(), time.monotonic()
    pairs, pictures = easel.choices(options.choices, liking, options.wrong)
    drawn = time.monotonic()
    aligner = easel.align(pairs, pictures, load_settings(options.settings, ASSETS / "picture"))
    trained = time.monotonic()
    if options.save:
        preference.save(easel.painter.unet, lora.NAME, options.save)
    compared = easel.compare(options.count, {pair.text for pair in pairs})
    if options.sheet:
        rows = (np.concatenate([pair[side] for pair in compared[:8]], axis=1) for side in (1, 2))
        write_png(options.sheet, np.concatenate(list(rows)))
    judge = Judge.load(Path(resolve(load_profile("miniature").judge)), torch.device("cpu"))
    scores = np.array([[liking(picture) for picture in pair] for _, *pair in compared])
    named = [[named_right(judge, picture, scene) for picture in pair] for scene, *pair in compared]
    wins = share((scores[:, 1] > scores[:, 0]).astype(float).tolist())
    base, aligned = (mean(scores[:, side].tolist()) for side in (0, 1))
    followed = [mean([100 * values[side] for values in named]) for side in (0, 1)]
    best = aligner.best
    sys.stdout.write(
        "| taste | aligned wins, % | its score of base | of aligned | named of what was asked, %: base | aligned | "
        f"held-out pairs in order, % | best step | training s |\n{'|---' * 9}|\n"
        f"| {options.taste} | {written(wins, 0)} | {written(base, 2)} | {written(aligned, 2)} | "
        f"{written(followed[0], 0)} | {written(followed[1], 0)} | {100 * (best['accuracy'] or 0):.0f} of "
        f"{len(aligner.held_out)} | {best['step']} of {aligner.step} | {trained - drawn:.0f} |\n"
    )
    result = {
        "taste": options.taste, "choices": options.choices, "wrong": options.wrong, "compared": options.count,
        "wins": wins, "base": base, "aligned": aligned, "named": followed, "steps": aligner.step,
        "best_step": best["step"], "beta": aligner.beta, "held_out_accuracy": best["accuracy"], "ended": aligner.ended,
        "checks": [[at.step, at.accuracy, at.loss, at.winner_change] for at in easel.checks],
        "seconds": {"drawing": drawn - began, "training": trained - drawn},
    }  # fmt: skip
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
