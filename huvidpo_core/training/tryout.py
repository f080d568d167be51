"""Sample clips during a training: the same first frames, words and noise at every check, so that one sees a change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn

from huvidpo_core.generation.denoise import denoise
from huvidpo_core.generation.latents import draw_noise
from huvidpo_core.training.lessons import Lesson, Lessons


class Samples(Protocol):
    """What a check looks at, whatever is trained."""

    def clips(self, unet: nn.Module) -> list[np.ndarray]:
        """Samples as the network makes them now, each uint8 (f, h, w, 3); a picture has one frame."""

    def motion(self, clip: np.ndarray) -> float:
        """How much moves in one."""


@dataclass(frozen=True, eq=False)
class Tryout:
    """What is animated at each check: first frames (n, c, 1, h, w), text (n, l, d) and how many frames.

    `decode` turns latents (1, c, f, h, w) into uint8 (f, h, w, 3), and `motion` such frames into one number.
    """

    first_frames: Tensor
    text: Tensor
    frames: int
    scheduler: SchedulerMixin
    steps: int
    shared_noise: float
    decode: Callable[[Tensor], np.ndarray]
    motion: Callable[[np.ndarray], float]
    seed: int = 0

    @classmethod
    def of(cls, lessons: Lessons, pairs: Sequence[Lesson], count: int, **how) -> "Tryout":
        """The first frames and texts of up to `count` of these pairs, each first frame once."""
        seen: dict[bytes, Lesson] = {}
        for pair in pairs:
            seen.setdefault(lessons.latents[pair.first][:, 0].numpy().tobytes(), pair)
        chosen = list(seen.values())[:count]
        frames = min(how["frames"], *(len(pair.mask) for pair in chosen))
        return cls(
            first_frames=torch.stack([lessons.latents[pair.first][:, :1] for pair in chosen]),
            text=torch.stack([lessons.texts[pair.text] for pair in chosen]),
            **(how | {"frames": frames}),
        )

    def clips(self, unet: nn.Module) -> list[np.ndarray]:
        """The clips as the network makes them now, each uint8 (f, h, w, 3); its training mode is left as it was."""
        was_training = unet.training
        unet.eval()
        device, dtype = unet.device, unet.dtype
        made = []
        for index, (first, text) in enumerate(zip(self.first_frames, self.text, strict=True)):
            shape = (1, first.shape[0], self.frames, *first.shape[2:])
            *_, last = denoise(
                unet,
                self.scheduler,
                first_frame=first[None].to(device),
                noise=draw_noise(shape, self.seed + index, device),
                text=text[None].to(device, dtype),
                guidance=None,
                steps=self.steps,
                shared_noise=self.shared_noise,
            )
            made.append(self.decode(last.latents))
        unet.train(was_training)
        return made
