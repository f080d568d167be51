"""The miniature's training data: shards of rendered pixels, then of latents, each written once and never again.

A shard is `NAME-0007.npy` with its scenes in `NAME-0007.json`. Scenes are drawn from (seed, index), so a shard that is
missing after a kill is rendered again to the same bytes. Training prompts use even seeds, evaluation odd ones.
"""

import json
import multiprocessing
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from huvidpo_core.config import compose_prompt, load_styles
from huvidpo_core.miniature.loop import Countdown
from huvidpo_core.miniature.world import Scene, caption, render

SHARD = 64  # scenes
FEW = 1000  # frames: rendering them takes less time than starting processes
WIDTH, HEIGHT, FRAMES = 256, 160, 16
TRAINING_SEED = 2


@dataclass(frozen=True)
class Pool:
    """A named set of scenes: `count` of them, `frames` frames each, some attributes fixed."""

    name: str
    count: int
    frames: int
    seed: int = TRAINING_SEED
    fixed: tuple[tuple[str, str], ...] = ()

    def shards(self) -> range:
        """Numbers of this pool's shards."""
        return range((self.count + SHARD - 1) // SHARD)

    def scenes(self, shard: int) -> list[Scene]:
        """The scenes of one shard."""
        indices = range(shard * SHARD, min(self.count, (shard + 1) * SHARD))
        source = [self.seed, *self.name.encode()]
        return [Scene.sample(np.random.default_rng([*source, index]), **dict(self.fixed)) for index in indices]

    def frames_in(self, shard: int) -> int:
        """How many frames a shard holds."""
        return (min(self.count, (shard + 1) * SHARD) - shard * SHARD) * self.frames

    def file(self, folder: Path, shard: int) -> Path:
        """Where a shard is kept in a folder of pixels or of latents."""
        return folder / f"{self.name}-{shard:04d}.npy"

    def all_scenes(self) -> list[Scene]:
        """The scenes of all shards, in order."""
        return [scene for shard in self.shards() for scene in self.scenes(shard)]


def training_caption(scene: Scene, rng: np.random.Generator, styles: dict) -> str:
    """What a person might have typed for this scene, in the style's template, as the app composes it."""
    return compose_prompt(caption(scene, rng), None, styles[scene.style])


def _render_shard(job: tuple[Pool, int], folder: Path) -> int:
    """Render one shard; the number of its frames."""
    pool, shard = job
    target, scenes = pool.file(folder, shard), pool.scenes(shard)
    frames = np.stack([render(scene, frames=pool.frames, width=WIDTH, height=HEIGHT) for scene in scenes])
    target.with_suffix(".json").write_text(json.dumps([asdict(scene) for scene in scenes]))
    _save(target, frames)
    return pool.frames_in(shard)


def _save(target: Path, array: np.ndarray) -> None:
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, array)
    part.replace(target)


def render_pools(pools: Iterable[Pool], folder: Path, workers: int) -> None:
    """Render what is missing of the pools into `folder`, logging how long it will take."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = _missing(pools, folder)
    total = sum(pool.frames_in(shard) for pool, shard in missing)
    countdown = Countdown("render", total)
    render_one = partial(_render_shard, folder=folder)
    if len(missing) <= 1 or total <= FEW:
        for job in missing:
            countdown.add(render_one(job))
        return
    with multiprocessing.get_context("spawn").Pool(workers) as processes:
        for frames in processes.imap_unordered(render_one, missing):
            countdown.add(frames)


def _missing(pools: Iterable[Pool], folder: Path) -> list[tuple[Pool, int]]:
    """The shards that `folder` does not hold yet."""
    every = [(pool, shard) for pool in pools for shard in pool.shards()]
    return [(pool, shard) for pool, shard in every if not pool.file(folder, shard).exists()]


def pixels(pool: Pool, folder: Path) -> list[np.ndarray]:
    """Memory-mapped shards, each uint8 (n, f, h, w, 3)."""
    return [np.load(pool.file(folder, shard), mmap_mode="r") for shard in pool.shards()]


@torch.no_grad()
def encode_pools(
    pools: Iterable[Pool],
    vae: AutoencoderKL,
    folder: Path,
    latents: Path,
    *,
    device: torch.device,
    precision: torch.dtype,
) -> None:
    """Encode every pixel shard that has no latents yet into `latents/NAME-0007.npy`, float16 (n, c, f, h/8, w/8).

    Logs how long it will take.
    """
    latents.mkdir(exist_ok=True)
    missing = _missing(pools, latents)
    countdown = Countdown("latents", sum(pool.frames_in(shard) for pool, shard in missing))
    for pool, shard in missing:
        rows = []
        for clip in np.load(pool.file(folder, shard), mmap_mode="r"):
            rows.append(encode_frames(clip, vae, device, precision))
            countdown.add(len(clip))
        _save(pool.file(latents, shard), torch.stack(rows).transpose(1, 2).half().numpy())  # (n, c, f, h, w)


@torch.no_grad()
def encode_frames(frames: np.ndarray, vae: AutoencoderKL, device: torch.device, precision: torch.dtype) -> Tensor:
    """uint8 (f, h, w, 3) -> scaled latents (f, c, h/8, w/8), float32 on the CPU."""
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        latents = vae.encode(to_unit(frames).to(device)).latent_dist.mode()
    return latents.float().cpu() * vae.config.scaling_factor


def to_unit(frames: np.ndarray) -> Tensor:
    """uint8 (..., h, w, 3) to float (..., 3, h, w) in [-1, 1]."""
    return torch.from_numpy(np.array(frames)).movedim(-1, -3).float() / 127.5 - 1


class LatentPool:
    """All latents of some pools, from the folder of one VAE's latents, in memory, with their scenes."""

    def __init__(self, pools: list[Pool], folder: Path) -> None:
        shards, self.scenes = [], []
        for pool in pools:
            for shard in pool.shards():
                shards.append(torch.from_numpy(np.load(pool.file(folder, shard))))
                self.scenes += pool.scenes(shard)
        self.latents = torch.cat(shards)  # (n, c, f, h, w) float16
        self.styles = load_styles()

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[str]]:
        """A batch (count, c, f, h, w) in float32 with freshly worded captions."""
        chosen = rng.integers(len(self.scenes), size=count)
        texts = [training_caption(self.scenes[index], rng, self.styles) for index in chosen]
        return self.latents[torch.from_numpy(chosen)].float(), texts


def crops(shards: list[np.ndarray], rng: np.random.Generator, count: int, size: int) -> Iterator[np.ndarray]:
    """Random square crops (size, size, 3) of random frames, corners on even pixels."""
    for _ in range(count):
        shard = shards[rng.integers(len(shards))]
        clip, frame = rng.integers(shard.shape[0]), rng.integers(shard.shape[1])
        top, left = (int(rng.integers((limit - size) // 2 + 1)) * 2 for limit in shard.shape[2:4])
        yield shard[clip, frame, top : top + size, left : left + size]
