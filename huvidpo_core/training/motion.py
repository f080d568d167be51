"""Stage 1, few-shot motion learning: the noise-prediction loss on a clip whose first frame is given clean.

method.md section 2; HuViDPO follows LAMP here. The prediction type is the scheduler's: for `epsilon` this is the
published loss, for `v_prediction` the same with the velocity as target.
"""

import torch
from diffusers import SchedulerMixin
from torch import Tensor


def motion_loss(
    unet: torch.nn.Module,
    scheduler: SchedulerMixin,
    latents: Tensor,
    text: Tensor,
    noise: Tensor,
    timestep: Tensor,
    *,
    steady: float = 0.0,
) -> Tensor:
    """Mean squared error of the prediction on frames 1.. of each clip.

    Args:
        latents: clean clips (b, c, f, h, w), f >= 2.
        text: (b, l, d).
        noise: (b, c, f, h, w), already correlated over frames if wanted; frame 0 of it is not used.
        timestep: (b,), integers.
        steady: weight of the mean square of what the error changes by from frame to frame, which is added.

    Returns:
        The loss, a scalar.
    """
    error = residual(unet, scheduler, latents, text, noise, timestep)[:, :, 1:]
    loss = error.square().mean()
    if steady and error.shape[2] > 1:
        loss = loss + steady * error.diff(dim=2).square().mean()
    return loss


def residual(
    unet: torch.nn.Module, scheduler: SchedulerMixin, latents: Tensor, text: Tensor, noise: Tensor, timestep: Tensor
) -> Tensor:
    """What the prediction has too much (b, c, f, h, w), frame 0 being given clean; arguments as `motion_loss`."""
    noisy = scheduler.add_noise(latents, noise, timestep)
    noisy = torch.cat([latents[:, :, :1], noisy[:, :, 1:]], dim=2)
    return unet(noisy, timestep, text).sample.float() - target(scheduler, latents, noise, timestep)


def target(scheduler: SchedulerMixin, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """What the network should predict, by the scheduler's prediction type."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, timestep)
    raise ValueError(f"prediction type {kind!r} has no training target here")
