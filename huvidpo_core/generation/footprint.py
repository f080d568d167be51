"""How much GPU memory drawing and animating will need under a plan, told before anything is loaded or downloaded."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from diffusers import AutoencoderKL, SparseControlNetModel, UNet2DConditionModel, UNetMotionModel
from torch import nn

from huvidpo_core.config import Profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation.loading import component_folder
from huvidpo_core.generation.plans import Plan, free_memory, load_plans, memory_of, precision_on, smaller
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.architectures import ANIMATEDIFF, FACTOR, SD14, SD14_TEXT, SDXL, SDXL_TEXT, VAE
from huvidpo_core.models.counting import AsOnDevice, LiveBytes

HALF = torch.float16
LIBRARIES, WASTE = 0.6e9, 1.1  # a CUDA context; what its allocator holds for what lives, usual values


@dataclass(frozen=True)
class Footprint:
    """Bytes at the peak of drawing a first frame, of animating it, and of animating it by AnimateDiff (0: the profile
    has none, or the clip is longer than that can make); with libraries and the allocator's waste."""

    drawing: float
    animating: float
    compared: float = 0.0

    @property
    def peak(self) -> float:
        """The larger one of the first two, which a profile is for."""
        return max(self.drawing, self.animating)


def footprint(profile: Profile, plan: Plan, frames: int = 0, dtype: torch.dtype = HALF) -> Footprint:
    """Count a profile of the Stable Diffusion kind, by default in half precision; without `frames`, those of the
    profile. One that needs no GPU fits on any, and is not counted: 0.
    """
    if not profile.gpu_gigabytes:
        return Footprint(0.0, 0.0)
    first, video = profile.first_frame, profile.video
    unet = _config(first.unet or first.base, "unet", SDXL)
    drawing = _unet_2d(_frozen(unet), first.height, first.width, 2)  # diffusers' pipeline guides both ways at once
    picture = _vae(_frozen(_config(first.vae or first.base, "vae", VAE)), first.height, first.width, 1)
    text = SDXL_TEXT * HALF.itemsize
    flat = _frozen(_config(video.base, "unet", SD14))
    guided = video.guidance > 1 and plan.both_guided
    frames = frames or video.frames
    animating = _unet_3d(flat, video.height, video.width, frames, 2 if guided else 1)
    clip = _vae(_frozen(_config(video.base, "vae", VAE)), video.height, video.width, plan.chunk)
    painter, animator = drawing.held + picture.held + text, animating.held + clip.held + SD14_TEXT * HALF.itemsize
    if plan.resident == "parts":
        draws = max(drawing.held + drawing.works, picture.held + picture.works, text)
    else:
        draws = painter + max(drawing.works, picture.works)
    moves = animator + max(animating.works, clip.works)
    peaks = [draws, moves]
    if profile.animatediff and frames <= ANIMATEDIFF["motion_max_seq_length"]:
        other = _animatediff(video.height, video.width, frames)  # its networks in place of the animator's
        peaks.append(animator - animating.held + other.held + max(other.works, clip.works))
    beside = (animator, painter, painter) if plan.resident == "all" else (0, 0, 0)
    size = WASTE * dtype.itemsize / HALF.itemsize  # of all that is counted
    return Footprint(*(LIBRARIES + size * (peak + other) for peak, other in zip(peaks, beside, strict=False)))


def check_fits(profile: Profile, plan: Plan, device: torch.device) -> None:
    """Raise a UserError where what somebody insists on cannot be.

    On a GPU a plan that takes more than the whole of it: the largest that fits is named, and the smallest is worth a
    try in any case. On a CPU a profile for which there is too little free: all of it is there at once by any plan.
    """
    if device.type == "cpu":
        need = footprint(profile, replace(plan, resident="all"), dtype=precision_on(device, profile)).peak
        if need and need > (there := free_memory(device)):
            raise UserError(
                f"{profile.title} takes about {need / 1e9:.1f} GB of memory on a CPU, and {there / 1e9:.1f} GB of this "
                "machine's are free. Close other programs that hold memory, or choose the profile miniature."
            )
    elif smaller(plan) and (need := footprint(profile, plan).peak) > (there := memory_of(device)):
        plans = load_plans()
        fitting = next((each for each in reversed(plans) if footprint(profile, each).peak <= there), plans[0])
        raise UserError(
            f"The plan {plan.name} takes about {need / 1e9:.1f} GB, and {device} has {there / 1e9:.1f}. Leave out "
            f"--plan, or give --plan {fitting.name}."
        )


@dataclass(frozen=True)
class _Cost:
    held: int  # bytes of weights
    works: int  # bytes at the peak of a pass, beside them


@cache
def _unet_2d(config: str, height: int, width: int, batch: int) -> _Cost:
    unet = _on_meta(UNet2DConditionModel, config)
    embedded = unet.config.projection_class_embeddings_input_dim
    added = None
    if embedded:
        pooled = embedded - 6 * unet.config.addition_time_embed_dim
        added = {"text_embeds": _like(batch, pooled), "time_ids": _like(batch, 6)}
    latents = _like(batch, unet.config.in_channels, height // FACTOR, width // FACTOR)
    text = _like(batch, 77, unet.config.cross_attention_dim)
    return _cost(unet, lambda: unet(latents, 1, text, added_cond_kwargs=added))


@cache
def _unet_3d(config: str, height: int, width: int, frames: int, batch: int) -> _Cost:
    unet = _on_meta(VideoUNet, config)
    latents = _like(batch, unet.config.in_channels, frames, height // FACTOR, width // FACTOR)
    return _cost(unet, lambda: unet(latents, 1, _like(batch, 77, unet.config.cross_attention_dim)))


@cache
def _animatediff(height: int, width: int, frames: int) -> _Cost:
    """As published; its pipeline always guides both ways at once."""
    unet, control = _on_meta(UNetMotionModel, _frozen(ANIMATEDIFF)), _on_meta(SparseControlNetModel, "{}")
    size = (frames, height // FACTOR, width // FACTOR)
    latents, text = _like(2, unet.config.in_channels, *size), _like(2 * frames, 77, unet.config.cross_attention_dim)
    condition = {"controlnet_cond": _like(*latents.shape), "conditioning_mask": _like(2, 1, *size)}

    def step() -> None:
        down, middle = control(latents, 1, text, **condition, return_dict=False)
        unet(latents, 1, text, down_block_additional_residuals=down, mid_block_additional_residual=middle)

    return _cost(nn.ModuleList([unet, control]), step)


@cache
def _vae(config: str, height: int, width: int, chunk: int) -> _Cost:
    vae = _on_meta(AutoencoderKL, config)
    latents = _like(chunk, vae.config.latent_channels, height // FACTOR, width // FACTOR)
    return _cost(vae, lambda: vae.decode(latents))  # encoding takes less


def _cost(network: nn.Module, work: Callable[[], Any]) -> _Cost:
    counter = LiveBytes(network.parameters())
    with torch.no_grad(), counter, AsOnDevice():
        work()
    return _Cost(sum(each.numel() * each.itemsize for each in network.parameters()), counter.peak)


def _on_meta(kind: Any, config: str) -> nn.Module:
    with torch.device("meta"):
        network = kind.from_config(json.loads(config))
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.to(HALF)
    return network


def _like(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, device="meta", dtype=HALF)


def _config(location: str, part: str, published: dict[str, Any]) -> dict[str, Any]:
    """What a component is: its own file where it is on this machine, else as published."""
    try:
        return json.loads((component_folder(location, part) / "config.json").read_text(encoding="utf-8"))
    except (UserError, OSError, ValueError):
        return published


def _frozen(config: dict[str, Any]) -> str:
    return json.dumps(config)
