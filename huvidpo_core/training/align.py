"""Stage 2: fine-tune a LoRA on labelled pairs of clips (HuViDPO Eq. 9, DenseDPO), with checks that end it in time.

Winner and loser of a pair go through the network in one batch, with the same noise and timestep; the reference is the
same network with the LoRA switched off. A run that was killed and resumed ends exactly as one left alone.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn

from huvidpo_core.errors import UserError
from huvidpo_core.training import checkpoint, lora
from huvidpo_core.training.calibrate import Calibration
from huvidpo_core.training.checks import CheckRecord, HeldOut, Judgement
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.draws import Draws
from huvidpo_core.training.errors import attention, per_frame
from huvidpo_core.training.lessons import Lessons
from huvidpo_core.training.losses import sides
from huvidpo_core.training.objective import Objective
from huvidpo_core.training.probe import measure_beta
from huvidpo_core.training.safeguard import safeguard
from huvidpo_core.training.settings import AlignSettings
from huvidpo_core.training.split import split
from huvidpo_core.training.tryout import Tryout


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step. Changes are errors minus the reference's: the winner's should fall (`health.Health`)."""

    step: int  # 1 after the first
    steps: int
    loss: float
    lr: float
    winner_change: float
    loser_change: float
    accuracy: float
    gradient_factor: float
    loser_scale: float


class Aligner:
    """A training under way: `run` is a generator of its steps and checks."""

    def __init__(
        self,
        unet: nn.Module,
        scheduler: SchedulerMixin,
        lessons: Lessons,
        settings: AlignSettings,
        tryout: Tryout,
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
        decided = [pair for pair in lessons.pairs if any(pair.mask[1:]) or (settings.tie_threshold and pair.mask[1:])]
        if not decided:
            raise UserError(
                "None of the votes says which clip is better: nothing can be learned from ties alone. Rate some more "
                "pairs, then try again."
            )
        if settings.batch % crew.size:
            raise UserError(f"A batch of {settings.batch} pairs cannot be shared by {crew.size} processes evenly.")
        train, self.held_out = split(decided, settings.held_out, settings.seed)
        mean = sum(pair.weight for pair in train) / len(train)
        self.train_pairs = [replace(pair, weight=pair.weight / mean) for pair in train]
        passes = math.ceil(12 * len(self.train_pairs) / settings.batch)
        self.settings = settings = replace(settings, steps=settings.steps or passes)
        self._unet, self._folder, self._crew, self._tryout = unet, folder, crew, tryout
        self._objective = Objective(unet, scheduler, settings)
        self._draws = Draws(lessons, self.train_pairs, settings, frames, shared_noise, unet.device, crew)
        self._held_out = HeldOut(self.held_out, self._draws, self._objective.errors)
        self._judgement = Judgement(settings.least_motion, settings.patience)
        self.parameters = lora.attach(unet, settings.lora, settings.seed)
        self._optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=settings.lr, weight_decay=settings.weight_decay, eps=settings.eps
        )
        if settings.checkpointing:
            unet.enable_gradient_checkpointing()
        self.step, self.ended = 0, ""
        self.calibration: Calibration | None = None  # what beta was measured from
        self.checked, self._base_motion = -1, 0.0  # step of the last check; how much the base's clips move
        self._continue()

    @property
    def beta(self) -> float:
        """In the loss's own convention; 0 until it was measured."""
        return self._objective.beta

    @property
    def best(self) -> dict[str, Any]:
        """`step`, `loss`, `accuracy` and tensors `lora` of the best check so far."""
        return self._judgement.state

    def run(self) -> Iterator[StepRecord | CheckRecord | None]:
        """Train to the end, yielding after each step and check; to pause, stop iterating and call `save`.

        Only the process that leads checks; the others yield None then. `ended` says at last why it ended.

        Raises:
            UserError: the pre-flight fails, the training diverges, or the checkpoint cannot be written.
        """
        if self.checked < 0:
            self._pre_flight()
            self._set_beta()
        while not self.ended:
            last = self.step >= self.settings.steps
            if self.checked < self.step and (last or self.step % self.settings.check_every == 0):
                yield self._check()
                self.save()  # not before the caller has kept the check: a checkpoint is never ahead of the record
            elif last:
                self.ended = f"all {self.settings.steps} steps are done"
            else:
                yield self._take_step()
        self.save()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all. Raises UserError when it cannot be; the one before stays."""
        if not self._crew.leads:
            return
        state = {
            "run": self._identity(),
            "step": self.step,
            "beta": self.beta,
            "calibration": self.calibration and asdict(self.calibration),
            "lora": self._lora(),
            "optimizer": self._optimizer.state_dict(),
            "judgement": self._judgement.state,
            "base_motion": self._base_motion,
            "checked": self.checked,
            "ended": self.ended,
        }
        checkpoint.write(self._folder, state)

    def use_best(self) -> None:
        """Put the best LoRA of the run into the network, and the network into evaluation."""
        lora.load_values(self.parameters, self.best["lora"] or self._lora())
        self._unet.eval()

    def _take_step(self) -> StepRecord:
        self._unet.train()
        drawn = self._draws.at(self.step)
        torch.manual_seed(self._draws.dropout_seed(self.step))
        rate = self.settings.lr * min(1.0, (self.step + 1) / max(1, self.settings.warmup))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        reference = self._objective.errors(drawn, True)
        off = self._objective.residuals(drawn)
        policy, mask, scale = per_frame(off), drawn.batch.mask, None
        if self.settings.safeguard >= 0:
            scale = safeguard(off.detach(), mask, kind=self.settings.loss, mu=self.settings.safeguard)
        result = self._objective.loss(policy, reference, mask, weight=drawn.batch.weight, loser_scale=scale)
        self._optimizer.zero_grad(set_to_none=True)
        with attention(self._unet.device):
            (drawn.share * result.loss).backward()
        self._crew.average(self.parameters.values())
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip)
        if not norm.isfinite():  # the same in all processes
            raise UserError(
                f"The training has diverged: at step {self.step + 1} its gradient is not a finite number. Start anew "
                "with a smaller learning rate."
            )
        self._optimizer.step()
        self.step += 1
        figures = self._objective.figures(policy, reference, mask, scale)
        return StepRecord(self.step, self.settings.steps, result.loss.item(), rate, *figures)

    def _check(self) -> CheckRecord | None:
        self.checked = self.step
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
            winner, loser, right, *_ = self._objective.figures(policy, reference, mask)
            whole = sides(reference, mask)[0][mask != 0].mean().item()
            loss = self._objective.loss(policy, reference, mask).loss.item()
            found = {"accuracy": right, "loss": loss, "winner_change": winner / whole, "loser_change": loser / whole}
        return CheckRecord(self.step, **found, motion=motion, clips=clips)

    def _pre_flight(self) -> None:
        """The LoRA must change nothing yet, so that the loss is ln 2, or all that follows would be measured wrongly."""
        self._unet.eval()
        drawn = self._draws.at(0)
        with torch.no_grad():
            policy, reference = self._objective.errors(drawn, False), self._objective.errors(drawn, True)
        clips = self._draws.lessons.latents.values()
        if not (torch.isfinite(reference).all() and all(torch.isfinite(clip).all() for clip in clips)):
            raise UserError("The base model's error on these clips is not a finite number. Look for a damaged clip.")
        if (policy - reference).abs().max() > 1e-5 * reference.abs().max():
            raise UserError(
                "The fresh LoRA already changes the model's output, so nothing measured against the base would be "
                "right. Take other adapters out of the model, then start again."
            )

    def _set_beta(self) -> None:
        """Where the settings leave beta open, measure it; all processes take the leader's."""
        if self.settings.beta:
            return
        self._unet.train()
        self.calibration = measure_beta(self.parameters, self._draws, self._objective.errors, self.settings, self._crew)
        if not (beta := self._crew.told(repr(self.calibration.beta) if self.calibration else "")):
            raise UserError(
                "Beta cannot be measured: the two clips of these pairs hardly differ. Set beta yourself (HuViDPO has "
                "50, Diffusion-DPO 2000), or rate clips that differ more."
            )
        self._objective.beta = float(beta)

    def _lora(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.parameters.items()}

    def _identity(self) -> str:
        """What a checkpoint must agree on to be continued: everything but for how long."""
        settings = {name: value for name, value in asdict(self.settings).items() if name != "steps"}
        return repr((sorted(settings.items()), self.train_pairs, self.held_out))

    def _continue(self) -> None:
        if (state := checkpoint.read(self._folder, self._identity())) is None:
            return
        self.step, self.checked, self.ended = state["step"], state["checked"], state["ended"]
        self._objective.beta = state["beta"]
        self.calibration = state["calibration"] and Calibration(**state["calibration"])
        self._judgement.state, self._base_motion = state["judgement"], state["base_motion"]
        lora.load_values(self.parameters, state["lora"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self.step < self.settings.steps and self.ended.startswith("all "):
            self.ended = ""  # the run is prolonged
