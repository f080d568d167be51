"""The one denoising loop, which tests, progress bar and preview all iterate over. It knows no prompts and no pixels."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn

from huvidpo_core.generation.latents import adain as align
from huvidpo_core.generation.latents import correlate
from huvidpo_core.generation.samplers import make_scheduler, set_timesteps

__all__ = ["Step", "denoise", "make_scheduler"]


@dataclass(frozen=True, eq=False)
class Step:
    """What is known after one denoising step.

    Attributes:
        index: 0-based number of the step.
        timestep: the noise level the network was given, 0 (clean) to 999 for the usual schedule.
        latents: `(b, c, f, h, w)` after the step and its AdaIN; of the last step, the finished latents.
        denoised: `(b, c, f, h, w)`, the clean latents the network predicts from here; what a live preview shows.
        total: how many steps there are.
    """

    index: int
    timestep: int
    latents: Tensor
    denoised: Tensor
    total: int


def denoise(
    unet: nn.Module,
    scheduler: SchedulerMixin,
    *,
    first_frame: Tensor,
    noise: Tensor,
    text: Tensor,
    negative_text: Tensor | None = None,
    guidance: float | None,
    steps: int,
    adain: bool = True,
    adain_late_from: int | None = None,
    shared_noise: float = 0.2,
    guidance_until: float = 1.0,
    both_guided: bool = True,
    start_from: Tensor | None = None,
    start_at: int | None = None,
) -> Iterator[Step]:
    """Animate a first frame: a generator that takes one denoising step each time it is asked for one.

    Method 4.2 to 4.4. Frame 0 is the clean first frame at every step; the scheduler moves the later ones only. To
    stop, stop iterating. Calls share no state, also with a multistep scheduler. The latents are kept in `noise`'s
    precision and the network is run in `text`'s: float32 noise with a float16 network loses nothing between the steps.

    Args:
        unet: called as `unet(sample (b,c,f,h,w), timestep (), encoder_hidden_states=(b,l,d)).sample`, a `VideoUNet`.
        scheduler: from `make_scheduler`; any diffusers scheduler that does not rescale its input.
        first_frame: `(b, c, 1, h, w)`, the clean latent.
        noise: `(b, c, f, h, w)`, f >= 2: the raw draw, before the frames' noise is correlated. Frame 0 of it is only
            shared with the others.
        text: `(b, l, d)`, the prompt's embedding.
        negative_text: `(b, l, d)`, the embedding of the negative (or the empty) prompt; None for no guidance.
        guidance: g in uncond + g (cond - uncond); None, or 1 and less, for the prompt alone.
        steps: how many, 1 to half the training timesteps.
        adain: whether frames are aligned to their predecessors after each step.
        adain_late_from: index of the first step at which frame 1, too, is aligned (to frame 0). Published: 31, with 50
            steps; None: the same share of `steps`.
        shared_noise: how much of frame 0's noise the later frames start with, 0 to 1.
        guidance_until: the share of the steps, from the start, that are guided; below 1 the last ones cost half.
        both_guided: the two predictions of guidance in one batch; else one after the other, in half the memory.
        start_from: `(b, c, f, h, w)`, a clean clip that is noised and denoised again, in place of pure noise.
        start_at: the timestep it is noised to, e.g. `structural.matching_timestep`. The run is then the last part of
            the whole one, with that part's guidance and AdaIN.

    Yields:
        `steps` times a `Step`; fewer with `start_at`.

    Raises:
        ValueError: before the first step, for shapes that do not fit together or values out of range.
    """
    _check(first_frame, noise, text, negative_text, steps, scheduler)
    if (start_from is None) != (start_at is None) or (start_from is not None and start_from.shape != noise.shape):
        given = None if start_from is None else tuple(start_from.shape)
        raise ValueError(
            f"start_from must be {tuple(noise.shape)} like noise and come with start_at, got {given}, {start_at}"
        )
    if not guidance or guidance <= 1 or negative_text is None:
        guided_steps, negative_text, guidance = 0, None, 1.0
    else:
        guided_steps = math.floor(guidance_until * steps + 0.5)  # `round` makes 0 of half a step
    late_from = -(-31 * steps // 50) if adain_late_from is None else adain_late_from  # rounded up: 31 of 50, 7 of 10
    scheduler = type(scheduler).from_config(
        scheduler.config
    )  # a fresh one: multistep solvers remember their last steps
    set_timesteps(scheduler, steps, start_at)
    timesteps = scheduler.timesteps.tolist()
    noise = correlate(noise, shared_noise)
    if start_from is not None:
        skipped = steps - len(timesteps)
        guided_steps, late_from = guided_steps - skipped, late_from - skipped
        noise = _noised(start_from.to(noise), noise, float(scheduler.alphas_cumprod[start_at]))
    return _steps(
        unet,
        scheduler,
        first_frame.to(noise),
        noise[:, :, 1:],
        text,
        negative_text,
        guidance,
        guided_steps,
        both_guided,
        timesteps,
        late_from if adain else None,
    )


@torch.no_grad()  # around each resumption, not across a yield: between two steps the caller's own mode holds
def _steps(
    unet: nn.Module,
    scheduler: SchedulerMixin,
    first: Tensor,  # (b, c, 1, h, w)
    later: Tensor,  # (b, c, f - 1, h, w)
    text: Tensor,
    negative_text: Tensor | None,
    guidance: float,
    guided_steps: int,
    both_guided: bool,
    timesteps: list[int],
    late_from: int | None,
) -> Iterator[Step]:
    """The loop itself; `late_from` None means no AdaIN at all."""
    texts = [] if negative_text is None else [negative_text, text]
    if texts and both_guided:
        texts = [torch.cat(texts)]

    for index, timestep in enumerate(timesteps):
        latents = torch.cat([first, later], dim=2)
        if index < guided_steps:
            given = latents.repeat(2, 1, 1, 1, 1) if both_guided else latents
            found = torch.cat([_predict(unet, given, timestep, each) for each in texts])
            unconditional, conditional = found.chunk(2)
            prediction = unconditional + guidance * (conditional - unconditional)
        else:
            prediction = _predict(unet, latents, timestep, text)

        prediction = prediction[:, :, 1:]
        denoised = _clean(scheduler, prediction, timestep, later)
        later = scheduler.step(prediction, timestep, later).prev_sample
        if late_from is not None:
            later = _align_frames(first, later, late=index >= late_from)
            if index == len(timesteps) - 1:
                later = align(later, first)
        yield Step(
            index, timestep, torch.cat([first, later], dim=2), torch.cat([first, denoised], dim=2), len(timesteps)
        )


def _predict(unet: nn.Module, latents: Tensor, timestep: int, text: Tensor) -> Tensor:
    """The network's output for all frames, in the latents' own precision."""
    time = torch.tensor(timestep, device=latents.device)
    return unet(latents.to(text.dtype), time, encoder_hidden_states=text).sample.to(latents.dtype)


def _noised(clean: Tensor, noise: Tensor, abar: float) -> Tensor:
    return abar**0.5 * clean + (1 - abar) ** 0.5 * noise


def _clean(scheduler: SchedulerMixin, prediction: Tensor, timestep: int, noisy: Tensor) -> Tensor:
    """The clean latents that a prediction implies, for x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps."""
    abar = float(scheduler.alphas_cumprod[timestep])
    signal, sigma = abar**0.5, (1 - abar) ** 0.5
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return (noisy - sigma * prediction) / signal
    if kind == "v_prediction":  # v = sqrt(abar) eps - sqrt(1 - abar) x_0
        return signal * noisy - sigma * prediction
    if kind == "sample":
        return prediction
    raise ValueError(f"prediction_type must be epsilon, v_prediction or sample, got {kind!r}")


def _align_frames(first: Tensor, later: Tensor, *, late: bool) -> Tensor:
    """AdaIN between frames (method 4.4): when late, frame 1 follows frame 0; always, frames 2.. follow frame 1."""
    second, rest = later[:, :, :1], later[:, :, 1:]
    if late:
        second = align(second, first)
    if rest.shape[2]:
        rest = align(rest, second)
    return torch.cat([second, rest], dim=2)


def _check(
    first_frame: Tensor,
    noise: Tensor,
    text: Tensor,
    negative_text: Tensor | None,
    steps: int,
    scheduler: SchedulerMixin,
) -> None:
    if noise.ndim != 5 or noise.shape[2] < 2:
        raise ValueError(f"noise must be (b, c, f, h, w) with at least 2 frames, got {tuple(noise.shape)}")
    b, c, _, h, w = noise.shape
    if first_frame.shape != (b, c, 1, h, w):
        raise ValueError(f"first_frame must be {(b, c, 1, h, w)} to go with the noise, got {tuple(first_frame.shape)}")
    if text.ndim != 3 or text.shape[0] != b:
        raise ValueError(f"text must be ({b}, l, d), got {tuple(text.shape)}")
    if negative_text is not None and negative_text.shape != text.shape:
        raise ValueError(f"negative_text must be {tuple(text.shape)} like text, got {tuple(negative_text.shape)}")
    most = scheduler.config.num_train_timesteps // 2
    if not 1 <= steps <= most:
        raise ValueError(f"steps must be between 1 and {most}, got {steps}")
    if scheduler.init_noise_sigma != 1:
        raise ValueError(f"{type(scheduler).__name__} rescales its input, which a clean first frame cannot follow")
