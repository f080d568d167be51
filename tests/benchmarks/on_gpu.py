"""The full size on this machine's GPU, with random weights: seconds of a step of every training and its memory at the
peak, beside what was counted beforehand (`training.memory`).

    python -m tests.benchmarks.on_gpu [--size 16 320 512] [--steps 5] [--only aligning teaching pictures]
                                      [--device cuda]

Each row is measured in a process of its own, so that its peak is its own. The first steps do not count. Networks are
Stable Diffusion 1.4's, inflated, and SDXL's (at twice the size, as its profile has it); nothing is downloaded. VAE and
text encoders are not there, and among what is counted. A row that does not work here says why. `--device cpu` with a
small `--size` tries all of it without a GPU.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from huvidpo_core.models import VideoUNet
from huvidpo_core.models.architectures import FACTOR, SD14, SDXL
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.lessons import Lesson, Lessons
from huvidpo_core.training.memory import Settings, needs, taken
from huvidpo_core.training.motion_settings import load_motion_settings
from huvidpo_core.training.pictures import FRAMES, MASK, PictureUNet
from huvidpo_core.training.settings import PRESETS, load_settings
from huvidpo_core.training.takes import Takes
from huvidpo_core.training.teach import Teacher
from huvidpo_core.training.tryout import Tryout
from tests.benchmarks.gpu_table import Row, Size, filled, table, wait
from tests.training.made import decode, motion, scheduler

WARM = 2  # steps that do not count
HOURS = {"aligning": ("336 steps, min", 336 / 60), "teaching": ("25,000 steps, h", 25000 / 3600)}


def rows() -> dict[str, tuple[str, Settings]]:
    """What is measured: a training's kind and settings, by title."""
    align, teach = load_settings("huvidpo"), load_motion_settings("lamp")
    pictures = load_settings("diffusion_dpo", PRESETS.with_name("picture"))
    found: dict[str, tuple[str, Settings]] = {}
    for words, again in (("", False), (", activations computed twice", True)):
        found[f"aligning, one pair{words}"] = "aligning", replace(align, checkpointing=again, beta=50.0)
        for optimizer in ("adamw", "adamw8bit"):
            settings = replace(teach, checkpointing=again, optimizer=optimizer, held_out=0)
            found[f"teaching, one clip, {optimizer}{words}"] = "teaching", settings
        found[f"aligning first frames, one pair{words}"] = "pictures", replace(pictures, checkpointing=again, batch=1)
    return found


def network(kind: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Random weights, every part with an effect."""
    with torch.device("meta"):
        unet = PictureUNet.from_config(SDXL) if kind == "pictures" else VideoUNet.from_config(SD14)
    return filled(unet, device, dtype)


def training(kind: str, settings: Settings, size: Size, device: torch.device, folder: Path) -> Iterator[object]:
    """Steps without checks."""
    settings = replace(settings, steps=10**6, check_every=10**6)
    frames, height, width = (FRAMES, 2 * size[1], 2 * size[2]) if kind == "pictures" else size
    whole = kind == "teaching" or device.type == "cpu"
    unet = network(kind, device, torch.float32 if whole else torch.bfloat16)
    clips = [torch.randn(4, frames, height // FACTOR, width // FACTOR) for _ in range(4)]
    text = torch.randn(78 if kind == "pictures" else 77, unet.config.cross_attention_dim)
    tryout = Tryout(clips[0][None, :, :1], text[None], frames, scheduler(), 1, 0.0, decode, motion)
    how = {"tryout": tryout, "folder": folder, "frames": frames}
    if kind == "teaching":
        takes = Takes(tuple(clips), tuple(clips), {"a": text, "": text}, ("a",) * 4, (1.0,) * 4)
        course = Teacher(unet, scheduler(), takes, ((0, 1, 2, 3), ()), "these", settings, **how)
    else:
        mask = MASK if kind == "pictures" else (0,) + (1,) * (frames - 1)
        pairs = tuple(Lesson(first, second, mask, "a") for first, second in ("01", "23"))
        lessons = Lessons(pairs, {str(i): clip for i, clip in enumerate(clips)}, {"a": text})
        course = Aligner(unet, scheduler(), lessons, replace(settings, held_out=0.0), **how)
    while True:
        yield course._take_step()


def measured(title: str, size: Size, steps: int, device: torch.device) -> Row:
    """In this process: seconds a step, GB at the peak, GB that were counted."""
    kind, settings = rows()[title]
    with tempfile.TemporaryDirectory() as folder:
        running = training(kind, settings, size, device, Path(folder))
        for _ in range(WARM):
            next(running)
        wait(device)
        began = time.perf_counter()
        for _ in range(steps):
            next(running)
        wait(device)
    seconds = (time.perf_counter() - began) / steps
    frames, height, width = (0, 2 * size[1], 2 * size[2]) if kind == "pictures" else size
    count = needs(settings, height=height, width=width, frames=frames, device=device.type)
    return {"seconds": seconds, "peak": taken(device) / 1e9, "counted": count.total / 1e9}


def cells(kind: str, row: Row, _: Mapping[str, Row]) -> list[str]:
    """What is told of a row."""
    words, factor = HOURS.get(kind, ("", 0.0))
    whole = f"{words}: {factor * row['seconds']:.1f}" if words else ""
    return [f"{row['seconds']:.3f}", whole, f"{row['peak']:.1f}", f"{row['counted']:.1f}"]


def main() -> None:
    """Measure each row in a process of its own, and print."""
    kinds = {title: kind for title, (kind, _) in rows().items()}
    columns = ("s a step", "in all", "GB at the peak", "GB counted")
    table("tests.benchmarks.on_gpu", __doc__, kinds, measured, columns, cells)


if __name__ == "__main__":
    main()
