"""Who animates: the profile's own animator, or AnimateDiff, loaded when it is first wanted."""

import torch

from huvidpo_core.config import Profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.animatediff import AnimateDiff
from huvidpo_core.recipe import ANIMATEDIFF


class Animators:
    """Their networks take turns on a GPU, as those of `Painters` do; VAE and text encoder are there once."""

    def __init__(self, profile: Profile, own: Animator, device: torch.device) -> None:
        """`own` is the profile's, wherever it is."""
        self.own = own
        self._config, self._device = profile.animatediff, device
        self._other: AnimateDiff | None = None
        self._there: Animator | AnimateDiff | None = None  # whose networks are on the device

    def use(self, pack: str | None) -> Animator | AnimateDiff:
        """Whoever animates with this entry of the menu of motions, ready to begin. Raises UserError."""
        wanted = self._animatediff() if pack == ANIMATEDIFF else self.own
        if self._there is not wanted:
            self.rest()
            try:
                wanted.to(self._device)
            except BaseException:
                wanted.to("cpu")  # there was no room after all, and what found some must not stay
                raise
            self._there = wanted
        return wanted

    def rest(self) -> None:
        """Leave the device to others."""
        leaving, self._there = self._there, None
        if leaving:
            leaving.to("cpu")

    def _animatediff(self) -> AnimateDiff:
        if self._config is None:
            raise UserError("This profile has no AnimateDiff. Choose another motion.")
        self._other = self._other or AnimateDiff.load(self._config, self.own)
        return self._other
