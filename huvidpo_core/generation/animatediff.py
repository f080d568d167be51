"""AnimateDiff (Guo et al. 2023), told the first frame by SparseCtrl (Guo et al. 2023): a method to compare with."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import (
    AnimateDiffSparseControlNetPipeline,
    MotionAdapter,
    SparseControlNetModel,
    UNet2DConditionModel,
    UNetMotionModel,
)
from torch import Tensor

from huvidpo_core.config import AnimateDiffConfig
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import Step
from huvidpo_core.generation.latents import encode, fit_preview, latents_to_rgb
from huvidpo_core.generation.loading import load_component, local_folder, readable
from huvidpo_core.generation.samplers import make_scheduler
from huvidpo_core.progress import generate


class _FromFirstFrame(AnimateDiffSparseControlNetPipeline):
    def prepare_image(self, image: np.ndarray, *args: object) -> Tensor:
        """The condition (1, c, 1, h, w): the mode of what the VAE makes of pixels uint8 (1, h, w, 3).

        diffusers draws from its distribution, outside of the run's own generator: the same recipe would not give the
        same clip.
        """
        return encode(self.vae, image).to(self.controlnet.dtype)


@dataclass(frozen=True)
class AnimateDiff:
    """Animates as `Animator` does, but without packs: to the same frames, step by step.

    VAE, text encoder and tokenizer are the animator's; the UNet is the base's own, with AnimateDiff's motion modules.
    """

    pipeline: AnimateDiffSparseControlNetPipeline
    animator: Animator
    config: AnimateDiffConfig

    @classmethod
    def load(cls, config: AnimateDiffConfig, animator: Animator) -> "AnimateDiff":
        """Load what it has of its own, into the computer's memory. Raises UserError for a missing or broken part."""
        base, control = local_folder(animator.config.base), local_folder(config.control)
        adapter, dtype = local_folder(config.adapter), animator.unet.dtype
        motion = load_component(MotionAdapter, adapter, dtype)
        with readable(adapter):  # modules of another size than the base's
            unet = UNetMotionModel.from_unet2d(load_component(UNet2DConditionModel, base / "unet", dtype), motion)
        pipeline = _FromFirstFrame(
            vae=animator.vae,
            text_encoder=animator.text_encoder,
            tokenizer=animator.tokenizer,
            unet=unet.eval(),
            motion_adapter=None,  # it is in the UNet
            controlnet=load_component(SparseControlNetModel, control, dtype),
            scheduler=make_scheduler({**animator.scheduler, "beta_schedule": config.beta_schedule}),
        )
        pipeline.set_progress_bar_config(disable=True)
        return cls(pipeline, animator, config)

    def to(self, device: torch.device | str) -> None:
        """Bring all that computes to a device, the animator's VAE and text encoder too."""
        for part in (self.pipeline.unet, self.pipeline.controlnet, self.pipeline.vae, self.pipeline.text_encoder):
            part.to(device)

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
        **_of_packs: object,
    ) -> Iterator[tuple[Step, np.ndarray]]:
        """Denoise a clip of a first frame `image`, uint8 (h, w, 3); arguments as for `Animator.steps`.

        To be closed by whoever leaves early: the work is done in a thread, which ends after its step then.

        Yields:
            Each step with a small preview uint8 (f, h', w', 3) of the clip as it is by then, noise and all;
            `Step.denoised` is the same as `Step.latents`.

        Raises:
            UserError: more frames than it was trained for, or an overflow in half precision.
        """
        most = self.pipeline.unet.config.motion_max_seq_length
        if frames > most:
            raise UserError(f"AnimateDiff makes clips of at most {most} frames, not {frames}. Choose fewer.")
        known = {**self.animator.scheduler, "beta_schedule": self.config.beta_schedule}
        self.pipeline.scheduler = make_scheduler(known, sampler)
        projection = fit_preview(encode(self.animator.vae, image[None]), image[None])

        def run(report) -> None:
            def after_step(_: object, index: int, timestep: Tensor, values: dict) -> dict:
                latents = values["latents"]
                if not latents.isfinite().all():
                    raise UserError(
                        f"The numbers overflowed in step {index + 1} of {steps}: half precision was not enough. Lower "
                        "the guidance; or set precision = 'float32' in the profile."
                    )
                step = Step(index, int(timestep), latents, latents, self.pipeline.num_timesteps)
                if report((step, latents_to_rgb(latents.float(), projection)[0])):
                    raise Stopped
                return {}

            with torch.inference_mode():
                self.pipeline(
                    prompt,
                    negative_prompt=negative_prompt,
                    conditioning_frames=image[None],
                    controlnet_frame_indices=[0],
                    width=image.shape[1],
                    height=image.shape[0],
                    num_frames=frames,
                    num_inference_steps=steps,
                    guidance_scale=guidance,
                    generator=torch.Generator().manual_seed(seed),
                    output_type="latent",
                    callback_on_step_end=after_step,
                )

        with closing(generate(run, threading.Event())) as items:
            for item in items:
                if item is not None:
                    yield item

    def finish(self, latents: Tensor) -> np.ndarray:
        """Frames uint8 (f, h, w, 3) of final latents (1, c, f, h, w), every frame's colours matched to frame 0's."""
        return self.animator.finish(latents)
