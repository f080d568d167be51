"""What drawn pairs cost under a run's settings, and the figures that tell whether it is well."""

from typing import Any

from diffusers import SchedulerMixin
from torch import Tensor, nn

from huvidpo_core.training.draws import Drawn, ties
from huvidpo_core.training.errors import per_frame, residuals
from huvidpo_core.training.health import health
from huvidpo_core.training.losses import PreferenceLoss, preference_loss
from huvidpo_core.training.settings import AlignSettings


class Objective:
    """Errors are (2, b, f), masks (b, f); `beta` is the settings' until it was measured."""

    def __init__(self, unet: nn.Module, scheduler: SchedulerMixin, settings: AlignSettings) -> None:
        self.beta = settings.beta
        self._unet, self._scheduler, self._settings = unet, scheduler, settings

    def residuals(self, drawn: Drawn, reference: bool = False) -> Tensor:
        """Of the policy or, without gradient, of the reference, (2b, c, f, h, w); see `errors.residuals`."""
        precision = self._settings.precision
        return residuals(self._unet, self._scheduler, drawn, precision=precision, reference=reference)

    def errors(self, drawn: Drawn, reference: bool) -> Tensor:
        """The same as mean squared errors (2, b, f)."""
        return per_frame(self.residuals(drawn, reference))

    def loss(self, policy: Tensor, reference: Tensor, mask: Tensor, **options: Any) -> PreferenceLoss:
        """`preference_loss` with the settings' options and others; 0 where all labels lie outside the window."""
        settings, tied = self._settings, ties(mask, self._settings)
        if not (mask.any() or tied.any()):
            return PreferenceLoss(0 * policy.sum(), policy.new_zeros(len(mask)), policy.new_zeros(()))
        return preference_loss(
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
            **options,
        )

    def figures(self, policy: Tensor, reference: Tensor, mask: Tensor, scale: Tensor | None = None) -> list[float]:
        """Winner's and loser's change, accuracy, gradient factor and loser's scale (`health.Health`); of an unlabelled
        batch those of an untrained policy."""
        if not mask.any():
            return [0.0, 0.0, 0.5, 0.5, 1.0]
        kind, beta = self._settings.loss, self.beta
        found = health(policy.detach(), reference, mask, kind=kind, beta=beta, loser_scale=scale)
        return [found.winner_change, found.loser_change, found.accuracy, found.gradient_factor, found.loser_scale]
