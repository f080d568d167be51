"""Stage 2: fine-tune a LoRA on labelled pairs of clips (HuViDPO Eq. 9, DenseDPO), or on clips that were rated alone
(Diffusion-KTO), with checks that end it in time.

Winner and loser of a pair go through the network in one batch, with the same noise and timestep; the reference is the
same network with the LoRA switched off. A run that was killed and resumed ends exactly as one left alone.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn

from huvidpo_core.errors import UserError
from huvidpo_core.training import course, lora, probe
from huvidpo_core.training.adapted import as_one
from huvidpo_core.training.calibrate import Calibration
from huvidpo_core.training.checks import CheckRecord, HeldOut, Judgement
from huvidpo_core.training.crew import Crew, Mean
from huvidpo_core.training.draws import Draws
from huvidpo_core.training.errors import per_frame
from huvidpo_core.training.frugal import channels_last, checkpointing, low_precision
from huvidpo_core.training.lessons import Lessons
from huvidpo_core.training.objective import Objective
from huvidpo_core.training.settings import AlignSettings
from huvidpo_core.training.split import parted, passes, weighed
from huvidpo_core.training.tryout import Samples


@dataclass(frozen=True)
class StepRecord(course.StepRecord):
    """One optimizer step, of all processes together. Changes are errors minus the reference's: the winner's, or good
    clips', should fall (`health.Health`). None: the batch has nothing to tell it by."""

    winner_change: float | None
    loser_change: float | None
    accuracy: float | None
    gradient_factor: float | None
    loser_scale: float | None


class Aligner(course.Course):
    """A training under way: `run` is a generator of its `StepRecord`s and `CheckRecord`s."""

    settings: AlignSettings

    def __init__(
        self,
        unet: nn.Module,
        scheduler: SchedulerMixin,
        lessons: Lessons,
        settings: AlignSettings,
        tryout: Samples,
        folder: Path,
        *,
        frames: int,
        shared_noise: float = 0.0,
        crew: Crew = Crew(),  # noqa: B008  (frozen)
    ) -> None:
        """Put a fresh LoRA into `unet` and continue from the checkpoint in `folder`, if there is one.

        Raises:
            UserError: nothing to learn from, a batch that cannot be shared out, or a checkpoint of another run.
        """
        if settings.batch % crew.size:
            raise UserError(f"A batch of {settings.batch} pairs cannot be shared by {crew.size} processes evenly.")
        train, self.held_out = parted(lessons.pairs, settings)
        self.train_pairs = weighed(train)
        settings = replace(settings, steps=settings.steps or passes(train, settings.batch))
        super().__init__(lora.attach(unet, settings.lora, settings.seed), settings, folder, crew)
        self._unet, self._tryout = unet, tryout
        channels_last(unet)
        if low_precision(unet, settings.precision) is None:
            as_one(unet)
        self._objective = Objective.of(unet, scheduler, settings)
        self._draws = Draws(lessons, self.train_pairs, settings, frames, shared_noise, unet.device, crew)
        self._held_out = HeldOut(self.held_out, self._draws, self._objective.errors)
        self._judgement = Judgement(settings.least_motion, settings.winner_rise, settings.patience)
        if settings.checkpointing:
            checkpointing(unet, settings.precision)
        self.calibration: Calibration | None = None  # what beta was measured from
        self._base_motion = 0.0  # how much the base's clips move
        self._continue()

    @property
    def beta(self) -> float:
        """In the loss's own convention; 0 until it was measured."""
        return self._objective.beta

    @property
    def best(self) -> dict[str, Any]:
        """`step`, `loss`, `accuracy` and tensors `lora` of the best check so far."""
        return self._judgement.state

    def use_best(self) -> None:
        """Put the best LoRA of the run into the network, and the network into evaluation."""
        lora.load_values(self.parameters, self.best["lora"] or self._lora())
        self._unet.eval()

    def _begin(self) -> Iterator[int]:
        policy, reference, mask = self._pre_flight()
        yield 0 if self.settings.beta else probe.STEPS + probe.LOOKS
        yield from self._set_beta()
        found, wanted = (self._objective.loss(each, reference, mask).item() for each in (policy, reference))
        if not abs(found - wanted) < 1e-3:
            raise UserError(
                f"A fresh LoRA has a loss of {found:.4f} instead of {wanted:.4f}: with a beta of {self.beta:.3g} the "
                "rounding of the arithmetic counts as a preference. Choose a smaller beta, or precision = 'float32'."
            )

    def _take_step(self) -> StepRecord:
        self._unet.train()
        drawn = self._draws.at(self.step)
        reference = self._objective.reference(drawn)
        torch.manual_seed(self._draws.dropout_seed(self.step))
        off = self._objective.residuals(drawn)
        policy, mask = per_frame(off, drawn.batch.sides), drawn.batch.mask
        scale = self._objective.scale(off, mask)
        share = drawn.share * self._objective.loss(policy, reference, mask, drawn.batch.weight, scale)
        rate = self._descend(share)
        figures = self._objective.figures(policy, reference, mask, scale)
        self._objective.follow(policy, reference, mask, self._crew)
        loss, *figures = self._crew.means([Mean(share.item(), 1), *figures])
        return StepRecord(self.step, self.settings.steps, loss, rate, *figures)

    def _check(self) -> CheckRecord | None:
        check = self._measured() if self._crew.leads else None
        self.ended = self._crew.told(self._judgement.of(check, self._lora()) if check else "")
        return check

    def _measured(self) -> CheckRecord:
        self._unet.eval()
        clips = tuple(self._tryout.clips(self._unet))
        moved = float(np.mean([self._tryout.motion(clip) for clip in clips]))
        if self.step == 0:
            self._base_motion = moved
        motion = moved / self._base_motion if self._base_motion else 1.0
        found: dict[str, float | None] = dict.fromkeys(("accuracy", "loss", "winner_change", "loser_change"))
        if (looked := self._held_out.look()) is not None:
            policy, reference, mask = looked
            winner, loser, right, *_ = (mean.value for mean in self._objective.figures(policy, reference, mask))
            whole = self._objective.better(reference, mask)
            loss = self._objective.held_out_loss(policy, reference, mask).item()
            found = {"accuracy": right, "loss": loss, "winner_change": winner / whole, "loser_change": loser / whole}
        return CheckRecord(self.step, **found, motion=motion, clips=clips)

    def _pre_flight(self) -> tuple[Tensor, Tensor, Tensor]:
        """The LoRA must change nothing yet, or all that follows would be measured wrongly. Errors of policy and
        reference (s, b, f), and the mask (b, f), whose loss is then that of the reference with itself: ln 2."""
        self._unet.eval()
        drawn = self._draws.at(0)
        with torch.no_grad():
            own, base = self._objective.residuals(drawn), self._objective.residuals(drawn, reference=True)
        clips = self._draws.lessons.latents.values()
        if not (torch.isfinite(base).all() and all(torch.isfinite(clip).all() for clip in clips)):
            raise UserError("The base model's error on these clips is not a finite number. Look for a damaged clip.")
        if not (own - base).norm() <= 1e-3 * base.norm():  # rounding to bfloat16 alone may come to half of that
            raise UserError(
                "The fresh LoRA already changes the model's output, so nothing measured against the base would be "
                "right. Take other adapters out of the model, then start again."
            )
        policy, reference = (per_frame(each, drawn.batch.sides) for each in (own, base))
        return policy, reference, drawn.batch.mask

    def _set_beta(self) -> Iterator[int]:
        """Where the settings leave beta open, measure it; all processes take the leader's."""
        if self.settings.beta:
            return
        self._unet.train()
        measured = yield from probe.measure_beta(
            self.parameters, self._draws, self._objective, self.settings, self._crew
        )
        self.calibration = measured
        if not (beta := self._crew.told(repr(self.calibration.beta) if self.calibration else "")):
            raise UserError(
                "Beta cannot be measured: the clips that are to be told apart hardly differ. Set beta yourself "
                "(HuViDPO has 50, Diffusion-DPO 2000, Diffusion-KTO 1000), or rate clips that differ more."
            )
        self._objective.beta = float(beta)

    def _lora(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.parameters.items()}

    def _identity(self) -> dict[str, Any]:
        return super()._identity() | {"train": self.train_pairs, "held_out": self.held_out}

    def _state(self) -> dict[str, Any]:
        return {
            "beta": self.beta,
            "level": self._objective.level,
            "calibration": self.calibration and asdict(self.calibration),
            "lora": self._lora(),
            "judgement": self._judgement.state,
            "base_motion": self._base_motion,
        }

    def _take_up(self, state: dict[str, Any]) -> None:
        self._objective.beta, self._objective.level = state["beta"], state.get("level", 0.0)
        self.calibration = state["calibration"] and Calibration(**state["calibration"])
        self._judgement.state, self._base_motion = state["judgement"], state["base_motion"]
        lora.load_values(self.parameters, state["lora"])
