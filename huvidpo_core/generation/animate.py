"""First frame and prompt to a clip: encode, denoise, decode, match histograms."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from huvidpo_core.config import VideoConfig
from huvidpo_core.errors import UserError
from huvidpo_core.generation.denoise import Step, denoise, make_scheduler
from huvidpo_core.generation.latents import decode, draw_noise, encode, fit_preview, latents_to_rgb
from huvidpo_core.generation.loading import (
    choose_attention,
    compile_blocks,
    load_component,
    load_tokenizer,
    load_vae,
    load_video_unet,
    local_folder,
)
from huvidpo_core.generation.plans import Plan
from huvidpo_core.generation.structural import matching_timestep
from huvidpo_core.media import match_histograms
from huvidpo_core.models import VideoUNet


@dataclass(frozen=True)
class Animator:
    """The parts of Stable Diffusion 1.x that animate, its UNet inflated."""

    unet: VideoUNet
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: PreTrainedTokenizerBase
    scheduler: dict  # the model folder's scheduler config
    config: VideoConfig
    attention: str  # how the network computes it, see `choose_attention`
    plan: Plan = Plan()  # noqa: RUF009  (frozen)

    @classmethod
    def load(
        cls,
        config: VideoConfig,
        *,
        device: torch.device,
        dtype: torch.dtype,
        plan: Plan = Plan(),  # noqa: B008  (frozen)
        autocast: torch.dtype | None = None,
    ) -> "Animator":
        """Load a profile's video model; a plain 2D UNet is inflated. `autocast` is what the network will be computed
        in, where that is not `dtype`. Raises UserError for a missing or broken part."""
        base = local_folder(config.base)
        unet = load_video_unet(base, dtype)
        tokenizer = load_tokenizer(base / "tokenizer")
        unet.set_key_frames(config.key_frames)
        attention = choose_attention(unet.to(device).eval(), config.attention, device, autocast)
        if config.compile:
            compile_blocks(unet)
        return cls(
            unet,
            load_vae(base / "vae", dtype).to(device),
            load_component(CLIPTextModel, base / "text_encoder", dtype).to(device),
            tokenizer,
            make_scheduler(base).config,
            config,
            attention,
            plan,
        )

    def to(self, device: torch.device | str) -> None:
        """Bring all that computes to a device."""
        for part in (self.unet, self.vae, self.text_encoder):
            part.to(device)

    @torch.inference_mode()
    def embed(self, text: str) -> Tensor:
        """Prompt embedding (1, l, d), from the text encoder's last layer."""
        ids = self.tokenizer(
            [text],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return self.text_encoder(ids.to(self.text_encoder.device)).last_hidden_state

    def steps(
        self,
        image: np.ndarray,
        prompt: str,
        negative_prompt: str,
        seed: int,
        *,
        sampler: str,
        steps: int,
        guidance: float,
        frames: int,
        reference: np.ndarray | None = None,
        eta: float = 0.0,
        shared_noise: float | None = None,
    ) -> Iterator[tuple[Step, np.ndarray]]:
        """Denoise a clip that begins with `image`, uint8 (h, w, 3) with sides divisible by the VAE's factor.

        With a `reference`, uint8 (frames, h, w, 3), the clip begins as that one, noised as far as `eta` says
        (`generation.structural`), and so has its motion at large. `shared_noise` is a pack's own; None: the profile's.

        Yields:
            Each step with a small preview of the clip it predicts, uint8 (f, h', w', 3).
        """
        first_frame = encode(self.vae, image[None])
        projection = fit_preview(first_frame, image[None])
        noise = draw_noise(
            (1, first_frame.shape[1], frames, *first_frame.shape[3:]), seed, first_frame.device, torch.float32
        )
        scheduler = make_scheduler(self.scheduler, sampler)
        for step in denoise(
            self.unet,
            scheduler,
            first_frame=first_frame,
            noise=noise,
            text=self.embed(prompt),
            negative_text=self.embed(negative_prompt),
            guidance=guidance,
            steps=steps,
            shared_noise=self.config.shared_noise if shared_noise is None else shared_noise,
            guidance_until=self.config.guidance_until,
            both_guided=self.plan.both_guided,
            start_from=None if reference is None else encode(self.vae, reference, self.plan.chunk),
            start_at=None if reference is None else matching_timestep(scheduler, eta),
        ):
            if not step.latents.isfinite().all():
                raise UserError(
                    f"The numbers overflowed in step {step.index + 1} of {step.total}: half precision was not enough. "
                    "Lower the guidance or the strength; or set precision = 'float32' in the profile."
                )
            yield step, latents_to_rgb(step.denoised, projection)[0]

    def finish(self, latents: Tensor) -> np.ndarray:
        """Frames uint8 (f, h, w, 3) of final latents (1, c, f, h, w), every frame's colours matched to frame 0's."""
        return match_histograms(decode(self.vae, latents, self.plan.chunk)[0])
