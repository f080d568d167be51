"""How far a network's predictions are off on a lesson's clips: what all preference losses are made of."""

from contextlib import nullcontext
from functools import partial

import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn

from huvidpo_core.models import VideoUNet
from huvidpo_core.training import lora
from huvidpo_core.training.abreast import abreast
from huvidpo_core.training.draws import Drawn
from huvidpo_core.training.frugal import arithmetic
from huvidpo_core.training.motion import residual


def residuals(
    unet: nn.Module, scheduler: SchedulerMixin, drawn: Drawn, *, precision: str = "auto", reference: bool = False
) -> Tensor:
    """Prediction minus target (s b, c, f, h, w), winners first, all s sides in one forward pass, float32; on a CPU of
    several cores the clips of that pass are computed side by side.

    Args:
        drawn: b lessons with the noise and timestep that all of a lesson's clips get.
        precision: see `frugal.low_precision`.
        reference: with the LoRA switched off, without gradients.
    """
    device, dtype = drawn.noise.device, next(unet.parameters()).dtype  # unet.device walks through all modules
    batch = drawn.batch
    given = (
        batch.clean,
        batch.text.to(dtype),
        drawn.noise.repeat(batch.sides, 1, 1, 1, 1),
        drawn.timestep.repeat(batch.sides),
    )
    clips = len(batch.clean)
    gradient = torch.no_grad if reference else nullcontext
    adapter = partial(lora.switched_off, unet) if reference else nullcontext
    with gradient(), adapter():
        if device.type != "cpu" or torch.get_num_threads() == 1 or clips == 1 or unet.is_gradient_checkpointing:
            with arithmetic(unet, precision):
                return residual(unet, scheduler, *given)
        seeds = torch.randint(2**62, (clips,)).tolist()  # of dropout: threads take turns at random

        def one(clip: int) -> Tensor:
            with arithmetic(unet, precision, torch.Generator().manual_seed(seeds[clip])):
                return residual(unet, scheduler, *(each[clip : clip + 1] for each in given))

        # Threads that write the number of frames write what is there already.
        with unet.frames.of(batch.clean.shape[2]) if isinstance(unet, VideoUNet) else nullcontext():
            return abreast(one, clips, [value for value in unet.parameters() if value.requires_grad])


def per_frame(residuals: Tensor, sides: int = 2) -> Tensor:
    """Mean squared errors (s, b, f) of `residuals` (s b, c, f, h, w)."""
    return residuals.square().mean((1, 3, 4)).unflatten(0, (sides, -1))
