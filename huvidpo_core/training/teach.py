"""Stage 1: teach a video UNet an action from a few clips (LAMP, which HuViDPO follows; method.md section 2).

Exactly the parameters that the published code trains are trained (`weights.is_motion`), on frames 1.. of clips whose
first frame is given; everything else stays bit by bit. Some clips are kept back: when the error on them rises while
that on the others falls, the few clips are being learned by heart.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import SchedulerMixin
from torch import Tensor

from huvidpo_core.errors import UserError
from huvidpo_core.models import VideoUNet, motion_parameters
from huvidpo_core.training import course
from huvidpo_core.training.course import StepRecord
from huvidpo_core.training.crew import Crew, Mean
from huvidpo_core.training.frugal import arithmetic, checkpointing
from huvidpo_core.training.motion import motion_loss
from huvidpo_core.training.motion_settings import MotionSettings
from huvidpo_core.training.takes import TakeDraws, Takes
from huvidpo_core.training.tryout import Tryout

DRAWS = 4  # noise levels at which a clip is looked at


@dataclass(frozen=True)
class CheckRecord:
    """A look at what was learned; step 0 is the base itself. Losses are mean squared errors with fixed noise."""

    step: int
    loss: float | None  # on the clips kept for checking; None without any
    trained_loss: float  # on as many of the others, to compare
    motion: float  # of the sample clips, against the clips that they begin as: 1 is as much
    clips: tuple[np.ndarray, ...] = field(default=(), compare=False)  # uint8 (f, h, w, 3)


class Teacher(course.Course):
    """A training under way: `run` is a generator of its `StepRecord`s and `CheckRecord`s."""

    settings: MotionSettings

    def __init__(
        self,
        unet: VideoUNet,
        scheduler: SchedulerMixin,
        takes: Takes,
        split: tuple[Sequence[int], Sequence[int]],
        digest: str,
        settings: MotionSettings,
        tryout: Tryout,
        folder: Path,
        *,
        frames: int,
        shared_noise: float = 0.0,
        crew: Crew = Crew(),  # noqa: B008  (frozen)
    ) -> None:
        """Free the motion of `unet`, which is float32, and continue from the checkpoint in `folder`, if there is one.

        Args:
            takes: the clips; `split` are the numbers of those to train on and to check, `digest` says which they are.
            tryout: begins as the clips `sampled(split)`.
            frames: in a window.

        Raises:
            UserError: a batch that cannot be shared out, or a checkpoint of another run.
        """
        if settings.batch % crew.size:
            raise UserError(f"A batch of {settings.batch} clips cannot be shared by {crew.size} processes evenly.")
        unet.requires_grad_(False)
        parameters = dict(sorted(motion_parameters(unet).items()))
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        super().__init__(parameters, settings, folder, crew, betas=(0.9, settings.beta2))
        self.trained, self.held_out = split
        self._unet, self._scheduler, self._digest, self._tryout = unet, scheduler, digest, tryout
        self._draws = TakeDraws(takes, self.trained, settings, frames, shared_noise, unet.device, crew)
        self._own_motion = float(np.mean([takes.motions[number] for number in sampled(split, len(tryout.text))]))
        self._average: dict[str, Tensor] = {}
        if settings.average:
            self._average = {name: value.detach().clone() for name, value in parameters.items()}
        if settings.checkpointing:
            checkpointing(unet, settings.precision)
        self._continue()

    def motion(self) -> dict[str, Tensor]:
        """The motion learned so far, as it is kept: the average's, where there is one; on the CPU."""
        return {name: value.detach().cpu().clone() for name, value in (self._average or self.parameters).items()}

    def _rate(self, step: int) -> float:
        falling = self.settings.decay * self.settings.steps
        fall = min(1.0, (self.settings.steps - step) / falling) if falling else 1.0
        return super()._rate(step) * fall

    def _begin(self) -> Iterator[int]:
        """What cannot be learned from is told before hours of training."""
        if not all(torch.isfinite(clip).all() for clip in self._draws.takes.clips):
            raise UserError("A clip cannot be encoded: not all its numbers are finite. Look for a damaged one.")
        yield from ()

    def _take_step(self) -> StepRecord:
        self._unet.train()
        loss = self._loss(self._draws.at(self.step), self.settings.steady)
        rate = self._descend(loss)
        if self._average:
            keep = min(self.settings.average, self.step / (self.step + 9))
            own = [parameter.detach() for parameter in self.parameters.values()]
            torch._foreach_lerp_(list(self._average.values()), own, 1 - keep)
        (whole,) = self._crew.means([Mean(loss.item(), 1)])
        return StepRecord(self.step, self.settings.steps, whole, rate)

    def _loss(self, drawn: Any, steady: float = 0.0) -> Tensor:
        with arithmetic(self._unet, self.settings.precision):
            return motion_loss(
                self._unet, self._scheduler, drawn.clean, drawn.text, drawn.noise, drawn.timestep, steady=steady
            )

    def _check(self) -> CheckRecord | None:
        if not self._crew.leads:
            return None
        with self._kept():
            self._unet.eval()
            with arithmetic(self._unet, self.settings.precision):
                clips = tuple(self._tryout.clips(self._unet))
            moved = float(np.mean([self._tryout.motion(clip) for clip in clips]))
            motion = moved / self._own_motion if self._own_motion else 1.0
            beside = self.trained[: max(2, len(self.held_out))]
            return CheckRecord(self.step, self._error(self.held_out), self._error(beside), motion, clips)

    @torch.no_grad()
    def _error(self, numbers: Sequence[int]) -> float | None:
        looks = [self._loss(self._draws.fixed(number, DRAWS)).item() for number in numbers]
        return float(np.mean(looks)) if looks else None

    @contextmanager
    @torch.no_grad()
    def _kept(self) -> Iterator[None]:
        """The network with the weights that are kept in it: the average's, where there is one."""
        own = {name: value.detach().clone() for name, value in self.parameters.items()} if self._average else {}
        for name, value in self._average.items():
            self.parameters[name].copy_(value)
        try:
            yield
        finally:
            for name, value in own.items():
                self.parameters[name].copy_(value)

    def _identity(self) -> dict[str, Any]:
        return super()._identity() | {"clips": self._digest}

    def _state(self) -> dict[str, Any]:
        weights = {name: value.detach() for name, value in self.parameters.items()}
        return {"motion": weights, "average": self._average}

    @torch.no_grad()
    def _take_up(self, state: dict[str, Any]) -> None:
        for values, into in ((state["motion"], self.parameters), (state["average"], self._average)):
            for name, value in into.items():
                value.copy_(values[name])


def sampled(split: tuple[Sequence[int], Sequence[int]], count: int) -> list[int]:
    """Up to `count` clips to begin samples as: those kept for checking, then some that are trained on."""
    trained, held_out = split
    return [*held_out, *trained][:count]
