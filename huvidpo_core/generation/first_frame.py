"""The first frame: SDXL through diffusers' own pipelines, its UNet replaced by the preference-aligned one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    SchedulerMixin,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from torch import Tensor

from huvidpo_core.config import FirstFrameConfig
from huvidpo_core.errors import Stopped
from huvidpo_core.generation.loading import component_folder, load_component, load_vae, local_folder, readable

# Called after every step with (step, total, latents (1, c, h, w)); returning True asks the pipeline to stop.
OnStep = Callable[[int, int, Tensor], bool]


@dataclass(frozen=True)
class FirstFramePainter:
    """Text to picture, and masked repainting from the same components."""

    text_to_image: StableDiffusionXLPipeline
    inpaint: StableDiffusionXLInpaintPipeline
    config: FirstFrameConfig

    @classmethod
    def load(cls, config: FirstFrameConfig, *, device: torch.device, dtype: torch.dtype) -> "FirstFramePainter":
        """Load the pipeline of a profile. Raises UserError when a part is missing or unreadable."""
        base = local_folder(config.base)
        parts = {"vae": load_vae(component_folder(config.vae or config.base, "vae"), dtype)}
        if config.unet:
            parts["unet"] = load_component(UNet2DConditionModel, component_folder(config.unet, "unet"), dtype)
        with readable(base):
            pipeline = StableDiffusionXLPipeline.from_pretrained(
                base, **parts, dtype=dtype, add_watermarker=False, local_files_only=True
            )
        pipeline.to(device).set_progress_bar_config(disable=True)
        inpaint = StableDiffusionXLInpaintPipeline(**pipeline.components, add_watermarker=False)
        inpaint.set_progress_bar_config(disable=True)
        return cls(pipeline, inpaint, config)

    @property
    def vae(self) -> AutoencoderKL:
        """The pipeline's VAE."""
        return self.text_to_image.vae

    @property
    def scheduler(self) -> SchedulerMixin:
        """The pipeline's scheduler."""
        return self.text_to_image.scheduler

    def draw(
        self, prompt: str, negative_prompt: str, seed: int, on_step: OnStep, *, steps: int = 0, guidance: float = -1
    ) -> np.ndarray:
        """A picture uint8 (h, w, 3) at the profile's size. Raises Stopped when `on_step` asks for it."""
        return self._run(
            self.text_to_image,
            on_step,
            prompt=prompt,
            negative_prompt=negative_prompt or None,
            width=self.config.width,
            height=self.config.height,
            num_inference_steps=steps or self.config.steps,
            guidance_scale=self.config.guidance if guidance < 0 else guidance,
            generator=torch.Generator().manual_seed(seed),
        )

    def repaint(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        negative_prompt: str,
        seed: int,
        on_step: OnStep,
        *,
        steps: int = 0,
    ) -> np.ndarray:
        """Draw the masked part (bool (h, w)) of a picture uint8 (h, w, 3) anew; outside the mask it is unchanged."""
        made = self._run(
            self.inpaint,
            on_step,
            prompt=prompt,
            negative_prompt=negative_prompt or None,
            image=Image.fromarray(image),
            mask_image=Image.fromarray(mask.astype(np.uint8) * 255),
            width=image.shape[1],
            height=image.shape[0],
            strength=0.99,
            num_inference_steps=steps or self.config.steps,
            guidance_scale=self.config.guidance,
            generator=torch.Generator().manual_seed(seed),
        )
        return np.where(mask[..., None], made, image)

    def _run(self, pipeline: StableDiffusionXLPipeline, on_step: OnStep, **arguments: object) -> np.ndarray:
        stopped = False

        def after_step(pipe: StableDiffusionXLPipeline, step: int, _: Tensor, values: dict) -> dict:
            nonlocal stopped
            stopped = on_step(step + 1, pipe.num_timesteps, values["latents"])
            pipe._interrupt = stopped  # diffusers' own way to end a run between two steps
            return values

        with torch.inference_mode():
            picture = pipeline(callback_on_step_end=after_step, output_type="np", **arguments).images[0]
        if stopped:
            raise Stopped
        return (picture * 255).round().astype(np.uint8)
