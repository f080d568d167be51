"""What a step of stage 2 is made of, drawn from (seed, step, place in the batch) alone.

So a run that was killed and resumed sees what one left alone sees, and several processes draw what one would. Where the
settings give every pair a number of looks, window, noise and timestep are drawn from (seed, pair, look) instead, and
from how many frames the step has.
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
    mean loss such that the mean over processes is the one over the whole batch. `looks` says of each lesson which of
    those that come again it is, (pair, look, frames); empty: none does."""

    batch: Batch
    noise: Tensor
    timestep: Tensor
    share: float = 1.0
    looks: tuple[tuple[int, int, int], ...] = ()

    def only(self, place: int) -> "Drawn":
        """One lesson of it."""
        one = slice(place, place + 1)
        sides = slice(place, None, len(self.batch.mask))
        batch = Batch(self.batch.clean[sides], self.batch.text[sides], self.batch.mask[one], self.batch.weight[one])
        return Drawn(batch, self.noise[one], self.timestep[one], looks=self.looks[one])


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

    def at(self, step: int, *, fresh: bool = False) -> Drawn:
        """This process's part of a step; `fresh`: not one of the looks that come again."""
        size = self.settings.batch
        numbers = [self._order(step * size + place) for place in range(size)]
        chosen = [self.pairs[number] for number in numbers]
        frames = min(self.frames, *(len(pair.mask) for pair in chosen))
        looks = [] if fresh else self._looks(step, numbers, frames)

        def source(place: int, purpose: int) -> np.random.Generator:
            where = (*looks[place][:2], purpose, 1) if looks else (step, place, purpose)
            return rng(self.settings.seed, *where)

        starts = [int(source(place, 0).integers(len(pair.mask) - frames + 1)) for place, pair in enumerate(chosen)]
        whole = collate(self.lessons, chosen, starts, frames)
        own = torch.arange(size)[self.crew.share_of(size)]
        all_sides = torch.cat([own + side * size for side in range(whole.sides)])
        batch = Batch(whole.clean[all_sides], whole.text[all_sides], whole.mask[own], whole.weight[own])
        # The loss is a mean over labelled pairs, or, dense, over labelled frames.
        said = whole.mask.ne(0) | ties(whole.mask, self.settings)
        labels = said.sum(1) if self.settings.loss == "dense" else said.any(1)
        share = float(self.crew.size * labels[own].sum() / labels.sum()) if labels.any() else 0.0
        noise, timestep = self.noise([source(int(place), 1) for place in own], batch.clean.shape[1:])
        seen = tuple(looks[self.crew.share_of(size)])
        return Drawn(batch.to(self.device), noise, timestep, share, seen)

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

    def _looks(self, step: int, numbers: Sequence[int], frames: int) -> list[tuple[int, int, int]]:
        """Of each pair of a step which look comes: in every pass over the pairs the next."""
        if not (count := self.settings.looks):
            return []
        first = step * len(numbers)
        return [(n, (first + i) // len(self.pairs) % count, frames) for i, n in enumerate(numbers)]


def ties(mask: Tensor, settings: AlignSettings) -> Tensor:
    """Which frames of a mask (b, f) are ties that count: none where the settings leave ties out."""
    tied = mask.eq(0) & bool(settings.tie_threshold)
    tied[:, 0] = False
    return tied
