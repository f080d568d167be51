"""DPO-SDXL in miniature: the first-frame UNet learns a preference from pairs of pictures, by Diffusion-DPO.

The preference is stated: of two pictures for the same words the better one has its subject in the middle, strong
colours and no smudges. A pair is one scene rendered twice, once as preferred and once with one or more of the faults.
As with the published model, the outcome is a UNet of its own beside the undisturbed one (Wallace et al. 2023).
"""

import copy
from dataclasses import replace

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from PIL import Image, ImageEnhance
from torch import Tensor

from huvidpo_core.config import load_styles
from huvidpo_core.miniature import data, networks, stages, text
from huvidpo_core.miniature.loop import train
from huvidpo_core.miniature.workshop import Workshop
from huvidpo_core.miniature.world import SHIFT, Scene, render
from huvidpo_core.models.vae import PatchAutoencoderKL
from huvidpo_core.training.losses import pair_errors, preference_loss
from huvidpo_core.training.motion import target

BETA = 2000.0  # on mean squared errors, Diffusion-DPO's
VIVID, DULL = (1.1, 1.3), (0.45, 0.9)  # saturation of the two sides, 1 as rendered
SMUDGE = 0.5  # largest deviation of the smudges, in the latents' own


def render_pair(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The scene as preferred and as not, uint8 (h, w, 3) each: centred and vivid; off centre, dull, or both."""
    off_centre, dull = ((True, True), (True, False), (False, True))[int(rng.integers(3))]
    preferred = _saturate(_still(replace(scene, shift=0.0)), rng.uniform(*VIVID))
    shift = float(rng.choice([-1, 1])) * rng.uniform(0.6, 1) * SHIFT if off_centre else 0.0
    other = _saturate(_still(replace(scene, shift=shift)), rng.uniform(*DULL) if dull else 1.0)
    return preferred, other


def colourfulness(picture: np.ndarray) -> float:
    """Hasler & Suesstrunk 2003, M3, of uint8 (h, w, 3): 0 grey, 15 slightly, 45 quite, 109 extremely colourful."""
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    one, two = red - green, (red + green) / 2 - blue
    return float(np.hypot(one.std(), two.std()) + 0.3 * np.hypot(one.mean(), two.mean()))


class Pairs:
    """Latents (2, n, c, 1, h, w) of preferred and other pictures, with their scenes."""

    def __init__(self, shop: Workshop, vae: PatchAutoencoderKL) -> None:
        self.scenes = data.Pool("taste", shop.budget.pairs, 1).all_scenes()
        sides: tuple[list[Tensor], list[Tensor]] = ([], [])
        for index, scene in enumerate(self.scenes):
            for side, picture in zip(sides, render_pair(scene, np.random.default_rng([5, index])), strict=True):
                side.append(data.encode_frames(picture[None], vae, shop.device, shop.precision)[0, :, None])
        self.latents = torch.stack([torch.stack(side) for side in sides])
        self.styles = load_styles()

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[str]]:
        """Latents (2, count, c, 1, h, w) with fresh smudges on half of the others; captions."""
        chosen = rng.integers(len(self.scenes), size=count)
        latents = self.latents[:, torch.from_numpy(chosen)].clone()
        strength = torch.from_numpy(rng.uniform(0.2, 1, (count, 1, 1, 1, 1)) * (rng.random((count, 1, 1, 1, 1)) < 0.5))
        latents[1] += SMUDGE * strength.float() * stages.normal(rng, latents[1].shape)
        return latents, [data.training_caption(self.scenes[index], rng, self.styles) for index in chosen]


def train_taste(
    shop: Workshop,
    encoders: text.TextEncoders,
    tokenizer: text.PreTrainedTokenizerFast,
    vae: PatchAutoencoderKL,
    unet: UNet2DConditionModel,
    batch: int = 8,
) -> UNet2DConditionModel:
    """Diffusion-DPO on all weights of a copy of `unet`, which stays the reference; both sides share noise and step."""
    reference = unet.to(shop.device).eval().requires_grad_(False)
    policy = copy.deepcopy(reference).requires_grad_(True)
    scheduler = networks.video_scheduler()
    pairs = Pairs(shop, vae)
    mask = torch.ones(batch, 1, device=shop.device)

    def loss_at(rng: np.random.Generator) -> Tensor:
        clean, texts = pairs.draw(rng, batch)
        clean = clean.flatten(0, 1).to(shop.device)  # winners, then losers
        noise = stages.normal(rng, clean[:batch].shape).repeat(2, 1, 1, 1, 1).to(shop.device)
        timestep = stages.spread_timesteps(rng, batch).repeat(2).to(shop.device)
        noisy = scheduler.add_noise(clean, noise, timestep)
        conditions = stages.sdxl_conditions(encoders, tokenizer, texts * 2, shop.device)
        wanted = target(scheduler, clean, noise, timestep)
        learned = pair_errors(_predict(policy, noisy, timestep, conditions), wanted)
        with torch.no_grad():
            given = pair_errors(_predict(reference, noisy, timestep, conditions), wanted)
        return preference_loss(learned, given, mask, kind="huvidpo", beta=BETA).loss

    return train("taste", policy, loss_at, shop.budget.taste, shop.folder, precision=shop.precision)


def _predict(model: UNet2DConditionModel, noisy: Tensor, timestep: Tensor, conditions: dict) -> Tensor:
    return model(noisy[:, :, 0], timestep, **conditions).sample[:, :, None]


def _still(scene: Scene) -> np.ndarray:
    return render(scene, frames=1, width=data.WIDTH, height=data.HEIGHT)[0]


def _saturate(picture: np.ndarray, amount: float) -> np.ndarray:
    return np.asarray(ImageEnhance.Color(Image.fromarray(picture)).enhance(amount))
