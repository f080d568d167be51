"""Who draws the first frame: the profile's own painter, or another one, loaded when it is first wanted."""

from pathlib import Path
from typing import Any

import torch

from huvidpo_core.config import PainterConfig, Profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.generation.plans import Plan
from huvidpo_core.models import preference

_LORA = "liked"  # what a LoRA is called inside the network


class Painters:
    """A profile's painters. Their networks take turns on a GPU, so that it needs room for one; the others wait in the
    computer's own memory. All else that two of them, or one and the animator, have in common is there once.
    """

    def __init__(
        self,
        profile: Profile,
        own: FirstFramePainter,
        animator: Animator,
        device: torch.device,
        plan: Plan = Plan(),  # noqa: B008  (frozen)
    ) -> None:
        """`own` is the profile's, wherever it is."""
        self._profile, self._animator, self._device, self._plan = profile, animator, device, plan
        self._loaded = {"": own}
        self._there = "nobody"  # whose network is on the device

    def use(self, name: str, lora: Path | None = None) -> FirstFramePainter:
        """The painter of this name, ready to draw; empty for the profile's own. Raises UserError.

        With a `lora` it is the profile's own, whatever the name, with that file's LoRA in its network.
        """
        painter = self._ready("" if lora else name)
        if painter.unet is self._loaded[""].unet:
            preference.detach(painter.unet, _LORA)
            if lora:
                preference.attach(painter.unet, preference.read(lora, painter.unet), _LORA)
        return painter

    def _ready(self, name: str) -> FirstFramePainter:
        painter = self._loaded.get(name) or self._load(name)
        if name != self._there:
            if self._there in self._loaded and self._loaded[self._there].unet is not painter.unet:
                self._loaded[self._there].unet.to("cpu")
            self._there = "nobody"
            if self._plan.resident != "parts":  # else each part goes there when its time comes
                try:
                    painter.text_to_image.to(self._device)
                except BaseException:
                    painter.text_to_image.to("cpu")  # there was no room after all, and what found some must not stay
                    raise
            self._loaded[name], self._there = painter, name
        return painter

    def rest(self) -> None:
        """Leave the device to others."""
        if self._there in self._loaded:
            for painter in self._loaded.values():  # of those before, text encoders and VAE may be there still
                painter.text_to_image.to("cpu")
        self._there = "nobody"

    def _load(self, name: str) -> FirstFramePainter:
        config = next((each for each in self._profile.painters if each.name == name), None)
        if config is None:
            raise UserError(f"Nobody called '{name}' draws first frames here. Choose another painter.")
        dtype = self._loaded[""].unet.dtype
        shared, parts_on = self._shared(config), self._device if self._plan.resident == "parts" else None
        return FirstFramePainter.load(config, device=None, dtype=dtype, shared=shared, parts_on=parts_on)

    def _shared(self, config: PainterConfig) -> dict[str, Any]:
        """What comes from the same folder as what is loaded: the network that denoises too, where that is the same."""
        own = self._profile.first_frame
        if config.base == own.base:
            others = ("scheduler",) if config.unet == own.unet else ("scheduler", "unet")
            parts = self._loaded[""].text_to_image.components
            return {name: part for name, part in parts.items() if name not in others and part is not None}
        if config.base == self._profile.video.base:
            animator = self._animator
            return {"vae": animator.vae, "text_encoder": animator.text_encoder, "tokenizer": animator.tokenizer}
        return {}
