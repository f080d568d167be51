"""What drawn lessons cost under a run's settings, and the figures that tell whether it is well.

One for labelled pairs and one for clips that were judged alone; a training does not know which it has.
"""

from abc import ABC, abstractmethod

import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn

from huvidpo_core.training import losses
from huvidpo_core.training.crew import Crew, Mean
from huvidpo_core.training.draws import Drawn, ties
from huvidpo_core.training.errors import per_frame, residuals
from huvidpo_core.training.health import health
from huvidpo_core.training.safeguard import safeguard
from huvidpo_core.training.settings import AlignSettings
from huvidpo_core.training.single import gains, in_order, kto_loss

MEMORY = 32  # clips, of which `Singles.level` is about the mean


class Objective(ABC):
    """Errors are (s, b, f), s = 2 for pairs and 1 for single clips, masks (b, f).

    `beta` is the settings' until it was measured. `level` is what Diffusion-KTO holds a clip's gain against.
    """

    def __init__(self, unet: nn.Module, scheduler: SchedulerMixin, settings: AlignSettings) -> None:
        self.beta, self.level = settings.beta, 0.0
        self._known: dict[tuple[int, int, int], Tensor] = {}  # the reference's errors (s, 1, f), by look
        self._unet, self._scheduler, self._settings = unet, scheduler, settings

    @staticmethod
    def of(unet: nn.Module, scheduler: SchedulerMixin, settings: AlignSettings) -> "Objective":
        """The one that the settings ask for."""
        return (Singles if settings.single else Pairs)(unet, scheduler, settings)

    def residuals(self, drawn: Drawn, reference: bool = False) -> Tensor:
        """Of the policy or, without gradient, of the reference, (s b, c, f, h, w); see `errors.residuals`."""
        precision = self._settings.precision
        return residuals(self._unet, self._scheduler, drawn, precision=precision, reference=reference)

    def errors(self, drawn: Drawn, reference: bool) -> Tensor:
        """The same as mean squared errors (s, b, f)."""
        return per_frame(self.residuals(drawn, reference), drawn.batch.sides)

    def reference(self, drawn: Drawn) -> Tensor:
        """The reference's errors (s, b, f): of looks that come again computed once, each by itself, so that they do not
        depend on what they came with."""
        if not drawn.looks:
            return self.errors(drawn, True)
        for place, look in enumerate(drawn.looks):
            if look not in self._known:
                self._known[look] = self.errors(drawn.only(place), True)
        return torch.cat([self._known[look] for look in drawn.looks], dim=1)

    @abstractmethod
    def loss(
        self, policy: Tensor, reference: Tensor, mask: Tensor, weight: Tensor | None = None, scale: Tensor | None = None
    ) -> Tensor:
        """The loss () with the settings' options; 0 where all labels lie outside the window."""

    def held_out_loss(self, policy: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """The loss () as it can be compared from check to check: the reference's own is always the same."""
        return self.loss(policy, reference, mask)

    @abstractmethod
    def margins(self, policy: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """What beta multiplies (n,), in units of error: above 0 where the policy agrees with a label."""

    @abstractmethod
    def figures(self, policy: Tensor, reference: Tensor, mask: Tensor, scale: Tensor | None = None) -> list[Mean]:
        """Better and worse clips' change, accuracy, gradient factor and loser's scale (`health.Health`)."""

    @abstractmethod
    def better(self, errors: Tensor, mask: Tensor) -> float:
        """The mean of errors on the better clips, in frames with a label."""

    def scale(self, residuals: Tensor, mask: Tensor) -> Tensor | None:
        """What the loser's gradient is to be multiplied by (`safeguard.safeguard`); None where it stays."""
        return None

    def follow(self, policy: Tensor, reference: Tensor, mask: Tensor, crew: Crew) -> None:
        """Remember what a step's errors, over all processes, say for the steps after it."""
        return


class Pairs(Objective):
    """Preference losses on pairs (`losses`)."""

    def loss(
        self, policy: Tensor, reference: Tensor, mask: Tensor, weight: Tensor | None = None, scale: Tensor | None = None
    ) -> Tensor:
        """`losses.preference_loss`."""
        settings, tied = self._settings, ties(mask, self._settings)
        if not (mask.any() or tied.any()):
            return 0 * policy.sum()
        return losses.preference_loss(
            policy,
            reference,
            mask,
            kind=settings.loss,
            beta=self.beta,
            loss_type=settings.loss_type,
            label_smoothing=settings.label_smoothing,
            tie_threshold=settings.tie_threshold,
            ties=tied,
            winner_anchor=settings.winner_anchor,
            loser_scale=scale,
            weight=weight,
        ).loss

    def margins(self, policy: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """`losses.margins`."""
        return losses.margins(policy, reference, mask, kind=self._settings.loss)

    def figures(self, policy: Tensor, reference: Tensor, mask: Tensor, scale: Tensor | None = None) -> list[Mean]:
        """`health.health`; means of nothing for an unlabelled batch."""
        if not mask.any():
            return [Mean(0.0, 0)] * 5
        kind, beta = self._settings.loss, self.beta
        found = health(policy.detach(), reference, mask, kind=kind, beta=beta, loser_scale=scale)
        rewards = int(mask.count_nonzero()) if kind == "dense" else found.pairs
        return [
            Mean(found.winner_change, found.pairs),
            Mean(found.loser_change, found.pairs),
            Mean(found.accuracy, found.pairs),
            Mean(found.gradient_factor, rewards),
            Mean(found.loser_scale, found.pairs),
        ]

    def better(self, errors: Tensor, mask: Tensor) -> float:
        """The winners' error."""
        return losses.sides(errors, mask)[0][mask != 0].mean().item()

    def scale(self, residuals: Tensor, mask: Tensor) -> Tensor | None:
        """The safeguard's, where the settings have it on."""
        mu = self._settings.safeguard
        return safeguard(residuals.detach(), mask, kind=self._settings.loss, mu=mu) if mu >= 0 else None


class Singles(Objective):
    """Diffusion-KTO on clips that were judged alone (`single`).

    The level is a running mean over the clips of the steps before: a step may have one clip only.
    """

    def loss(
        self, policy: Tensor, reference: Tensor, mask: Tensor, weight: Tensor | None = None, scale: Tensor | None = None
    ) -> Tensor:
        """`single.kto_loss`; there is no loser to scale."""
        return kto_loss(policy[0], reference[0], mask, beta=self.beta, level=self.level, weight=weight).loss

    def held_out_loss(self, policy: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """The same held against these clips' own mean: the level of training moves."""
        return kto_loss(policy[0], reference[0], mask, beta=self.beta).loss

    def margins(self, policy: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """A good clip's gain, a bad one's loss."""
        return gains(policy[0], reference[0], mask) * mask.sum(1).sign()

    @torch.no_grad()
    def figures(self, policy: Tensor, reference: Tensor, mask: Tensor, scale: Tensor | None = None) -> list[Mean]:
        """The accuracy is over all pairs of a good and a bad clip (`single.in_order`)."""
        gain, verdict = gains(policy[0], reference[0], mask), mask.sum(1).sign()
        good = verdict > 0
        lost = torch.sigmoid(-verdict * self.beta * (gain - max(0.0, self.level)))
        both = int(good.sum()) * int((~good).sum())
        return [
            _mean(-gain[good]),
            _mean(-gain[~good]),
            Mean(in_order(gain, good).item() if both else 0.0, both),
            _mean(lost * (1 - lost)),
            Mean(1.0, len(gain)),
        ]

    def better(self, errors: Tensor, mask: Tensor) -> float:
        """The good clips' error."""
        return errors[0][mask > 0].mean().item()

    @torch.no_grad()
    def follow(self, policy: Tensor, reference: Tensor, mask: Tensor, crew: Crew) -> None:
        """Move the level on."""
        (gain,) = crew.means([_mean(gains(policy[0], reference[0], mask))])
        self.level += min(1.0, crew.size * len(mask) / MEMORY) * (gain - self.level)


def _mean(values: Tensor) -> Mean:
    return Mean(values.cpu().double().mean().item() if len(values) else 0.0, len(values))
