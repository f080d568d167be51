"""The smallest network, clips and votes that stage 2 can be tried on, the same on every call."""

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from huvidpo_core.models import VideoUNet
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.draws import Drawn, Draws
from huvidpo_core.training.lessons import Lesson, Lessons
from huvidpo_core.training.settings import AlignSettings, LoraShape
from huvidpo_core.training.tryout import Tryout

T = TypeVar("T")
FRAMES = 4
SETTINGS = AlignSettings(
    steps=4, check_every=2, lr=1e-2, eps=1e-8, weight_decay=0.0, beta=200.0, lora=LoraShape(rank=2, alpha=4, dropout=0)
)


class OnApple(Tensor):
    """A tensor, as whatever is computed from it, that knows no float64 until it is brought to the CPU: as on MPS."""

    def cpu(self) -> Tensor:
        return self.as_subclass(Tensor)

    def double(self) -> Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")


def image_unet() -> UNet2DConditionModel:
    """A one-level UNet of the SD-1.x kind with random weights."""
    torch.manual_seed(7)
    return UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(8,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        mid_block_type=None,
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
    )


@torch.no_grad()
def network() -> VideoUNet:
    """The same inflated; what starts at zero is stirred, so that every part has an effect."""
    unet = VideoUNet.inflate(image_unet())
    generator = torch.Generator().manual_seed(3)
    for parameter in unet.parameters():
        if not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return unet


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction"
    )


def lessons(*masks: tuple[int, ...], frames: int = FRAMES) -> Lessons:
    """Pairs `w0 l0`, `w1 l1`, ... with these masks (five whole-clip votes if there are none). All winners are brighter
    by a constant, so there is something to learn."""
    masks = masks or ((0, *[1] * (frames - 1)),) * 5
    generator = torch.Generator().manual_seed(5)
    pairs = tuple(Lesson(f"w{i}", f"l{i}", mask, "a" if i % 2 else "b") for i, mask in enumerate(masks))
    latents = {
        f"{side}{i}": torch.randn(4, len(mask), 4, 4, generator=generator) + (0.5 if side == "w" else 0.0)
        for i, mask in enumerate(masks)
        for side in "wl"
    }
    texts = {text: torch.randn(5, 8, generator=generator) for text in "ab"}
    return Lessons(pairs, latents, texts)


def rated(good: int = 4, bad: int = 4, frames: int = FRAMES) -> Lessons:
    """Single clips `g0`, `g1`, ... and `b0`, `b1`, ...; the good ones are brighter by a constant."""
    generator = torch.Generator().manual_seed(6)
    verdicts = {f"{side}{i}": sign for side, count, sign in (("g", good, 1), ("b", bad, -1)) for i in range(count)}
    clips = tuple(Lesson(name, "", (0, *[sign] * (frames - 1)), "a") for name, sign in verdicts.items())
    latents = {
        name: torch.randn(4, frames, 4, 4, generator=generator) + (0.5 if sign > 0 else 0.0)
        for name, sign in verdicts.items()
    }
    return Lessons(clips, latents, {"a": torch.randn(5, 8, generator=generator)})


def run_out(work: Generator[int, None, T]) -> T:
    """What a generator returns at its end; at its pauses it has said how many are left."""
    left = []
    while True:
        try:
            left.append(next(work))
        except StopIteration as end:
            assert left == list(range(len(left)))[::-1]
            return end.value


def decode(latents: Tensor) -> np.ndarray:
    """Three of the four channels as colours."""
    return (latents[0].movedim(0, -1)[..., :3].clamp(-2, 2) * 60 + 128).to(torch.uint8).numpy()


def motion(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames.astype(float), axis=0)).mean())


def tryout(learned: Lessons, **changes) -> Tryout:
    how = {"frames": FRAMES, "steps": 2, "shared_noise": 0.2, "scheduler": scheduler()}
    return Tryout.of(learned, learned.pairs, 2, **(how | {"decode": decode, "motion": motion} | changes))


def draws(learned: Lessons, settings: AlignSettings = SETTINGS, frames: int = FRAMES, crew: Crew = Crew()) -> Draws:  # noqa: B008
    return Draws(learned, learned.pairs, settings, frames, 0.2, torch.device("cpu"), crew)


def aligner(
    folder: Path,
    settings: AlignSettings = SETTINGS,
    *,
    learned: Lessons | None = None,
    unet: VideoUNet | None = None,
    crew: Crew = Crew(),  # noqa: B008
    **how,
) -> Aligner:
    """A training of the small network; `how` goes to its `Tryout`."""
    learned = learned or lessons()
    return Aligner(
        unet or network(),
        scheduler(),
        learned,
        settings,
        tryout(learned, **how),
        folder,
        frames=FRAMES,
        shared_noise=0.2,
        crew=crew,
    )


def mean_errors(unet: VideoUNet, drawn: Drawn, side: int) -> Tensor:
    """One side's errors (b, f) by a forward pass of its own, as the published code has it."""
    clean = drawn.batch.clean.chunk(2)[side]
    noisy = scheduler().add_noise(clean, drawn.noise, drawn.timestep)
    noisy = torch.cat([clean[:, :, :1], noisy[:, :, 1:]], dim=2)
    found = unet(noisy, drawn.timestep, drawn.batch.text.chunk(2)[side]).sample
    wanted = scheduler().get_velocity(clean, drawn.noise, drawn.timestep)
    return ((found - wanted) ** 2).mean(dim=(1, 3, 4))


def values(training: Aligner) -> dict[str, Tensor]:
    """Its LoRA now."""
    return {name: value.detach().clone() for name, value in training.parameters.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
