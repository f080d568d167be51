"""What a step of stage 2 is made of, drawn from (seed, step, place in the batch) alone.

So a run that was killed and resumed sees what one left alone sees, and several processes draw what one would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from huvidpo_core.generation.latents import correlate
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.lessons import Batch, Lesson, Lessons, collate
from huvidpo_core.training.lot import in_passes, rng
from huvidpo_core.training.settings import AlignSettings


@dataclass(frozen=True, eq=False)
class Drawn:
    """A batch, noise (b, c, f, h, w) and timesteps (b,), the same for winner and loser. `share` weighs this process's
    mean loss such that the mean over processes is the one over the whole batch."""

    batch: Batch
    noise: Tensor
    timestep: Tensor
    share: float = 1.0


@dataclass(frozen=True, eq=False)
class Draws:
    """The endless sequence of steps over `pairs` (or single clips), in windows of `frames` frames (of shorter clips,
    their length).

    `shared_noise` is the share of frame 0's noise that later frames have (`latents.correlate`), as in the network's own
    training.
    """

    lessons: Lessons
    pairs: Sequence[Lesson]
    settings: AlignSettings
    frames: int
    shared_noise: float
    device: torch.device
    crew: Crew

    def at(self, step: int) -> Drawn:
        """This process's part of a step."""
        size = self.settings.batch
        chosen = [self.pairs[self._order(step * size + place)] for place in range(size)]
        frames = min(self.frames, *(len(pair.mask) for pair in chosen))
        starts = [
            int(self._rng(step, place, 0).integers(len(pair.mask) - frames + 1)) for place, pair in enumerate(chosen)
        ]
        whole = collate(self.lessons, chosen, starts, frames)
        own = torch.arange(size)[self.crew.share_of(size)]
        all_sides = torch.cat([own + side * size for side in range(whole.sides)])
        batch = Batch(whole.clean[all_sides], whole.text[all_sides], whole.mask[own], whole.weight[own])
        # The loss is a mean over labelled pairs, or, dense, over labelled frames.
        said = whole.mask.ne(0) | ties(whole.mask, self.settings)
        labels = said.sum(1) if self.settings.loss == "dense" else said.any(1)
        share = float(self.crew.size * labels[own].sum() / labels.sum()) if labels.any() else 0.0
        noise, timestep = self.noise([self._rng(step, int(place), 1) for place in own], batch.clean.shape[1:])
        return Drawn(batch.to(self.device), noise, timestep, share)

    def fixed(self, pair: Lesson, number: int, draw: int, draws: int) -> Drawn:
        """The `draw`-th of `draws` looks at a pair for checking: always the same noise, levels spread evenly."""
        batch = collate(self.lessons, [pair], [0], min(self.frames, len(pair.mask))).to(self.device)
        noise, timestep = self.noise([rng(self.settings.seed, number, draw)], batch.clean.shape[1:])
        low, high = self.settings.timesteps
        return Drawn(batch, noise, torch.full_like(timestep, low + int((draw + 0.5) / draws * (high - low))))

    def noise(self, sources: Sequence[np.random.Generator], shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Correlated noise (b, c, f, h, w) and timesteps (b,), an item from each source."""
        timestep = torch.tensor([int(rng.integers(*self.settings.timesteps)) for rng in sources])
        noise = torch.stack([torch.from_numpy(rng.standard_normal(tuple(shape), np.float32)) for rng in sources])
        return correlate(noise, self.shared_noise).to(self.device), timestep.to(self.device)

    def dropout_seed(self, step: int) -> int:
        """What the LoRA's dropout is drawn from; every process has its own."""
        return int(rng(self.settings.seed, step, self.crew.rank, 2, 0).integers(2**31))

    def _order(self, place: int) -> int:
        """Which pair stands at a place of the sequence of shuffled passes."""
        return in_passes(self.settings.seed, place, len(self.pairs))

    def _rng(self, step: int, place: int, purpose: int) -> np.random.Generator:
        return rng(self.settings.seed, step, place, purpose)


def ties(mask: Tensor, settings: AlignSettings) -> Tensor:
    """Which frames of a mask (b, f) are ties that count: none where the settings leave ties out."""
    tied = mask.eq(0) & bool(settings.tie_threshold)
    tied[:, 0] = False
    return tied
