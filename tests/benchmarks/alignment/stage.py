"""What the alignment benchmarks share: scenes animated from the renderer's own first frame, training, blind comparison.

Every clip begins with a picture that the renderer drew, for only then it is known how the clip should go on. Clips are
learned from as in the app: decoded, matched to the first frame's colours, encoded again.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from huvidpo_core.config import PACKS, compose_prompt, load_profile, load_styles
from huvidpo_core.evaluation.metrics import clip_motion
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.latents import decode, encode
from huvidpo_core.miniature.world import Scene, caption, render
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.training import lora
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.lessons import Lesson, Lessons
from huvidpo_core.training.settings import AlignSettings
from huvidpo_core.training.tryout import Tryout

TRAINED, ASKED = 4242, 777  # seeds of the scenes: voted on, and held out

Rater = Callable[[np.ndarray, np.ndarray], float]
"""How much a rater likes a clip, given what the renderer makes of the same scene: uint8 (f, h, w, 3) each."""


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

    def scene(self, seed: int, index: int) -> tuple[Scene, str, np.ndarray]:
        """A scene of the action, its whole prompt, and the renderer's clip of it."""
        scene = Scene.sample(np.random.default_rng([seed, index]), action=self.action)
        return scene, compose_prompt(caption(scene), None, self._styles[scene.style]), render(scene)

    def animate(
        self, picture: np.ndarray, text: str, seed: int, reference: np.ndarray | None = None, eta: float = 0.0
    ) -> np.ndarray:
        """A clip as the app makes it, by whatever is in the network now."""
        video = self.profile.video
        for step, _ in self.animator.steps(  # noqa: B007  (the last one counts)
            picture, text, "", seed, sampler="fast", steps=video.steps, guidance=video.guidance, frames=video.frames,
            reference=reference, eta=eta,
        ):  # fmt: skip
            pass
        return self.animator.finish(step.latents)

    def takes(self, seed: int, count: int, clips: int = 2) -> list[Take]:
        """`count` scenes, each animated `clips` times with other noise."""
        made = []
        for index in range(count):
            scene, text, truth = self.scene(seed, index)
            frames = tuple(self.animate(truth[0], text, 100 * index + number) for number in range(clips))
            made.append(Take(scene, text, truth, frames))
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
        return Lessons.encode(
            pairs, frames.__getitem__, lambda clip: encode(self.animator.vae, clip), self.animator.embed
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
            for _ in aligner.run():
                pass
        aligner.use_best()
        return aligner

    def compare(self, count: int, seed: int = ASKED) -> list[Take]:
        """Held-out scenes, each animated without and with the LoRA from the same noise."""
        made = []
        for index in range(count):
            scene, text, truth = self.scene(seed, index)
            with lora.switched_off(self.animator.unet):
                base = self.animate(truth[0], text, 5000 + index)
            made.append(Take(scene, text, truth, (base, self.animate(truth[0], text, 5000 + index))))
        return made


def votes(takes: Sequence[Take], rater: Rater, wrong: float, seed: int = 0) -> list[list[int]]:
    """Whole-clip votes as masks; a share `wrong` of them, drawn at random, says the opposite."""
    rng = np.random.default_rng(seed)
    masks = []
    for take in takes:
        better = 1 if rater(take.clips[0], take.truth) > rater(take.clips[1], take.truth) else -1
        better = -better if rng.random() < wrong else better
        masks.append([0] + [better] * (len(take.clips[0]) - 1))
    return masks


def wins(takes: Sequence[Take], rater: Rater) -> list[float]:
    """1 for each take whose second clip the rater likes better than its first."""
    return [float(rater(take.clips[1], take.truth) > rater(take.clips[0], take.truth)) for take in takes]


def motions(takes: Sequence[Take]) -> Tensor:
    """Motion energy (n, clips)."""
    return torch.tensor([[clip_motion(clip) for clip in take.clips] for take in takes])
