"""What the alignment benchmarks share: scenes animated from the renderer's own first frame, training, blind comparison.

Every clip begins with a picture that the renderer drew, for only then it is known how the clip should go on. Clips are
learned from as in the app: decoded, matched to the first frame's colours, encoded again.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from huvidpo_core.config import PACKS, compose_prompt, load_profile, load_styles
from huvidpo_core.evaluation.metrics import clip_motion
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.exploring import draw_settings
from huvidpo_core.generation.latents import decode, encode
from huvidpo_core.generation.structural import draw_eta
from huvidpo_core.media import write_png
from huvidpo_core.miniature.world import Scene, caption, render
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.training import lora
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.checks import CheckRecord
from huvidpo_core.training.lessons import Lesson, Lessons
from huvidpo_core.training.settings import AlignSettings
from huvidpo_core.training.tryout import Tryout
from tests.benchmarks.rows import mean, ratio, share, written
from tests.training.made import run_out

TRAINED, ASKED = 4242, 1777  # seeds of the scenes: voted on, and asked for afterwards
VOTES = 60  # scenes that are voted on, or more where more are asked for

FrameRater = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""How much a rater likes each frame of a clip, (f,), given what the renderer makes of the same scene: uint8
(f, h, w, 3) each. Frame 0 is given, and not counted."""
Interval = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Take:
    """One scene with two clips of it, or more."""

    scene: Scene
    text: str
    truth: np.ndarray  # uint8 (f, h, w, 3)
    clips: tuple[np.ndarray, ...]


class Stage:
    """The miniature's video model with an action's pack in it."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.profile = load_profile("miniature")
        self.animator = Animator.load(self.profile.video, device=torch.device("cpu"), dtype=torch.float32)
        apply_pack(self.animator.unet, ActionPack.load(PACKS / "miniature" / action))
        self._styles = load_styles()
        self._voted = VOTES
        self.checks: list[CheckRecord] = []  # of the last training

    def scene(self, seed: int, index: int) -> tuple[Scene, str, np.ndarray]:
        """A scene of the action, its whole prompt, and the renderer's clip of it."""
        scene = self._sample(seed, index)
        return scene, compose_prompt(caption(scene), None, self._styles[scene.style]), render(scene)

    def held_out(self, count: int) -> Iterator[int]:
        """Numbers of the first `count` scenes of `ASKED` whose sentences nobody voted on, in whatever style."""
        voted = {caption(self._sample(TRAINED, index)) for index in range(self._voted)}
        unheard = (index for index in itertools.count() if caption(self._sample(ASKED, index)) not in voted)
        return itertools.islice(unheard, count)

    def _sample(self, seed: int, index: int) -> Scene:
        return Scene.sample(np.random.default_rng([seed, index]), action=self.action)

    def animate(self, picture: np.ndarray, text: str, seed: int, steps: int = 0, **how: Any) -> np.ndarray:
        """A clip as the app makes it, by whatever is in the network now; `how`: `Animator.steps`' reference and eta."""
        video = self.profile.video
        for step, _ in self.animator.steps(  # noqa: B007  (the last one counts)
            picture, text, "", seed, sampler="fast", steps=steps or video.steps, guidance=video.guidance,
            frames=video.frames, **how,
        ):  # fmt: skip
            pass
        return self.animator.finish(step.latents)

    def takes(self, seed: int, count: int, source: str = "settings") -> list[Take]:
        """`count` scenes with two clips each, which differ as the app's pairs from this source do (`pairing.Order`).

        "structural" pairs vary a clip that was animated as usual, by two seeds; "structural settings" by two settings,
        too; "real structural" ones the renderer's clip, as DenseDPO varies real ones.
        """
        made, self._voted = [], max(self._voted, count)
        for index in range(count):
            scene, text, truth = self.scene(seed, index)
            steps, how = (0, 0), {}
            if "settings" in source:
                video = self.profile.video
                steps = tuple(number for number, _ in draw_settings(index, video.steps, video.guidance))
            if "structural" in source:
                varied = truth if "real" in source else self.animate(truth[0], text, 100 * index + 2)
                how = {"reference": varied, "eta": draw_eta(index)}
            clips = (self.animate(truth[0], text, 100 * index + side, steps[side], **how) for side in range(2))
            made.append(Take(scene, text, truth, tuple(clips)))
        return made

    def lessons(self, takes: Sequence[Take], masks: Sequence[Sequence[int]]) -> Lessons:
        """Pairs to learn from; a mask says by +1 where a take's first clip is better, by -1 where its second."""
        pairs, frames = [], {}
        for number, (take, mask) in enumerate(zip(takes, masks, strict=True)):
            ids = [f"{number}-{side}" for side in range(2)]
            frames |= dict(zip(ids, take.clips, strict=True))
            if sum(mask) < 0:
                ids, mask = ids[::-1], [-value for value in mask]
            pairs.append(Lesson(ids[0], ids[1], tuple(mask), take.text))
        return run_out(
            Lessons.encode(pairs, frames.__getitem__, lambda clip: encode(self.animator.vae, clip), self.animator.embed)
        )

    def align(self, lessons: Lessons, settings: AlignSettings) -> Aligner:
        """Train a LoRA, which stays in the network, its best values in it."""
        video = self.profile.video
        tryout = Tryout.of(
            lessons, lessons.pairs, 4, frames=video.frames, scheduler=make_scheduler(self.animator.scheduler, "fast"),
            steps=video.steps, shared_noise=video.shared_noise, motion=clip_motion,
            decode=lambda latents: decode(self.animator.vae, latents)[0],
        )  # fmt: skip
        scheduler = make_scheduler(self.animator.scheduler, "ddim")
        with tempfile.TemporaryDirectory() as folder:
            aligner = Aligner(
                self.animator.unet, scheduler, lessons, settings, tryout, Path(folder), frames=video.frames,
                shared_noise=video.training_noise,
            )  # fmt: skip
            self.checks = [done for done in aligner.run() if isinstance(done, CheckRecord)]
        aligner.use_best()
        return aligner

    def compare(self, count: int) -> list[Take]:
        """Held-out scenes, each animated without and with the LoRA from the same noise."""
        made = []
        for index in self.held_out(count):
            scene, text, truth = self.scene(ASKED, index)
            with lora.switched_off(self.animator.unet):
                base = self.animate(truth[0], text, 5000 + index)
            made.append(Take(scene, text, truth, (base, self.animate(truth[0], text, 5000 + index))))
        return made


def votes(
    takes: Sequence[Take], rater: FrameRater, wrong: float, segment: int = 0, seed: int = 0
) -> list[tuple[int, ...]]:
    """Masks as a rater's votes give them, one for each `segment` frames, by default for the whole clip; a share `wrong`
    of the votes, drawn at random, says the opposite.
    """
    rng = np.random.default_rng(seed)
    masks = []
    for take in takes:
        one, two = (rater(clip, take.truth) for clip in take.clips)
        frames = len(one)
        mask = np.zeros(frames, int)
        for start in range(0, frames, segment or frames):
            part = slice(max(start, 1), start + (segment or frames))
            better = 1 if one[part].mean() > two[part].mean() else -1
            mask[part] = -better if rng.random() < wrong else better
        masks.append(tuple(mask.tolist()))
    return masks


@dataclass(frozen=True)
class Verdict:
    """What a rater says of pairs of base and aligned clips; all with 95 % intervals."""

    wins: Interval  # of the aligned, %
    base: Interval  # the rater's score
    aligned: Interval
    motion: Interval  # aligned / base

    @classmethod
    def of(cls, takes: Sequence[Take], rater: FrameRater) -> "Verdict":
        """Of takes whose clips are (base, aligned)."""
        scores = np.array([[rater(clip, take.truth)[1:].mean() for clip in take.clips] for take in takes])
        moves = np.array([[clip_motion(clip) for clip in take.clips] for take in takes])
        won = (scores[:, 1] > scores[:, 0]).astype(float).tolist()
        return cls(
            share(won), mean(scores[:, 0].tolist()), mean(scores[:, 1].tolist()), ratio(moves[:, 1], moves[:, 0])
        )

    def cells(self) -> str:
        """Cells of a table under `COLUMNS`."""
        values = (self.wins, 0), (self.base, 2), (self.aligned, 2), (self.motion, 2)
        return " | ".join(written(value, digits) for value, digits in values)


COLUMNS = "aligned wins, % | its score of base | of aligned | motion, aligned / base"


def sheet(takes: Sequence[Take], path: Path) -> None:
    """A picture: for each take the renderer's clip and its clips, a row each, some frames of them."""
    shown = (0, 2, 4, 6, 8, 11, 15)
    rows = [np.concatenate(list(clip[list(shown)]), axis=1) for take in takes for clip in (take.truth, *take.clips)]
    write_png(path, np.concatenate(rows))
