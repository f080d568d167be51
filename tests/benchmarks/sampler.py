"""The sampler's speed against the published loop's structure, and what each way to be faster does to the clip.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.sampler [--count 8] [--tables ways guided compiled] [--plot F.png]
                                                         [--json F]

The published loop takes 50 DDIM steps on a network that computes as the published one does (keys and values gathered
for each frame, attention matrices held; `alignment.published`), with AdaIN frame by frame on clones. Ours does the same
with fewer operations, then fewer steps, then DPM-Solver++; then with self-attention that is reused between steps
(pyramid attention broadcast, diffusers' hook). All take turns on the same scenes, pictures and noise. PSNR is that of
frames 1.. to the published loop's clip; the judge names the action from motion alone. Then guidance of 2 for a part of
the steps only, against all of them; and the network's repeated blocks compiled (torch.compile), against as they are,
which takes a C compiler and is done before the clock runs.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import matplotlib.pyplot as plt
import numpy as np
import torch
from diffusers.hooks import HookRegistry, PyramidAttentionBroadcastConfig, apply_pyramid_attention_broadcast
from diffusers.models.attention_processor import Attention
from torch import Tensor

from huvidpo_core.config import PACKS, compose_prompt, load_profile, load_styles, resolve
from huvidpo_core.evaluation.judge import Judge
from huvidpo_core.evaluation.metrics import clip_motion
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import denoise, make_scheduler
from huvidpo_core.generation.latents import correlate, draw_noise, encode
from huvidpo_core.generation.loading import compile_blocks
from huvidpo_core.miniature.world import Scene, caption, render
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack
from tests.benchmarks.alignment.published import as_published
from tests.benchmarks.quality import psnr
from tests.benchmarks.rows import mean, ratio, share, written

SEED, PUBLISHED, GUIDANCE = 2029, "published loop, 50 DDIM steps", 2.0
REUSED = "DDIM, 50 steps, self-attention of every second step reused"


@dataclass(frozen=True, eq=False)
class Given:
    """What a clip is made from."""

    first: Tensor  # (1, c, 1, h, w)
    noise: Tensor
    text: Tensor
    negative: Tensor
    calm: float  # share of frame 0's noise


Way = Callable[[Animator, Given], Tensor]


def ours(sampler: str, steps: int, **how: float) -> Way:
    """Our loop."""

    def made(animator: Animator, given: Given) -> Tensor:
        settings = {"guidance": 1.0} | how
        *_, last = denoise(
            animator.unet, make_scheduler(animator.scheduler, sampler), first_frame=given.first, noise=given.noise,
            text=given.text, negative_text=given.negative, steps=steps, shared_noise=given.calm, **settings,
        )  # fmt: skip
        return last.latents

    return made


@torch.no_grad()
def published(animator: Animator, given: Given, steps: int = 50) -> Tensor:
    """The published loop, written anew from its description (method.md section 4)."""
    scheduler = make_scheduler(animator.scheduler, "ddim")
    scheduler.set_timesteps(steps)
    latents = correlate(given.noise, given.calm).clone()
    latents[:, :, :1] = given.first
    for index, timestep in enumerate(scheduler.timesteps):
        predicted = animator.unet(latents, timestep, given.text.clone()).sample
        latents[:, :, 1:] = scheduler.step(predicted[:, :, 1:], timestep, latents[:, :, 1:]).prev_sample
        if index > 30 * steps / 50:
            latents[:, :, 1] = _adain(latents[:, :, 1].clone(), latents[:, :, 0].clone())
        for frame in range(2, latents.shape[2]):
            latents[:, :, frame] = _adain(latents[:, :, frame].clone(), latents[:, :, 1].clone())
        latents[:, :, :1] = given.first
    for frame in range(1, latents.shape[2]):
        latents[:, :, frame] = _adain(latents[:, :, frame].clone(), latents[:, :, 0].clone())
    return latents


def reused(animator: Animator, given: Given) -> Tensor:
    """Self-attention (over keys of two frames, and over time) is computed at every second step in the middle."""
    now = [0]
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, spatial_attention_timestep_skip_range=(100, 900),
        current_timestep_callback=lambda: now[0],
    )  # fmt: skip
    apply_pyramid_attention_broadcast(animator.unet, config)
    try:
        for step in denoise(
            animator.unet, make_scheduler(animator.scheduler, "ddim"), first_frame=given.first, noise=given.noise,
            text=given.text, guidance=1.0, steps=50, shared_noise=given.calm,
        ):  # fmt: skip
            now[0] = step.timestep
        return step.latents
    finally:
        for module in animator.unet.modules():
            if isinstance(module, Attention) and hasattr(module, "_diffusers_hook"):
                HookRegistry.check_if_exists_or_initialize(module).remove_hook("pyramid_attention_broadcast")


def compiled(animator: Animator, given: Given) -> Tensor:
    """Eight steps on compiled blocks; the network is left as it was."""
    blocks = [module for module in animator.unet.modules() if type(module).__name__ in animator.unet._repeated_blocks]
    for block in blocks:
        block._compiled_call_impl = _CALLS.get(block)
    if not _CALLS:
        assert compile_blocks(animator.unet), "nothing compiles here"
        _CALLS.update({block: block._compiled_call_impl for block in blocks})
    try:
        return ours("fast", 8)(animator, given)
    finally:
        for block in blocks:
            block._compiled_call_impl = None


_CALLS: dict[torch.nn.Module, Callable] = {}  # blocks as they were compiled


def _adain(content: Tensor, style: Tensor) -> Tensor:
    (variance, middle), (wanted, at) = (torch.var_mean(each, dim=(-2, -1), keepdim=True) for each in (content, style))
    return (content - middle) / (variance + 1e-8).sqrt() * (wanted + 1e-8).sqrt() + at


WAYS: dict[str, Way] = {
    PUBLISHED: published,
    "DDIM, 50 steps": ours("ddim", 50),
    REUSED: reused,
    "DDIM, 25 steps": ours("ddim", 25),
    **{f"DPM-Solver++, {steps} steps": ours("fast", steps) for steps in (25, 16, 12, 8, 6, 4)},
}
GUIDED = {
    "all of 8 steps guided": ours("fast", 8, guidance=GUIDANCE),
    "the first half": ours("fast", 8, guidance=GUIDANCE, guidance_until=0.5),
    "the first quarter": ours("fast", 8, guidance=GUIDANCE, guidance_until=0.25),
    "none": ours("fast", 8),
}


COMPILED = {"as it is, 8 steps": ours("fast", 8), "blocks compiled, 8 steps": compiled}


def scenes(animator: Animator, count: int) -> Iterator[tuple[Scene, Given]]:
    """Scenes that no training used, each with its action's pack in the network."""
    styles = load_styles()
    for index in range(count):
        scene = Scene.sample(np.random.default_rng([SEED, index]))
        pack = ActionPack.load(PACKS / "miniature" / scene.action)
        apply_pack(animator.unet, pack)
        first = encode(animator.vae, render(scene, frames=1))
        noise = draw_noise((1, first.shape[1], animator.config.frames, *first.shape[3:]), index)
        text = animator.embed(compose_prompt(caption(scene), None, styles[scene.style]))
        calm = animator.config.shared_noise if pack.shared_noise is None else pack.shared_noise
        yield scene, Given(first, noise, text, animator.embed(""), calm)


@contextmanager
def computing(animator: Animator, way: Way) -> Iterator[Animator]:
    """The network as the published one computes, for that loop; else as ours does."""
    if way is not published:
        yield animator
        return
    unet = animator.unet
    processors = unet.attn_processors
    convolutions = {module: module.__dict__.get("forward") for module in unet.modules()}
    as_published(unet)
    try:
        yield animator
    finally:
        for module, forward in convolutions.items():
            if forward is None:
                module.__dict__.pop("forward", None)
        unet.set_attn_processor(dict(processors))


def measured(animator: Animator, judge: Judge, ways: dict[str, Way], count: int) -> dict[str, dict[str, list[float]]]:
    """Figures of every clip by way; PSNR is to the first way's."""
    found: dict[str, dict[str, list[float]]] = {
        name: {"seconds": [], "psnr": [], "motion": [], "recognised": []} for name in ways
    }
    for scene, given in scenes(animator, count):
        target: np.ndarray | None = None
        for name, way in ways.items():
            with computing(animator, way):
                began = time.process_time()
                latents = way(animator, given)
                seconds = time.process_time() - began
            clip = animator.finish(latents)
            target = clip if target is None else target
            row = found[name]
            row["seconds"].append(seconds)
            row["psnr"].append(min(99.0, psnr(clip[1:], target[1:])) if clip is not target else 99.0)
            row["motion"].append(clip_motion(clip) / clip_motion(target))
            row["recognised"].append(float(judge.recognise_motion(clip) == scene.action))
        sys.stderr.write(".")
    return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Markdown; times as fast as the first row."""
    first = next(iter(found.values()))
    lines = [
        "| way | s a clip | times as fast | PSNR to the first row, dB | motion | from motion, % |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        cells = [
            written(mean(row["seconds"]), 2),
            written(ratio(first["seconds"], row["seconds"]), 1) if row is not first else "1",
            written(mean(row["psnr"]), 1) if row is not first else "-",
            written(mean(row["motion"]), 2),
            written(share(row["recognised"]), 0),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def plot(found: dict[str, dict[str, list[float]]], path: Path) -> None:
    """PSNR over seconds, a point for each way."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for marker, words in (("o", "DDIM"), ("s", "DPM-Solver++")):
        rows = [(name, row) for name, row in found.items() if name.startswith(words) and np.mean(row["psnr"]) < 90]
        x, y = ([float(np.mean(row[key])) for _, row in rows] for key in ("seconds", "psnr"))
        axes.plot(x, y, marker=marker, linestyle="", label=words)
        for at, (name, _) in zip(zip(x, y, strict=True), rows, strict=True):
            axes.annotate(name.split(", ", 1)[1].replace("self-attention of every second step", "attention"), at,
                          textcoords="offset points", xytext=(6, 4), fontsize=8)  # fmt: skip
    whole = float(np.mean(found[PUBLISHED]["seconds"]))
    axes.axvline(whole / 4, color="grey", linestyle=":", label="4 times the published loop's speed")
    axes.axhline(30, color="grey", linestyle="--", label="30 dB")
    axes.margins(x=0.2, y=0.1)
    axes.set(xlabel="processor seconds a clip", ylabel="PSNR to the published loop's clip, dB")
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=8, help="scenes")
    tables = ("ways", "guided", "compiled")
    parser.add_argument("--tables", nargs="*", choices=tables, default=tables)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    profile = load_profile("miniature")
    animator = Animator.load(profile.video, device=torch.device("cpu"), dtype=torch.float32)
    judge = Judge.load(Path(resolve(profile.judge)), torch.device("cpu"))
    found = {}
    for name, ways in zip(tables, (WAYS, GUIDED, COMPILED), strict=True):
        if name not in options.tables:
            continue
        if ways is COMPILED:
            compiled(animator, next(scenes(animator, 1))[1])
        found[name] = measured(animator, judge, ways, options.count)
        sys.stdout.write(table(found[name]))
    if options.plot and "ways" in found:
        plot(found["ways"], options.plot)
    if options.json:
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
