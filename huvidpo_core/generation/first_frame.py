"""The first frame by diffusers' own pipelines: SDXL with the preference-aligned UNet, or what it is compared with."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    SchedulerMixin,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from huvidpo_core.config import FirstFrameConfig
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.generation.latents import check_finite, decode, fit_preview, latents_to_rgb
from huvidpo_core.generation.loading import (
    component_folder,
    load_component,
    load_tokenizer,
    load_vae,
    local_folder,
    readable,
)
from huvidpo_core.media import fit


@dataclass(frozen=True)
class _Kind:
    text_to_image: Any
    inpaint: Any
    encoders: dict[str, Any]  # of the text, by their names in the pipeline
    told: dict[str, Any]  # both pipelines


_KINDS = {  # by what model_index.json names
    "StableDiffusionXLPipeline": _Kind(
        StableDiffusionXLPipeline,
        StableDiffusionXLInpaintPipeline,
        {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection},
        {"add_watermarker": False},
    ),
    "StableDiffusionPipeline": _Kind(
        StableDiffusionPipeline,
        StableDiffusionInpaintPipeline,
        {"text_encoder": CLIPTextModel},
        {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    ),
}

# Called after every step with (step, total, latents (1, c, h, w)); returning True asks the pipeline to stop.
OnStep = Callable[[int, int, Tensor], bool]


@dataclass(frozen=True)
class FirstFramePainter:
    """Text to picture, and masked repainting from the same components."""

    text_to_image: StableDiffusionXLPipeline | StableDiffusionPipeline
    inpaint: StableDiffusionXLInpaintPipeline | StableDiffusionInpaintPipeline
    config: FirstFrameConfig
    parts_on: torch.device | None = None  # where each part goes for its time, the others being in the CPU's memory

    @classmethod
    def load(
        cls,
        config: FirstFrameConfig,
        *,
        device: torch.device | None,
        dtype: torch.dtype,
        shared: Mapping[str, Any] | None = None,
        parts_on: torch.device | None = None,
    ) -> "FirstFramePainter":
        """Load the pipeline that a profile names, of SDXL's or SD-1.x's kind; the folder's model_index.json says which.

        Args:
            config: where it lies, and the size it draws at.
            device: where it goes; None leaves every part where it is.
            dtype: the precision.
            shared: parts that are loaded already, by their names in the pipeline.
            parts_on: a device that has room for one part at a time.

        Raises:
            UserError: a part is missing or unreadable.
        """
        base = local_folder(config.base)
        kind, parts = _kind(base), dict(shared or {})
        if "vae" not in parts:
            parts["vae"] = load_vae(component_folder(config.vae or config.base, "vae"), dtype)
        if "unet" not in parts:
            folder = component_folder(config.unet or config.base, "unet")
            parts["unet"] = load_component(UNet2DConditionModel, folder, dtype)
        for name, encoder in kind.encoders.items():
            if name not in parts:
                parts[name] = load_component(encoder, base / name, dtype)
            if (words := name.replace("text_encoder", "tokenizer")) not in parts:
                parts[words] = load_tokenizer(base / words)
        with readable(base):
            parts |= kind.told
            pipeline = kind.text_to_image.from_pretrained(base, **parts, dtype=dtype, local_files_only=True)
        if device:
            pipeline.to(device)
        inpaint = kind.inpaint(**{**pipeline.components, **kind.told})
        for each in (pipeline, inpaint):
            each.set_progress_bar_config(disable=True)
        return cls(pipeline, inpaint, config, parts_on)

    @property
    def vae(self) -> AutoencoderKL:
        """The pipeline's VAE."""
        return self.text_to_image.vae

    @property
    def scheduler(self) -> SchedulerMixin:
        """The pipeline's scheduler."""
        return self.text_to_image.scheduler

    @property
    def unet(self) -> UNet2DConditionModel:
        """The pipeline's UNet."""
        return self.text_to_image.unet

    @cached_property
    def projection(self) -> Tensor:
        """From latents to colours, for previews: fitted to what the VAE makes of smooth random latents."""
        coarse = torch.randn(8, self.vae.config.latent_channels, 4, 4, generator=torch.Generator().manual_seed(0))
        latents = F.interpolate(coarse, size=(16, 16), mode="bilinear")[:, :, None]
        return fit_preview(latents, decode(self.vae, latents))

    def preview(self, latents: Tensor) -> np.ndarray:
        """A rough uint8 (h, w, 3) view of latents (b, c, h, w) while they are worked on."""
        return latents_to_rgb(latents[:1, :, None].float(), self.projection)[0, 0]

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
        """Draw the masked part (bool (h, w)) of a picture uint8 (h, w, 3) anew; outside the mask it is unchanged.

        The picture comes back at the size this one draws at.
        """
        image = fit(image, self.config.width, self.config.height)
        mask = fit(_grey(mask), self.config.width, self.config.height)[..., 0] > 127
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
            num_inference_steps=max(2, steps or self.config.steps),  # of one, 0.99 are none
            guidance_scale=self.config.guidance,
            generator=torch.Generator().manual_seed(seed),
        )
        return np.where(mask[..., None], made, image)

    def _run(self, pipeline: DiffusionPipeline, on_step: OnStep, **arguments: object) -> np.ndarray:
        stopped = False

        def after_step(pipe: DiffusionPipeline, step: int, _: Tensor, values: dict) -> dict:
            nonlocal stopped
            stopped = on_step(step + 1, pipe.num_timesteps, values["latents"])
            pipe._interrupt = stopped  # diffusers' own way to end a run between two steps
            if not values["latents"].isfinite().all():
                raise UserError(
                    f"The numbers overflowed in step {step + 1} of the first frame: half precision was not enough. Try "
                    "another seed; or set precision = 'float32' in the profile."
                )
            return values

        with self._placed(pipeline), torch.inference_mode():
            picture = pipeline(callback_on_step_end=after_step, output_type="np", **arguments).images[0]
        if stopped:
            raise Stopped
        check_finite(torch.from_numpy(picture))
        return (picture * 255).round().astype(np.uint8)

    @contextmanager
    def _placed(self, pipeline: DiffusionPipeline) -> Iterator[None]:
        """Where there is room for one part at a time: each goes to the device for its time, and back."""
        if self.parts_on is None:
            yield
            return
        self.vae.to(self.parts_on)
        _ = self.projection  # before the VAE comes and goes
        pipeline.enable_model_cpu_offload(device=self.parts_on)
        try:
            yield
        finally:
            pipeline.remove_all_hooks()
            pipeline.to("cpu")


def _kind(base: Path) -> _Kind:
    with readable(base):
        name = json.loads((base / "model_index.json").read_text(encoding="utf-8")).get("_class_name", "")
    if name not in _KINDS:
        raise UserError(f"The model '{base}' draws no first frames ('{name}'). Name one of SDXL's or SD-1.x's kind.")
    return _KINDS[name]


def _grey(mask: np.ndarray) -> np.ndarray:
    return np.repeat((mask.astype(np.uint8) * 255)[..., None], 3, axis=2)
