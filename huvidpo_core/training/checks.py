"""Whether a training still helps: held-out pairs (or single clips), the motion of sample clips, and when it is time to
end."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from huvidpo_core.training.draws import Drawn, Draws
from huvidpo_core.training.lessons import Lesson

DRAWS = 4  # noise levels at which a held-out pair is judged


@dataclass(frozen=True)
class CheckRecord:
    """A look at the held-out pairs and the sample clips; step 0 is the reference itself.

    The figures of held-out pairs are None without any; changes are shares of the winners' error under the reference.
    """

    step: int
    accuracy: float | None  # share of held-out pairs that the policy puts in order
    loss: float | None
    winner_change: float | None
    loser_change: float | None
    motion: float  # of the sample clips, against the reference's: 1 is as much
    clips: tuple[np.ndarray, ...] = field(default=(), compare=False)  # uint8 (f, h, w, 3)


class HeldOut:
    """The pairs that are not trained on, looked at with the same noise every time."""

    def __init__(self, pairs: Sequence[Lesson], draws: Draws, measure: Callable[[Drawn, bool], Tensor]) -> None:
        """`measure(drawn, reference)` gives errors (s, b, f)."""
        # A label that lies behind the window says nothing here.
        self.pairs = [pair for pair in pairs if any(pair.mask[1 : draws.frames])]
        self._draws, self._measure = draws, measure
        self._reference: Tensor | None = None

    @torch.no_grad()
    def look(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Errors of policy and reference (s, n, f), means over the draws, and masks (n, f); None without pairs."""
        if not self.pairs:
            return None
        if self._reference is None:
            self._reference = self._errors(True)
        masks = [self._padded(torch.tensor(pair.mask[: self._draws.frames]).float()) for pair in self.pairs]
        mask = torch.stack(masks).to(self._reference)
        mask[:, 0] = 0  # the frame that is given
        return self._errors(False), self._reference, mask

    def _errors(self, reference: bool) -> Tensor:
        columns = []
        for number, pair in enumerate(self.pairs):
            looks = [self._measure(self._draws.fixed(pair, number, draw, DRAWS), reference) for draw in range(DRAWS)]
            columns.append(self._padded(torch.stack(looks).mean(0)))
        return torch.cat(columns, dim=1)

    def _padded(self, values: Tensor) -> Tensor:
        """A shorter pair's (..., f) up to the others' length, without labels there."""
        return F.pad(values, (0, self._draws.frames - values.shape[-1]))


class Judgement:
    """Remembers the best LoRA of a run, and says when training should end. `state` is what a checkpoint holds."""

    def __init__(self, least_motion: float, winner_rise: float, patience: int) -> None:
        self._least_motion, self._winner_rise, self._patience = least_motion, winner_rise, patience
        self.state: dict[str, Any] = {"step": 0, "loss": math.inf, "accuracy": None, "worse": 0, "lora": {}}

    def of(self, check: CheckRecord, lora: dict[str, Tensor]) -> str:
        """Take a check of a LoRA into account; why training should end, or "" if it should go on.

        The best is the one that puts most held-out pairs in order, among those that keep the motion and do not make the
        winners less likely than the reference does. Of several it is the last whose loss is below the reference's own,
        for it has gone furthest (without held-out pairs: the last of all), or else the one with the lowest loss.
        Accuracy first: with a beta that was measured the loss rises as soon as a pair is misjudged. Patience is with
        checks of which neither the accuracy nor, at the same accuracy, the loss is the best so far.
        """
        start = check.step == 0  # the reference itself, from which it differs by rounding at most
        if start:
            self.state["start"] = check.loss
        better, further = (True, True) if check.loss is None else self._compared(check)
        still = not start and check.motion < self._least_motion
        unlearned = not start and check.winner_change is not None and check.winner_change > self._winner_rise
        if further and not still and not unlearned:
            loss = math.inf if check.loss is None else check.loss
            self.state |= {"step": check.step, "loss": loss, "accuracy": check.accuracy, "lora": lora}
        self.state["worse"] = 0 if better else self.state["worse"] + 1
        if still:
            return f"the sample clips move {1 - check.motion:.0%} less than the base model's"
        if unlearned:
            return f"the error on the better clips rose above the base model's{self._by_how_much(check.winner_change)}"
        if self.state["worse"] >= self._patience:
            return f"the held-out pairs were not understood better in {self._patience} checks"
        return ""

    def _by_how_much(self, rise: float) -> str:
        """Where the settings allow a rise: how much, and what this was."""
        if not self._winner_rise:
            return ""
        return f" by more than {100 * self._winner_rise:g}%: by {100 * rise:.3g}%"

    def _compared(self, check: CheckRecord) -> tuple[bool, bool]:
        """Whether it has the highest accuracy or, of those that have, the lowest loss; whether it is to be the best."""
        if not math.isfinite(check.loss):
            return False, False
        so_far = self.state["accuracy"] or 0.0, -self.state.get("lowest", self.state["loss"])
        if better := (check.accuracy, -check.loss) > so_far:
            self.state["lowest"] = check.loss
        start = self.state.get("start")
        below = start is not None and check.loss < start
        return better, better or (check.accuracy == so_far[0] and below)
