"""How much memory a training of either stage needs, told before it begins.

A step is carried out on PyTorch's `meta` device, where tensors have sizes and no contents: what lives at the same time
is counted, on the real architecture and without its weights, in seconds.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from huvidpo_core.config import FirstFrameConfig, VideoConfig, resolve
from huvidpo_core.container import memory_there
from huvidpo_core.generation.plans import has_bfloat16, memory_of
from huvidpo_core.models import VideoUNet, motion_parameters
from huvidpo_core.models.architectures import FACTOR, SD14, SDXL
from huvidpo_core.models.counting import AsOnDevice, LiveBytes, NormsAsOnCPU
from huvidpo_core.training import lora
from huvidpo_core.training.frugal import Frugal, checkpointing
from huvidpo_core.training.motion_settings import MotionSettings
from huvidpo_core.training.pictures import FRAMES as PICTURE
from huvidpo_core.training.pictures import PictureUNet
from huvidpo_core.training.settings import AlignSettings

Settings = AlignSettings | MotionSettings

BESIDE, BESIDE_SDXL = 207_000_000, 901_000_000  # parameters of VAE and text encoders, which are there, too
LIBRARIES = 0.6e9  # bytes: PyTorch with its kernels, measured on a CPU and usual for a CUDA context
WASTE = {"cpu": 2.0, "cuda": 1.1}
"""What an allocator holds for what lives, since blocks do not fit each other: on a CPU 1.6 to 2.4, measured with glibc
2.36 as the app sets it (`runs.ENVIRONMENT`), without that up to 3; on a GPU a usual value."""


@dataclass(frozen=True)
class Needs:
    """Bytes at the peak of a step: the models; beside them, what is kept of what is trained from step to step (AdamW's
    two moments; a LoRA itself; a moving average); what a step computes and keeps for its backward pass, and its
    gradient."""

    weights: float
    trained: float
    step: float
    waste: float = WASTE["cuda"]

    @property
    def total(self) -> float:
        """Everything, with the libraries and what an allocator wastes."""
        return LIBRARIES + self.waste * (self.weights + self.trained + self.step)


def estimate(trained: VideoConfig | FirstFrameConfig, device: torch.device, settings: Settings) -> str:
    """What training a profile's video model, or its painter, on a device will need of what that has, as a sentence for
    people.

    Memory says no more than that: whether it is enough also depends on what else runs there.
    """
    need = expected(trained, device, settings)
    where = "this machine" if device.type == "cpu" else "this GPU"
    there = memory_there() if device.type == "cpu" else memory_of(device)
    words = f"A step needs about {need / 1e9:.1f} GB of {where}'s {there / 1e9:.1f} GB of memory."
    if need <= there:
        return words
    tried: list[str] = []
    for change, value in _smaller(settings, device):
        settings = replace(settings, **{change: value})
        tried.append(f"{change} = {json.dumps(value)}")
        if expected(trained, device, settings) <= there:
            return f"{words} That is more than there is. It fits with {' and '.join(tried)} in the settings."
    return f"{words} That is more than there is, whatever the settings say. It takes more memory, or smaller clips."


def _smaller(settings: Settings, device: torch.device) -> list[tuple[str, Any]]:
    """What may be changed in settings so that a step needs less, what costs least first."""
    changes: list[tuple[str, Any]] = []
    if settings.precision == "float32" and has_bfloat16(device) and device.type != "cpu":
        changes.append(("precision", "bfloat16"))
    if not settings.checkpointing:
        changes.append(("checkpointing", True))
    if isinstance(settings, MotionSettings) and settings.optimizer == "adamw" and device.type == "cuda":
        changes.append(("optimizer", "adamw8bit"))  # a LoRA's moments are small
    if settings.batch > 1:
        changes.append(("batch", 1))
    return changes


def expected(trained: VideoConfig | FirstFrameConfig, device: torch.device, settings: Settings) -> float:
    """Bytes that training a profile's video model, or its painter, on a device will need at the peak."""
    frames = trained.frames if isinstance(trained, VideoConfig) else 0
    own = trained.unet if isinstance(trained, FirstFrameConfig) else None
    folders = [Path(resolve(each)) for each in (own, trained.base) if each]
    known = [each for folder in folders for each in (folder / "unet", folder) if (each / "config.json").is_file()]
    return needs(
        settings, height=trained.height, width=trained.width, frames=frames, device=device.type,
        folder=next(iter(known), None),
    ).total  # fmt: skip


def taken(device: torch.device) -> float:
    """Bytes that this process has had on a device at the most so far; 0 where that is not known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) + LIBRARIES
    try:  # not getrusage: a process that was started by a large one has inherited that one's
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 0.0


def needs(
    settings: Settings, *, height: int, width: int, frames: int, device: str, folder: Path | None = None
) -> Needs:
    """Count a step of clips of `frames` frames of height x width pixels on a kind of device ("cpu", "cuda"); without
    frames, of pictures. Takes seconds, but what was counted before is remembered.

    Args:
        folder: of the UNet, whose `config.json` says what it is; without one it is Stable Diffusion 1.4's, of pictures
            SDXL's.
    """
    words = (folder / "config.json").read_text() if folder else ""
    weights, trained, step = _counted(words, replace(settings, optimizer="adamw"), height, width, frames, device)
    number = torch.float32.itemsize
    kept = 2 if settings.optimizer == "adamw8bit" else 2 * number  # moments of a number that is trained
    kept += number if not isinstance(settings, MotionSettings) or settings.average else 0  # the LoRA, or an average
    return Needs(weights, kept * trained, step, WASTE["cpu" if device == "cpu" else "cuda"])


@lru_cache(maxsize=64)
def _counted(
    words: str, settings: Settings, height: int, width: int, frames: int, device: str
) -> tuple[float, int, float]:
    """Bytes of the weights, how many numbers are trained, and the bytes of a step, which no optimizer changes."""
    published, beside = (SD14, BESIDE) if frames else (SDXL, BESIDE_SDXL)
    config = json.loads(words) if words else published
    taught = isinstance(settings, MotionSettings)
    low = device != "cpu" and settings.precision != "float32"  # on a CPU only products are in bfloat16, nothing is kept
    whole = taught or device == "cpu" or settings.precision == "float32"  # what is trained takes small steps
    held = torch.float32 if whole else torch.bfloat16
    with torch.device("meta"):
        unet = VideoUNet.from_config(config) if frames else PictureUNet.from_config(config)
    alike = config.get("cross_attention_dim") == published["cross_attention_dim"]
    weights = held.itemsize * ((beside if alike else 0) + sum(each.numel() for each in unet.parameters()))
    for parameter in unet.parameters():
        parameter.data = parameter.data.to(held)
    norms: Callable[[], AbstractContextManager] = nullcontext
    if taught:
        parameters = motion_parameters(unet.requires_grad_(False))
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        clips = settings.batch
    else:
        parameters = lora.attach(unet, settings.lora, settings.seed)
        clips = settings.batch * (1 if settings.single else 2)
        if device == "cpu":
            unet.to(memory_format=torch.channels_last)
            norms = NormsAsOnCPU
    if settings.checkpointing:
        checkpointing(unet)
        _recomputed_alike(unet, low, norms)
    with norms():
        step = measure_step(unet.train(), clips, frames or PICTURE, height // FACTOR, width // FACTOR, low=low)
    return weights, sum(parameter.numel() for parameter in parameters.values()), step


def measure_step(
    unet: VideoUNet | PictureUNet, clips: int, frames: int, height: int, width: int, *, low: bool = False
) -> int:
    """Bytes that a forward and a backward pass of latents (clips, c, frames, height, width) need at their peak, beside
    the weights, on the device of `unet`; `low`: on `meta`, with autocast to bfloat16. The gradient of the step before
    is there until the backward pass begins, as in `Course`."""
    how = {"device": unet.device, "dtype": torch.float32}
    counter = LiveBytes(unet.parameters())
    with counter:
        sample = torch.zeros(clips, unet.config.in_channels, frames, height, width, **how)
        tokens = 77 if isinstance(unet, VideoUNet) else 78  # the last holds the pooled embedding
        text = torch.zeros(clips, tokens, unet.config.cross_attention_dim, **how)
        timestep = torch.zeros(clips, dtype=torch.long, device=unet.device)
        for parameter in unet.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        with Frugal(), AsOnDevice(low) if unet.device.type == "meta" else nullcontext():
            out = unet(sample, timestep, text).sample.float()
        loss = out.square().mean()
        unet.zero_grad()
        loss.backward()
    return counter.peak


def _recomputed_alike(unet: nn.Module, low: bool, norms: Callable[[], AbstractContextManager]) -> None:
    """See that what is computed anew in the backward pass, in which no mode from outside counts, is computed alike."""

    def alike(block: Callable) -> Callable:
        def run(*args: Any) -> Any:
            with norms(), AsOnDevice(low):
                return block(*args)

        return run

    for module in unet.modules():
        if again := getattr(module, "_gradient_checkpointing_func", None):
            module._gradient_checkpointing_func = lambda block, *args, again=again: again(alike(block), *args)
