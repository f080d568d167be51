"""Latents: to and from pixels, the noise a clip starts from, and adaptive instance normalisation. Pure functions.

Shapes: b clips, c latent channels, f frames, h x w latent positions, H x W pixels. Latents are `(b, c, f, h, w)` and
scaled as the denoising network expects them (Stable Diffusion 1.x: times 0.18215). Pixels are uint8 `(b, f, H, W, 3)`.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from huvidpo_core.errors import UserError

EPSILON = 1e-8  # under AdaIN's root, as published


@torch.no_grad()
def encode(vae: nn.Module, frames: np.ndarray | Tensor, chunk: int = 8) -> Tensor:
    """Encode pictures one by one; the same picture always gives the same latent.

    The posterior's mode is taken, never a draw from it.

    Args:
        vae: diffusers' AutoencoderKL, AutoencoderTiny or alike; decides device and precision.
        frames: uint8 `(f, H, W, 3)`, taken as one clip, or `(b, f, H, W, 3)`; H and W multiples of the VAE's factor.
        chunk: pictures encoded at a time, which bounds the memory.

    Returns:
        `(b, c, f, h, w)` on the VAE's device, in float32 even when the VAE works in half precision.

    Raises:
        UserError: the VAE's numbers overflowed.
    """
    pixels = _as_clips(frames)
    device, dtype = _home(vae)
    shift, scale = _shift_and_scale(vae)
    parts = []
    for part in pixels.flatten(0, 1).movedim(-1, 1).split(chunk):
        encoded = vae.encode((part.to(device).float() / 127.5 - 1).to(dtype))
        latent = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        check_finite(latent)
        parts.append((_at_least_float32(latent) - shift) * scale)
    return torch.cat(parts).unflatten(0, pixels.shape[:2]).movedim(2, 1)


@torch.no_grad()
def decode(vae: nn.Module, latents: Tensor, chunk: int = 4) -> np.ndarray:
    """Decode latents `(b, c, f, h, w)` into uint8 pixels `(b, f, H, W, 3)`, at most `chunk` frames at a time.

    Colours are cut down to whole levels, not rounded, as the published sampler does: histogram matching (method 4.5)
    magnifies the difference, to 15 levels on the reference clip.

    Raises:
        UserError: the VAE's numbers overflowed, which would be black pictures.
    """
    device, dtype = _home(vae)
    shift, scale = _shift_and_scale(vae)
    frames = (_at_least_float32(latents) / scale + shift).movedim(2, 1)  # (b, f, c, h, w)
    parts = []
    for part in frames.flatten(0, 1).split(chunk):
        picture = vae.decode(part.to(device, dtype)).sample.float()  # (n, 3, H, W), -1 to 1
        check_finite(picture)
        parts.append(((picture / 2 + 0.5).clamp(0, 1) * 255).to("cpu", torch.uint8))
    return torch.cat(parts).unflatten(0, frames.shape[:2]).movedim(2, -1).numpy()


def check_finite(made: Tensor) -> None:
    """Raise a UserError where what a VAE made, a picture of latents or latents of a picture, is none."""
    if not made.isfinite().all():
        raise UserError(
            "The numbers overflowed between the picture and its latents: half precision was not enough for the VAE. "
            "Set precision = 'float32' in the profile, or name a VAE that bears half precision."
        )


def draw_noise(
    shape: Sequence[int],
    seed: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal noise that depends on the seed and the shape alone, not on the device or the precision.

    It is drawn on the CPU in float32 from a generator of its own; the global generators are neither read nor moved.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32).to(device, dtype)


def correlate(noise: Tensor, ratio: float) -> Tensor:
    """Let the later frames share the first frame's noise: eps_f <- ratio * eps_0 + (1 - ratio) * eps_f, for f >= 1.

    The shared-noise prior of the published sampler (method 4.2). As there, the variance is not restored: it drops to
    ratio^2 + (1 - ratio)^2. `noise` is `(b, c, f, h, w)`, `ratio` 0 (independent frames) to 1 (all frames alike).

    Raises:
        ValueError: `ratio` outside 0..1.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"the ratio of shared noise must be between 0 and 1, got {ratio}")
    first, later = noise[:, :, :1], noise[:, :, 1:]
    return torch.cat([first, ratio * first + (1 - ratio) * later], dim=2)


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Adaptive instance normalisation: give each channel of `content` the mean and deviation of `style`'s over h x w.

    Huang & Belongie 2017, with the unbiased variance and 1e-8 under the root (method 4.4).

    Args:
        content: `(..., h, w)`, e.g. `(b, c, f, h, w)`; h * w >= 2.
        style: the same shape, or one that broadcasts to it, e.g. `(b, c, 1, h, w)`.

    Returns:
        `content`'s shape and dtype; computed in float32 at least, since 1e-8 does not exist in half precision.
    """
    wide_content, wide_style = _at_least_float32(content), _at_least_float32(style)
    content_variance, content_mean = torch.var_mean(wide_content, dim=(-2, -1), keepdim=True)
    style_variance, style_mean = torch.var_mean(wide_style, dim=(-2, -1), keepdim=True)
    normalised = (wide_content - content_mean) / (content_variance + EPSILON).sqrt()
    return (normalised * (style_variance + EPSILON).sqrt() + style_mean).to(content.dtype)


def fit_preview(latents: Tensor, frames: np.ndarray | Tensor) -> Tensor:
    """Find the linear map from latent channels to colour that best explains frames whose latents are known.

    One picture is enough, so a clip's own first frame gives the map for its live preview: no table per model is needed.

    Args:
        latents: `(b, c, f, h, w)`.
        frames: the same clips, uint8 `(f, H, W, 3)` or `(b, f, H, W, 3)`, of any size.

    Returns:
        `(c + 1, 3)` float32 on the CPU, the last row being the offset; for `latents_to_rgb`.
    """
    pixels = _as_clips(frames).flatten(0, 1).movedim(-1, 1).float().cpu()
    small = F.interpolate(pixels, size=tuple(latents.shape[-2:]), mode="area")  # what one latent position covers
    inputs = _with_ones(latents.detach().cpu()).flatten(0, -2)
    # gelsd: the smallest of the best maps, where a plain picture leaves more than one
    return torch.linalg.lstsq(inputs, small.movedim(1, -1).flatten(0, -2), driver="gelsd").solution


def latents_to_rgb(latents: Tensor, matrix: Tensor) -> np.ndarray:
    """A rough picture of latents `(b, c, f, h, w)` without the VAE: uint8 `(b, f, h, w, 3)`, as small as they are.

    `matrix` is `(c + 1, 3)`, from `fit_preview`. Takes well under a millisecond per frame.
    """
    colours = _with_ones(latents.detach()) @ matrix.to(latents.device)
    return colours.round().clamp(0, 255).to("cpu", torch.uint8).numpy()


def _as_clips(frames: np.ndarray | Tensor) -> Tensor:
    """Pixels as a uint8 tensor `(b, f, H, W, 3)`, whether one clip or several were given."""
    pixels = torch.as_tensor(np.ascontiguousarray(frames) if isinstance(frames, np.ndarray) else frames)
    if pixels.dtype != torch.uint8 or pixels.ndim not in (4, 5) or pixels.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 ([b,] f, h, w, 3), got {pixels.dtype} {tuple(pixels.shape)}")
    return pixels if pixels.ndim == 5 else pixels[None]


def _with_ones(latents: Tensor) -> Tensor:
    """Channels last with a constant one behind them: (b, c, f, h, w) -> (b, f, h, w, c + 1), float32."""
    return F.pad(latents.float().movedim(1, -1), (0, 1), value=1.0)


def _home(vae: nn.Module) -> tuple[torch.device, torch.dtype]:
    weight = next(vae.parameters())
    return weight.device, weight.dtype


def _shift_and_scale(vae: nn.Module) -> tuple[float, float]:
    """What turns the VAE's own latents z into the network's: (z - shift) * scale."""
    return getattr(vae.config, "shift_factor", None) or 0.0, getattr(vae.config, "scaling_factor", None) or 1.0


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
