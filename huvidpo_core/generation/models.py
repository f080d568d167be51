"""Everything loaded for one profile, on one device in one precision."""

import logging
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from diffusers import AutoencoderKL
from torch import Tensor

from huvidpo_core.config import Profile
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.generation.latents import decode, fit_preview, latents_to_rgb
from huvidpo_core.models.pack_weights import apply_pack, remove_pack
from huvidpo_core.models.packs import ActionPack

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Models:
    """The painter of first frames and the animator."""

    painter: FirstFramePainter
    animator: Animator
    projection: Tensor  # from the painter's latents to colours, for previews
    device: torch.device

    @classmethod
    def load(cls, profile: Profile, device: str | None) -> "Models":
        """Load both halves of a profile. Raises UserError when a part is missing or unreadable."""
        where = torch.device(device) if device else torch.accelerator.current_accelerator() or torch.device("cpu")
        dtype = torch.float32 if where.type == "cpu" else torch.float16  # half precision on a CPU is 100 times slower
        log.info("loading %s on %s in %s", profile.title, where, dtype)
        for library in (diffusers.utils.logging, transformers.utils.logging):
            library.disable_progress_bar()  # stderr is for sentences; the faces have progress of their own
            library.set_verbosity_error()
        painter = FirstFramePainter.load(profile.first_frame, device=where, dtype=dtype)
        animator = Animator.load(profile.video, device=where, dtype=dtype)
        return cls(painter, animator, _projection(painter.vae), where)

    def use_pack(self, folder: Path, pack: str | None, strength: float) -> ActionPack | None:
        """Put an action pack, 'NAME' or 'NAME/PREFERENCE', into the video UNet; nothing for the bare base model."""
        if not pack:
            remove_pack(self.animator.unet)
            return None
        name, _, preference = pack.partition("/")
        chosen = ActionPack.load(folder / name)
        apply_pack(self.animator.unet, chosen, preference or None, strength)
        return chosen

    def picture_preview(self, latents: Tensor) -> np.ndarray:
        """A rough uint8 (h, w, 3) view of the painter's latents (b, c, h, w) while it works."""
        return latents_to_rgb(latents[:1, :, None].float(), self.projection)[0, 0]


def _projection(vae: AutoencoderKL) -> Tensor:
    """From latents to colours, fitted to what the VAE makes of smooth random latents."""
    coarse = torch.randn(8, vae.config.latent_channels, 4, 4, generator=torch.Generator().manual_seed(0))
    latents = F.interpolate(coarse, size=(16, 16), mode="bilinear")[:, :, None]
    return fit_preview(latents, decode(vae, latents))
