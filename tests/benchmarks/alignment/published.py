"""The published step of stage 2, written anew from its description (method.md section 3): what ours is set against.

Both clips and the prompt are encoded in every step, each side of the pair is a forward pass of its own, the reference
is a deep copy whose parameters ask for no gradient, AdamW is given all parameters; precision "bfloat16" is autocast's;
`checkpointing` computes activations twice, as the published settings ask for. With `as_published` the network also
computes as the published one does: keys and values of frame 0 gathered for every frame, the text projected for every
frame, attention matrices held, the gate repeated over the channels, the temporal convolution a `Conv1d` at each
position. Left out, in its favour: reading the clips' files, and the copies between (b, c, f, h, w) and rows.
"""

import copy

import numpy as np
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn
from torch.nn import functional as F

from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.frames import FrameCount
from huvidpo_core.models.temporal import GatedTemporalConv
from huvidpo_core.training import lora
from huvidpo_core.training.frugal import checkpointing
from huvidpo_core.training.motion import target
from huvidpo_core.training.settings import AlignSettings


class PublishedStep:
    """A training that takes published steps on one pair at a time. The animator's own network gets the LoRA."""

    def __init__(self, animator: Animator, settings: AlignSettings) -> None:
        self._animator, self._settings = animator, settings
        self._scheduler = make_scheduler(animator.scheduler, "ddim")
        for part in (animator.unet, animator.vae, animator.text_encoder):
            part.requires_grad_(False)
        self._reference = copy.deepcopy(animator.unet)
        if settings.checkpointing:
            checkpointing(animator.unet)
        lora.attach(animator.unet, settings.lora, settings.seed)
        self._optimizer = torch.optim.AdamW(
            animator.unet.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, eps=settings.eps
        )
        animator.unet.train()

    def take(self, winner: np.ndarray, loser: np.ndarray, text: str) -> float:
        """A step on two clips, uint8 (f, h, w, 3); its loss."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._settings.precision == "bfloat16"):
            clips = [encoded(self._animator, clip) for clip in (winner, loser)]
            texts = [self._animator.embed(text).clone() for _ in clips]
            given = list(zip(clips, texts, strict=True))
            noise = torch.randn_like(clips[0])
            timestep = torch.randint(0, self._scheduler.config.num_train_timesteps, (1,))
            found = [self._error(self._animator.unet, *each, noise, timestep) for each in given]
            wanted = [self._error(self._reference, *each, noise, timestep) for each in given]
        margin = (found[0] - found[1]) - (wanted[0] - wanted[1])
        loss = -F.logsigmoid(-0.5 * self._settings.beta * margin).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self._animator.unet.parameters(), self._settings.clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.item()

    def _error(self, unet: VideoUNet, clean: Tensor, text: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        noisy = self._scheduler.add_noise(clean, noise, timestep)
        noisy[:, :, :1] = clean[:, :, :1]
        wanted = target(self._scheduler, clean, noise, timestep)
        return F.mse_loss(unet(noisy, timestep, text).sample[:, :, 1:], wanted[:, :, 1:])


def encoded(animator: Animator, clip: np.ndarray) -> Tensor:
    """Latents (1, c, f, h, w) of a clip uint8 (f, h, w, 3): all frames at once, a draw from the posterior."""
    pixels = torch.from_numpy(clip).permute(0, 3, 1, 2) / 127.5 - 1
    latents = animator.vae.encode(pixels).latent_dist.sample() * animator.vae.config.scaling_factor
    return latents.movedim(0, 1)[None]


def as_published(unet: VideoUNet) -> VideoUNet:
    """Make the network compute as the published one does; its parameters and what comes out stay the same."""
    for name, module in unet.named_modules():
        if isinstance(module, Attention):
            module.processor = _Gathered(unet.frames) if name.endswith("attn1") else AttnProcessor()
        if isinstance(module, GatedTemporalConv):
            module.forward = _GatedConv(module, unet.frames)
    return unet


class _GatedConv:
    def __init__(self, conv: GatedTemporalConv, frames: FrameCount) -> None:
        self._conv, self._frames = conv, frames

    def __call__(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) -> (n, c_out, h', w')."""
        conv, frames = self._conv, self._frames.value
        y = conv.conv2d(x)
        n, c, h, w = y.shape
        gate = conv.conv_gate(y).sigmoid().repeat(1, c, 1, 1)
        over_frames = y.unflatten(0, (-1, frames)).permute(0, 3, 4, 2, 1).reshape(-1, c, frames)  # ((b h w), c, f)
        over_frames = F.conv1d(over_frames, conv.conv1d.weight, conv.conv1d.bias, padding=2)[:, :, :-2]
        over_frames = over_frames.reshape(-1, h, w, c, frames).permute(0, 4, 3, 1, 2).reshape(n, c, h, w)
        return over_frames * gate + y


class _Gathered(AttnProcessor):
    """Its keys and values are those of frame 0 and of the frame before, copied for each frame."""

    def __init__(self, frames: FrameCount) -> None:
        super().__init__()
        self._frames = frames

    def __call__(self, attn: Attention, hidden_states: Tensor, *_: object, **__: object) -> Tensor:
        """(n, d, c) -> (n, d, c)."""
        query, key, value = attn.to_q(hidden_states), self._seen(attn.to_k(hidden_states)), self._seen(
            attn.to_v(hidden_states)
        )  # fmt: skip
        query, key, value = (attn.head_to_batch_dim(tokens) for tokens in (query, key, value))
        out = attn.batch_to_head_dim(torch.bmm(attn.get_attention_scores(query, key), value))
        return attn.to_out[1](attn.to_out[0](out))

    def _seen(self, tokens: Tensor) -> Tensor:
        frames = self._frames.value
        clips = tokens.unflatten(0, (-1, frames))  # (b, f, d, c)
        former = torch.arange(frames, device=tokens.device).sub(1).clamp(min=0)[None, :, None, None].expand(clips.shape)
        return torch.cat([clips[:, [0] * frames], clips.gather(1, former)], dim=2).flatten(0, 1)
