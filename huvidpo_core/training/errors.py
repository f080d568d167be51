"""How far a network's predictions are off on a pair's clips: what all preference losses are made of."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from huvidpo_core.training import lora
from huvidpo_core.training.draws import Drawn
from huvidpo_core.training.motion import residual


def residuals(
    unet: nn.Module, scheduler: SchedulerMixin, drawn: Drawn, *, precision: str = "auto", reference: bool = False
) -> Tensor:
    """Prediction minus target (2b, c, f, h, w), winners first, both sides in one forward pass, float32.

    Args:
        drawn: b pairs with the noise and timestep that both of their clips get.
        precision: "float32", "bfloat16", or "auto": bfloat16 but on a CPU.
        reference: with the LoRA switched off, without gradients.
    """
    device, dtype = drawn.noise.device, next(unet.parameters()).dtype  # unet.device walks through all modules
    low = precision == "bfloat16" or (precision == "auto" and device.type != "cpu")
    gradient = torch.no_grad if reference else nullcontext
    adapter = partial(lora.switched_off, unet) if reference else nullcontext
    batch = drawn.batch
    with gradient(), adapter(), attention(device), torch.autocast(device.type, torch.bfloat16, enabled=low):
        noise, timestep = drawn.noise.repeat(2, 1, 1, 1, 1), drawn.timestep.repeat(2)
        return residual(unet, scheduler, batch.clean, batch.text.to(dtype), noise, timestep)


def attention(device: torch.device) -> AbstractContextManager:
    """How attention is computed in `residuals`. The backward pass, too, belongs inside: with gradient checkpointing it
    computes everything again, and must do so in the same way."""
    # The CPU's fused attention has a slow backward pass.
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def per_frame(residuals: Tensor) -> Tensor:
    """Mean squared errors (2, b, f) of `residuals` (2b, c, f, h, w)."""
    return residuals.square().mean((1, 3, 4)).unflatten(0, (2, -1))
