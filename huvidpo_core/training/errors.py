"""How far a network's predictions are off on a lesson's clips: what all preference losses are made of."""

from contextlib import nullcontext
from functools import partial

import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn

from huvidpo_core.training import lora
from huvidpo_core.training.draws import Drawn
from huvidpo_core.training.frugal import Frugal
from huvidpo_core.training.motion import residual


def residuals(
    unet: nn.Module, scheduler: SchedulerMixin, drawn: Drawn, *, precision: str = "auto", reference: bool = False
) -> Tensor:
    """Prediction minus target (s b, c, f, h, w), winners first, all s sides in one forward pass, float32.

    Args:
        drawn: b lessons with the noise and timestep that all of a lesson's clips get.
        precision: "float32", "bfloat16", or "auto": bfloat16 but on a CPU.
        reference: with the LoRA switched off, without gradients.
    """
    device, dtype = drawn.noise.device, next(unet.parameters()).dtype  # unet.device walks through all modules
    low = precision == "bfloat16" or (precision == "auto" and device.type != "cpu")
    gradient = torch.no_grad if reference else nullcontext
    adapter = partial(lora.switched_off, unet) if reference else nullcontext
    batch = drawn.batch
    with gradient(), adapter(), Frugal(), torch.autocast(device.type, torch.bfloat16, enabled=low):
        noise, timestep = drawn.noise.repeat(batch.sides, 1, 1, 1, 1), drawn.timestep.repeat(batch.sides)
        return residual(unet, scheduler, batch.clean, batch.text.to(dtype), noise, timestep)


def per_frame(residuals: Tensor, sides: int = 2) -> Tensor:
    """Mean squared errors (s, b, f) of `residuals` (s b, c, f, h, w)."""
    return residuals.square().mean((1, 3, 4)).unflatten(0, (sides, -1))
