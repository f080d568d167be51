"""What the trainings of both stages have in common: steps, checks between them, and a checkpoint to continue from.

Everything random is drawn from (seed, step) by the training itself, so a run that was killed and resumed ends exactly
as one left alone.
"""

import gc
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from huvidpo_core.errors import UserError, out_of_memory
from huvidpo_core.training import checkpoint
from huvidpo_core.training.crew import Crew

log = logging.getLogger(__name__)

SHORT = 4096  # numbers of a trial step: of fewer, bitsandbytes keeps the moments whole


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step."""

    step: int  # 1 after the first
    steps: int
    loss: float
    lr: float


class CheckRecord(Protocol):
    """A look at what was learned so far; step 0 is before anything was. What else it tells is the training's own."""

    step: int
    clips: tuple[np.ndarray, ...]  # samples, uint8 (f, h, w, 3)


class Pace(Protocol):
    """The settings that every training has; see `AlignSettings`."""

    steps: int
    lr: float
    warmup: int
    weight_decay: float
    eps: float
    clip: float
    check_every: int
    optimizer: str
    checkpointing: bool | None


class Course(ABC):
    """A training under way: `run` is a generator of its steps and checks."""

    def __init__(
        self,
        parameters: dict[str, nn.Parameter],
        settings: Pace,
        folder: Path,
        crew: Crew,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        """Train these parameters with AdamW; the checkpoint lies in `folder`. At its end a subclass calls
        `_continue`."""
        self.parameters, self.settings = parameters, settings
        self._folder, self._crew = folder, crew
        self._optimizer = _optimizer(settings.optimizer, next(iter(parameters.values())).device)(
            parameters.values(), lr=settings.lr, betas=betas, weight_decay=settings.weight_decay, eps=settings.eps
        )
        self.step, self.ended = 0, ""
        self.checked = -1  # step of the last check
        self._begun = False

    def run(self) -> Iterator[StepRecord | CheckRecord | None]:
        """Train to the end, yielding after each step and check; to pause, stop iterating and call `save`.

        Only the process that leads checks; the others yield None then. `ended` says at last why it ended.

        Raises:
            UserError: it cannot begin, the training diverges, or the checkpoint cannot be written.
        """
        for _ in self.begin():
            pass
        with _unvisited():
            while not self.ended:
                if self.check_due:
                    self.checked = self.step
                    yield self._check()
                    self.save()  # not before the caller has kept the check: a checkpoint is never ahead of the record
                elif self.step >= self.settings.steps:
                    self.ended = f"all {self.settings.steps} steps are done"
                else:
                    yield self._take_step()
        self.save()

    @property
    def check_due(self) -> bool:
        """Whether a check comes next."""
        last = self.step >= self.settings.steps
        return self.checked < self.step and (last or self.step % self.settings.check_every == 0)

    @property
    def checks_left(self) -> int:
        """How many checks are still to come if it goes on to the last step."""
        every, steps = self.settings.check_every, self.settings.steps
        return math.ceil(steps / every) - self.checked // every if self.checked < steps else 0

    def begin(self) -> Iterator[int]:
        """Measure what must be known before the first step, unless that was done: a generator that pauses now and then,
        for who does not want to wait for all of it, and says how many pauses are left. Closed before its end it leaves
        no trace. Raises UserError."""
        if not self._begun:
            yield from self._begin()
            self._begun = True

    def save(self) -> None:
        """Write the checkpoint, whole or not at all. Raises UserError when it cannot be; the one before stays."""
        if not self._crew.leads:
            return
        state = {
            "run": checkpoint.plain(self._identity()),
            "processes": self._crew.size,
            "step": self.step,
            "optimizer": self._optimizer.state_dict(),
            "checked": self.checked,
            "ended": self.ended,
        }
        checkpoint.write(self._folder, state | self._state())

    def _rate(self, step: int) -> float:
        """The learning rate of a step: a linear warm-up, then constant."""
        return self.settings.lr * min(1.0, (step + 1) / max(1, self.settings.warmup))

    def _descend(self, loss: Tensor) -> float:
        """An optimizer step down a loss, which all processes share; the learning rate it took.

        Raises:
            UserError: the gradient is not finite; it is so in all processes.
        """
        rate = self._rate(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._crew.average(self.parameters.values())
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip)
        if not norm.isfinite():
            raise UserError(
                f"The training has diverged: at step {self.step + 1} its gradient is not a finite number. Start anew "
                "with a smaller learning rate."
            )
        self._optimizer.step()
        self.step += 1
        return rate

    def _continue(self) -> None:
        """Go on from the checkpoint, if there is one. Raises UserError where it is damaged or another run's."""
        if (state := checkpoint.read(self._folder, self._identity())) is None:
            return
        try:
            self.step, self.checked, self.ended = state["step"], state["checked"], state["ended"]
            self._begun = self.checked >= 0
            self._optimizer.load_state_dict(state["optimizer"])
            self._take_up(state)
        except Exception as error:  # a part is missing, or is not what it should be
            if isinstance(error, UserError) or out_of_memory(error):
                raise
            raise checkpoint.damaged(self._folder, error) from error
        if (size := state.get("processes", self._crew.size)) != self._crew.size and self._crew.leads:
            log.warning(
                "This training was carried out by %d processes so far, and now by %d. It goes on, but not exactly as "
                "it would have: each process draws its own dropout.",
                size,
                self._crew.size,
            )
        if self.step < self.settings.steps and self.ended.startswith("all "):
            self.ended = ""  # the run is prolonged

    # Each training's own

    @abstractmethod
    def _begin(self) -> Iterator[int]:
        """See `begin`."""

    @abstractmethod
    def _take_step(self) -> StepRecord:
        """One step, by `_descend`."""

    @abstractmethod
    def _check(self) -> CheckRecord | None:
        """A check, by the process that leads; None in the others. It may set `ended`, in all of them."""

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on to be continued (`checkpoint.read`): all settings but for how long, and where
        numbers are kept meanwhile; each training adds what it learns from."""
        return {"settings": replace(self.settings, steps=1, checkpointing=None)}

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds besides the step, the optimizer and why it ended."""

    @abstractmethod
    def _take_up(self, state: dict[str, Any]) -> None:
        """The same back from a checkpoint."""


@contextmanager
def _unvisited() -> Iterator[None]:
    """The garbage collector leaves alone what is there by now, models and libraries: visiting it every few steps, all
    threads waiting, took a tenth of the miniature's training."""
    gc.collect()  # what is left of loading would stay, too
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _optimizer(name: str, device: torch.device) -> Callable[..., torch.optim.Optimizer]:
    """AdamW, or bitsandbytes' with its moments in eight bits. Raises UserError where that does not work on the device,
    which a step tells: it can be there, and built for another CUDA."""
    if name == "adamw":
        return partial(torch.optim.AdamW, foreach=True)  # a LoRA's many small tensors together, on a CPU too
    try:
        from bitsandbytes.optim import AdamW8bit

        tried = nn.Parameter(torch.zeros(SHORT, device=device))
        tried.grad = torch.ones_like(tried)
        AdamW8bit([tried]).step()
    except (ImportError, RuntimeError) as error:
        raise UserError(
            "The optimizer adamw8bit needs bitsandbytes, which does not work here. Install requirements-gpu.txt, or "
            "choose optimizer = 'adamw'."
        ) from error
    return AdamW8bit
