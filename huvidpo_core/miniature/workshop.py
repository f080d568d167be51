"""Where a training of the miniature works, what it has made so far, and how much it does of everything."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from huvidpo_core.errors import UserError
from huvidpo_core.miniature import data
from huvidpo_core.miniature.loop import Schedule

SHIPPED = {  # where `assemble` puts what the stages make
    "tokenizer": "first_frame/tokenizer",
    "text_encoder": "first_frame/text_encoder",
    "text_encoder_2": "first_frame/text_encoder_2",
    "first_frame_unet": "first_frame/unet",
    "first_frame_dpo": "first_frame_dpo/unet",
    "video_unet": "video/unet",
    "vae": "video/vae",
    "judge": "judge",
}


@dataclass(frozen=True)
class Budget:
    """How much of everything: scenes rendered, and the schedule of each stage."""

    clips: int
    stills: int
    pack_clips: int
    captions: int
    pairs: int
    vae: Schedule
    text: Schedule
    first_frame: Schedule
    taste: Schedule
    video: Schedule
    pack: Schedule
    judge: Schedule


BUDGETS = {
    "cpu": Budget(
        clips=2048,
        stills=32768,
        pack_clips=16,
        captions=30_000,
        pairs=1024,
        vae=Schedule(steps=16_000, lr=1e-3, weight_decay=0.0),
        text=Schedule(steps=1500, lr=2e-3),
        first_frame=Schedule(steps=17_000, lr=1e-3),
        taste=Schedule(steps=300, lr=3e-5, warmup=30, ema=0.98),
        video=Schedule(steps=16_000, lr=6e-4, ema=0.998),
        pack=Schedule(steps=1200, lr=6e-4, warmup=20, ema=0.98),
        judge=Schedule(steps=1500, lr=2e-3, ema=0.998),
    ),
    "gpu": Budget(
        clips=8192,
        stills=65536,
        pack_clips=16,
        captions=30_000,
        pairs=1024,
        vae=Schedule(steps=40_000, lr=1e-3, weight_decay=0.0),
        text=Schedule(steps=1500, lr=2e-3),
        first_frame=Schedule(steps=60_000, lr=1e-3),
        taste=Schedule(steps=1000, lr=3e-5, ema=0.99),
        video=Schedule(steps=30_000, lr=6e-4),
        pack=Schedule(steps=1200, lr=6e-4, warmup=20, ema=0.98),
        judge=Schedule(steps=20_000, lr=1e-3),
    ),
    "test": Budget(
        clips=2,
        stills=4,
        pack_clips=2,
        captions=300,
        pairs=4,
        vae=Schedule(steps=2, lr=1e-3),
        text=Schedule(steps=2, lr=1e-3),
        first_frame=Schedule(steps=2, lr=1e-3),
        taste=Schedule(steps=2, lr=1e-4),
        video=Schedule(steps=2, lr=1e-3),
        pack=Schedule(steps=2, lr=1e-4),
        judge=Schedule(steps=2, lr=1e-3),
    ),
}


@dataclass(frozen=True)
class Workshop:
    """Where and on what a training runs.

    `start`: an assembled miniature (`assets/miniature`) whose weights a stage continues from, or None for from nothing.
    """

    folder: Path
    budget: Budget
    device: torch.device
    precision: torch.dtype
    workers: int
    start: Path | None = None

    def made(self, part: str) -> Path:
        """The folder of a part that an earlier stage has written, or else of `start`. Raises UserError if neither."""
        folder = self.folder / part
        if not folder.is_dir() and self.start is not None and part in SHIPPED:
            folder = self.start / SHIPPED[part]
        if not folder.is_dir():
            raise UserError(f"{folder} is not there yet: run the stages before this one, or `all`.")
        return folder

    def begin(self, model: nn.Module, part: str) -> nn.Module:
        """Give a new model the weights that `start` has for it; without `start` it stays as it is."""
        if self.start is not None:
            file = self.start / SHIPPED[part] / "diffusion_pytorch_model.safetensors"
            model.load_state_dict({name: weight.float() for name, weight in load_file(file).items()})
        return model

    @property
    def latents(self) -> Path:
        """Where the latents of the present VAE are kept: another VAE's latents are never mistaken for them."""
        digest = hashlib.sha256((self.made("vae") / "diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()
        return self.folder / f"latents-{digest[:12]}"

    @property
    def clips(self) -> data.Pool:
        """16-frame clips of every action, for the VAE and the video UNet."""
        return data.Pool("clips", self.budget.clips, data.FRAMES)

    @property
    def stills(self) -> data.Pool:
        """First frames, for the VAE and the first-frame UNet."""
        return data.Pool("stills", self.budget.stills, 1)

    def lessons(self, action: str) -> data.Pool:
        """The few clips from which an action's pack is taught; no other stage sees them."""
        return data.Pool(f"lessons-{action}", self.budget.pack_clips, data.FRAMES, fixed=(("action", action),))
