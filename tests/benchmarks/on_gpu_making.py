"""Making clips at the full size on this machine's GPU, with random weights: seconds, and memory at the peak beside what
was counted beforehand (`generation.footprint`), plan by plan; and the published loop's structure beside ours.

    python -m tests.benchmarks.on_gpu_making [--size 16 320 512] [--steps 5] [--only animating drawing published]
                                             [--device cuda]

Each row is measured in a process of its own, so that its peak is its own; what a plan has on the GPU beside the half
that works is stood in for by as much memory. First a clip, or a picture, of few steps that does not count, then one of
`--steps`; in all, from prompt to pixels, is reckoned from that one. Networks are those of `on_gpu`, and the profile
`full` says size, steps and guidance; first frames are drawn at twice the clip's size. "published" guides in one batch,
as plan 24 does, keeps its latents in the network's precision, and decodes as ours. A row that does not work here says
why. `--device cpu` with a small `--size` tries all of it without a GPU (16 GB, float32; counts are of half precision).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from huvidpo_core.config import Profile, load_profile
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.generation.footprint import WASTE, footprint
from huvidpo_core.generation.latents import draw_noise, encode
from huvidpo_core.generation.loading import choose_attention
from huvidpo_core.generation.plans import Plan, give_back, load_plans, precision_on
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.architectures import SD14, SDXL, VAE
from huvidpo_core.training.memory import taken
from tests.benchmarks.alignment.published import as_published
from tests.benchmarks.alignment.speed_full import CLIP
from tests.benchmarks.gpu_table import Row, Size, filled, table, wait
from tests.benchmarks.sampler import Given, published
from tests.tiny_models import NOISE, tokenizer

WARM = 2  # steps of what does not count
PUBLISHED = "published loop's structure"
BIG_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
MORE = {"hidden_act": "gelu", "projection_dim": 1280}  # of SDXL's second text encoder
Made = Callable[[int, Callable[[], None]], object]  # with so many steps, each of which is told


def rows() -> dict[str, tuple[str, str, str]]:
    """What is measured: kind, plan and attention, by title."""
    found = {PUBLISHED: ("published", "24", "sdpa")}
    for plan in load_plans():
        found[f"animating, plan {plan.name}"] = "animating", plan.name, "sdpa"
        if plan.name == "24":
            found[f"animating, plan {plan.name}, xformers"] = "animating", plan.name, "xformers"
    smallest = {plan.resident: plan for plan in reversed(load_plans())}  # the others draw alike
    for plan in sorted(smallest.values(), key=lambda plan: plan.gigabytes):
        found[f"drawing, plan {plan.name}"] = "drawing", plan.name, "sdpa"
    return found


def profile_at(size: Size) -> Profile:
    """The profile `full` for clips of a size, without what it is compared with."""
    full, (frames, height, width) = load_profile("full"), size
    video = replace(full.video, frames=frames, height=height, width=width)
    first = replace(full.first_frame, height=2 * height, width=2 * width)
    return replace(full, video=video, first_frame=first, painters=(), animatediff=None)


def measured(title: str, size: Size, steps: int, device: torch.device) -> Row:
    """In this process: seconds a step and of all else, GB at the peak, GB that were counted."""
    kind, name, attention = rows()[title]
    profile, plan = profile_at(size), next(plan for plan in load_plans() if plan.name == name)
    half = "drawing" if kind == "drawing" else "animating"
    whole, alone = (getattr(footprint(profile, each), half) for each in (plan, replace(plan, resident="turns")))
    if kind == "drawing":
        make = drawing(profile, plan, device)
    else:
        made = animator(profile, plan, attention, device)
        make = partial(theirs if kind == "published" else ours, made)
    there = int((whole - alone) / WASTE) if plan.resident == "all" and kind != "published" else 0
    beside = torch.empty(there, dtype=torch.uint8, device=device)  # the other half's weights
    give_back(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)  # without that of making the weights
    seconds, rest = timed(make, steps, device)
    told = {"seconds": seconds, "rest": rest, "peak": taken(device) / 1e9, "counted": whole / 1e9}
    del beside
    return told


def timed(make: Made, steps: int, device: torch.device) -> tuple[float, float]:
    """Seconds of a step, and of everything else in a making."""
    ticks: list[float] = []

    def tick() -> None:
        wait(device)
        ticks.append(time.perf_counter())

    make(WARM, tick)
    ticks.clear()
    tick()
    make(steps, tick)
    tick()
    began, *each, ended = ticks
    seconds = (each[-1] - each[0]) / (len(each) - 1)
    return seconds, ended - began - steps * seconds


def animator(profile: Profile, plan: Plan, attention: str, device: torch.device) -> Animator:
    """Stable Diffusion 1.4 in size, inflated, as `Animator.load` sets it."""
    dtype = precision_on(device, profile)
    with torch.device("meta"):
        unet, vae = VideoUNet.from_config(SD14), AutoencoderKL(**VAE, scaling_factor=0.18215)
    unet, vae = (filled(network, device, dtype) for network in (unet, vae))
    chosen = choose_attention(unet, attention, device)
    texts = _encoder(CLIPTextModel, CLIP, device, dtype)
    schedule = NOISE | {"num_train_timesteps": 1000, "prediction_type": "epsilon"}
    return Animator(unet, vae, texts, tokenizer(), schedule, profile.video, chosen, plan)


def ours(made: Animator, steps: int, tick: Callable[[], None]) -> None:
    """A clip as the app makes it."""
    how = {"sampler": "ddim", "steps": steps, "guidance": made.config.guidance, "frames": made.config.frames}
    for step, _ in made.steps(_picture(made), "a cat", "", 0, **how):
        tick()
        last = step
    made.finish(last.latents)


@torch.no_grad()
def theirs(made: Animator, steps: int, tick: Callable[[], None]) -> None:
    """The same by the published loop, which is told nothing of guidance: the network guides itself."""
    unet, guidance = as_published(made.unet), made.config.guidance

    def guided(latents: Tensor, timestep: Tensor, text: Tensor) -> SimpleNamespace:
        tick()
        found = unet(latents.repeat(2, 1, 1, 1, 1), timestep, text).sample
        without, told = found.chunk(2)
        return SimpleNamespace(sample=without + guidance * (told - without))

    first = encode(made.vae, _picture(made)[None]).to(unet.dtype)
    shape = (1, first.shape[1], made.config.frames, *first.shape[3:])
    noise = draw_noise(shape, 0, first.device, first.dtype)
    texts = torch.cat([made.embed(""), made.embed("a cat")])
    given = Given(first, noise, texts, texts[:1], made.config.shared_noise)
    made.finish(published(SimpleNamespace(unet=guided, scheduler=made.scheduler), given, steps))


def drawing(profile: Profile, plan: Plan, device: torch.device) -> Made:
    """SDXL in size, drawing with its parts where the plan has them, as `FirstFramePainter.load` and `Painters` do."""
    dtype = precision_on(device, profile)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(SDXL)
        vae = AutoencoderKL(**VAE, scaling_factor=0.13025, force_upcast=False)  # bears half precision, as the profile's
    parts = {  # made one by one, since there may be no room for all
        "unet": filled(unet, device, dtype).to("cpu"),
        "vae": filled(vae, device, dtype).to("cpu"),
        "text_encoder": _encoder(CLIPTextModel, CLIP, device, dtype).to("cpu"),
        "text_encoder_2": _encoder(CLIPTextModelWithProjection, BIG_G | MORE, device, dtype).to("cpu"),
    }
    parts |= {"tokenizer": tokenizer(), "tokenizer_2": tokenizer(pad="!")}
    parts["scheduler"] = EulerDiscreteScheduler(**NOISE, timestep_spacing="leading")
    pipelines = [
        kind(**parts, add_watermarker=False) for kind in (StableDiffusionXLPipeline, StableDiffusionXLInpaintPipeline)
    ]
    for pipeline in pipelines:
        pipeline.set_progress_bar_config(disable=True)
    by_parts = plan.resident == "parts"
    if not by_parts:
        pipelines[0].to(device)
    painter = FirstFramePainter(*pipelines, profile.first_frame, device if by_parts else None)

    def make(steps: int, tick: Callable[[], None]) -> None:
        painter.draw("a cat", "", 0, lambda *_: tick(), steps=steps)  # which asks to go on

    return make


def _encoder(kind: type[nn.Module], shape: Mapping[str, object], device: torch.device, dtype: torch.dtype) -> nn.Module:
    with device:  # not on `meta`: it has a buffer
        return kind(CLIPTextConfig(**shape)).to(dtype).eval()


def _picture(made: Animator) -> np.ndarray:
    size = (made.config.height, made.config.width, 3)
    return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)


def cells(kind: str, row: Row, before: Mapping[str, Row]) -> list[str]:
    """What is told of a row. The count is of ours, so there is none of the published loop's."""
    profile, first = load_profile("full"), before.get(PUBLISHED)
    counts = (profile.first_frame.steps,) if kind == "drawing" else (profile.video.ddim_steps, profile.video.steps)
    whole = ", ".join(f"{steps} steps: {row['rest'] + steps * row['seconds']:.1f}" for steps in counts)
    times = f"{first['seconds'] / row['seconds']:.2f}" if first and kind == "animating" else ""
    counted = f"{row['counted']:.1f}" if kind != "published" else ""
    return [f"{row['seconds']:.3f}", f"{row['rest']:.2f}", whole, times, f"{row['peak']:.1f}", counted]


def main() -> None:
    """Measure each row in a process of its own, and print."""
    columns = ("s a step", "s beside the steps", "s in all", "times as fast as published, a step")
    kinds = {title: kind for title, (kind, *_) in rows().items()}
    columns += ("GB at the peak", "GB counted")
    table("tests.benchmarks.on_gpu_making", __doc__, kinds, measured, columns, cells)


if __name__ == "__main__":
    main()
