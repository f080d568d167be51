"""What each training stage of the miniature does, given the stages before it. `train.py` runs them in order."""

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from huvidpo_core.generation.latents import correlate
from huvidpo_core.miniature import data, networks, text
from huvidpo_core.miniature.loop import train
from huvidpo_core.miniature.workshop import Workshop
from huvidpo_core.models import VideoUNet, is_motion
from huvidpo_core.models.vae import PatchAutoencoderKL
from huvidpo_core.training.motion import motion_loss, target

EDITED = 0.25  # share of the clips that show something pasted into them
STEADY = 0.5  # weight of what the error changes by from frame to frame: errors that stay do not flicker


def train_vae(shop: Workshop) -> PatchAutoencoderKL:
    """Reconstruction of 96 x 96 crops: error of pixels and of their gradients, a breath of KL.

    The decoder is shown latents with a little noise, up to a fifth of their spread: what it decodes later are guesses
    of a diffusion model, and a decoder that knows only perfect latents turns their small errors into smudges.
    """
    model = shop.begin(networks.vae(), "vae").to(shop.device)
    shards = data.pixels(shop.clips, shop.folder) + data.pixels(shop.stills, shop.folder)

    def loss_at(rng: np.random.Generator) -> Tensor:
        image = data.to_unit(np.stack(list(data.crops(shards, rng, 8, 96)))).to(shop.device)
        posterior = model.encode(image).latent_dist
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        latents = posterior.sample(generator).to(image.dtype)
        noise = normal(rng, latents.shape) * 0.2 * torch.from_numpy(rng.random((len(latents), 1, 1, 1)) ** 2).float()
        made = model.decode(latents + latents.detach().std() * noise.to(shop.device)).sample.float()
        return (
            F.l1_loss(made, image)
            + F.mse_loss(made, image)
            + sum(F.l1_loss(made.diff(dim=axis), image.diff(dim=axis)) for axis in (2, 3))
            + 1e-6 * posterior.kl().mean()
        )

    train("vae", model, loss_at, shop.budget.vae, shop.folder, precision=shop.precision)
    model.register_to_config(scaling_factor=round(1 / _latent_spread(model, shards, shop), 5))
    return model


@torch.no_grad()
def _latent_spread(model: PatchAutoencoderKL, shards: list[np.ndarray], shop: Workshop) -> float:
    frames = np.stack([shard[row, 0] for shard in shards[:: max(1, len(shards) // 16)] for row in range(2)])
    return model.encode(data.to_unit(frames).to(shop.device)).latent_dist.mode().std().item()


def train_text(shop: Workshop) -> tuple[text.TextEncoders, text.PreTrainedTokenizerFast]:
    """Both text encoders learn to tell the scene's attributes."""
    tokenizer = text.build_tokenizer()
    torch.manual_seed(0)
    model = text.TextEncoders(tokenizer).to(shop.device)
    batches = text.TextBatches(tokenizer, shop.budget.captions)

    def loss_at(rng: np.random.Generator) -> Tensor:
        ids, labels = batches.draw(rng, 256)
        return model.loss(ids.to(shop.device), {name: value.to(shop.device) for name, value in labels.items()})

    train("text", model, loss_at, shop.budget.text, shop.folder, precision=torch.float32)
    return model, tokenizer


def sdxl_conditions(
    encoders: text.TextEncoders, tokenizer: text.PreTrainedTokenizerFast, texts: list[str], device: torch.device
) -> dict:
    """What an SDXL UNet is told, as SDXL's pipeline computes it: prompt embeddings (b, l, 2d), pooled embedding (b, d)
    and sizes (b, 6). "" gives zeros.
    """
    ids = text.tokenize(tokenizer, texts).to(device)
    with torch.no_grad():
        first = encoders.first(ids, output_hidden_states=True)
        second = encoders.second(ids, output_hidden_states=True)
    said = torch.tensor([bool(words) for words in texts], device=device)
    hidden = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    size = torch.tensor([[data.HEIGHT, data.WIDTH, 0, 0, data.HEIGHT, data.WIDTH]], device=device)
    pooled = {"text_embeds": second.text_embeds * said[:, None], "time_ids": size.expand(len(texts), -1)}
    return {"encoder_hidden_states": hidden * said[:, None, None], "added_cond_kwargs": pooled}


def train_first_frame(
    shop: Workshop, encoders: text.TextEncoders, tokenizer: text.PreTrainedTokenizerFast, batch: int = 16
) -> UNet2DConditionModel:
    """Text to first frame: velocity prediction on cached latents, one caption in ten left out."""
    torch.manual_seed(1)
    unet = shop.begin(networks.first_frame_unet(), "first_frame_unet").to(shop.device)
    scheduler = networks.video_scheduler()  # the same noise; it knows velocities
    pool = data.LatentPool([shop.stills], shop.latents)

    def loss_at(rng: np.random.Generator) -> Tensor:
        clean, texts = pool.draw(rng, batch)
        texts = [words if rng.random() > 0.1 else "" for words in texts]
        clean = clean[:, :, 0].to(shop.device)
        noise = normal(rng, clean.shape).to(shop.device)
        timestep = spread_timesteps(rng, batch).to(shop.device)
        noisy = scheduler.add_noise(clean, noise, timestep)
        predicted = unet(noisy, timestep, **sdxl_conditions(encoders, tokenizer, texts, shop.device)).sample
        return F.mse_loss(predicted.float(), target(scheduler, clean, noise, timestep))

    return train("first_frame", unet, loss_at, shop.budget.first_frame, shop.folder, precision=shop.precision)


def sd_text(
    encoder: nn.Module, tokenizer: text.PreTrainedTokenizerFast, texts: list[str], device: torch.device
) -> Tensor:
    """Prompt embeddings (b, l, d) as Stable Diffusion 1.x's pipeline computes them."""
    with torch.no_grad():
        return encoder(text.tokenize(tokenizer, texts).to(device)).last_hidden_state


def train_video(
    shop: Workshop,
    encoders: text.TextEncoders,
    tokenizer: text.PreTrainedTokenizerFast,
    still: UNet2DConditionModel,
) -> VideoUNet:
    """The base video UNet, every weight trained: it starts from the first-frame UNet, inflated.

    A step sees one whole clip or, for variety at the same cost, two windows of eight frames. What is far from frame 0
    is learned last, so most steps are whole clips.
    """
    torch.manual_seed(2)
    flat = networks.video_unet()
    networks.start_from_first_frame(flat, still)
    unet = shop.begin(VideoUNet.inflate(flat), "video_unet").to(shop.device)
    pool = data.LatentPool([shop.clips], shop.latents)

    def loss_at(rng: np.random.Generator) -> Tensor:
        count, frames = (2, 8) if rng.random() < 0.25 else (1, data.FRAMES)
        return _clip_loss(
            unet, pool, encoders.first, tokenizer, rng, shop.device, count=count, frames=frames, edited=EDITED
        )

    return train("video", unet, loss_at, shop.budget.video, shop.folder, precision=shop.precision)


def train_pack(
    shop: Workshop, encoder: nn.Module, tokenizer: text.PreTrainedTokenizerFast, unet: VideoUNet, action: str
) -> VideoUNet:
    """Stage 1 on an action's few clips: only the motion parameters of a copy of the base are trained."""
    pool = data.LatentPool([shop.lessons(action)], shop.latents)
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(is_motion(name))

    def loss_at(rng: np.random.Generator) -> Tensor:
        return _clip_loss(unet, pool, encoder, tokenizer, rng, shop.device, count=1, frames=data.FRAMES, edited=EDITED)

    return train(f"pack-{action}", unet, loss_at, shop.budget.pack, shop.folder, precision=shop.precision)


def _clip_loss(
    unet: VideoUNet,
    pool: data.LatentPool,
    encoder: nn.Module,
    tokenizer: text.PreTrainedTokenizerFast,
    rng: np.random.Generator,
    device: torch.device,
    *,
    count: int,
    frames: int,
    edited: float = 0.0,
) -> Tensor:
    clips, texts = pool.draw(rng, count)
    for clip in clips:
        if rng.random() < edited:
            paste(clip, pool.draw(rng, 1)[0][0, :, 0], rng)
    start = int(rng.integers(clips.shape[2] - frames + 1))
    clean = clips[:, :, start : start + frames].to(device)
    texts = [words if rng.random() > 0.1 else "" for words in texts]
    noise = correlate(normal(rng, clean.shape), networks.SHARED_NOISE).to(device)
    # Towards much noise: there the network must take from frame 0 what stays, and a sampler of few steps lives there.
    timestep = spread_timesteps(rng, count, power=0.5).to(device)
    words = sd_text(encoder, tokenizer, texts, device)
    return motion_loss(unet, networks.video_scheduler(), clean, words, noise, timestep, steady=STEADY)


def paste(clip: Tensor, other: Tensor, rng: np.random.Generator) -> None:
    """Lay a patch of another picture's latents (c, h, w) on every frame of a clip (c, f, h, w), in place.

    What a person paints on the first frame is like nothing in the world, and is to stay: such patches teach the network
    to keep what it sees in frame 0.
    """
    h, w = (int(rng.integers(2, min(9, size))) for size in other.shape[-2:])
    from_y, to_y = rng.integers(other.shape[-2] - h + 1, size=2)
    from_x, to_x = rng.integers(other.shape[-1] - w + 1, size=2)
    clip[:, :, to_y : to_y + h, to_x : to_x + w] = other[:, None, from_y : from_y + h, from_x : from_x + w]


def normal(rng: np.random.Generator, shape: torch.Size) -> Tensor:
    """Standard normal numbers, float32."""
    return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))


def spread_timesteps(rng: np.random.Generator, count: int, power: float = 1.0) -> Tensor:
    """`count` timesteps in 0..999, one in each equal part of the range: the loss of a batch varies less.

    With `power` below 1 large ones come more often: 0.5 makes a timestep's density proportional to itself.
    """
    return torch.from_numpy(((rng.permutation(count) + rng.random(count)) / count) ** power * 1000).long()
