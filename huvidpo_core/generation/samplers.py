"""Which scheduler takes the denoising steps: derived from the model folder's own file, whatever class it names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, SchedulerMixin

from huvidpo_core.errors import UserError

SAMPLERS = ("ddim", "fast")

# What the network was trained with, and how DDIM walks along that. Everything else in a scheduler file (Karras sigmas,
# clipping, solver types) belongs to the sampler it names, not to the model.
_TRAINING = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
_DDIM = ("timestep_spacing", "steps_offset", "set_alpha_to_one")


def make_scheduler(config_or_folder: Mapping[str, Any] | Path | str, sampler: str = "ddim") -> SchedulerMixin:
    """Build the scheduler that `denoise` steps with.

    Args:
        config_or_folder: the contents of a `scheduler_config.json`, its folder, or the model folder above that. The
            class named there (PNDM, Euler, DDPM, ...) does not matter; its noise schedule does.
        sampler: "ddim", the paper's (eta 0, deterministic; 50 steps); or "fast", the second-order multistep solver
            DPM-Solver++(2M), which needs about 20.

    Raises:
        UserError: an unknown sampler; no readable scheduler file; a file without a noise schedule (flow matching).
    """
    config = config_or_folder if isinstance(config_or_folder, Mapping) else _read(Path(config_or_folder))
    if "beta_schedule" not in config and not config.get("trained_betas"):
        name = config.get("_class_name", "this scheduler")
        raise UserError(f"The model's {name} has no noise schedule (beta_schedule); such models are not supported.")
    training = {key: config[key] for key in _TRAINING if key in config}
    if sampler == "ddim":
        # Latents are not bounded, so a predicted one is never clipped, though DDIM's own default is to.
        return DDIMScheduler(**training, **{key: config[key] for key in _DDIM if key in config}, clip_sample=False)
    if sampler == "fast":
        return FastScheduler(**training, algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero")
    raise UserError(f"There is no sampler called {sampler!r}; choose one of: {', '.join(SAMPLERS)}.")


def set_timesteps(scheduler: SchedulerMixin, steps: int, start: int | None = None) -> None:
    """Prepare a run of `steps` steps or, where it begins at the trained timestep `start`, of the part of them below.

    Such a part keeps the pace of the whole: DDIM's even distance, the fast sampler's in log-SNR.

    Raises:
        ValueError: a start for a scheduler that is neither, or beyond its timesteps.
    """
    if start is None:
        scheduler.set_timesteps(steps)
        return
    trained = scheduler.config.num_train_timesteps
    if not 0 <= start < trained:
        raise ValueError(f"the start must be a timestep from 0 to {trained - 1}, got {start}")
    if isinstance(scheduler, FastScheduler):
        scheduler.set_timesteps(steps, start=start)
    elif isinstance(scheduler, DDIMScheduler):
        scheduler.set_timesteps(steps)
        scheduler.timesteps = torch.arange(start, -1, -(trained // steps))
    else:
        raise ValueError(f"{type(scheduler).__name__} cannot begin at a timestep; ddim and fast can")


class FastScheduler(DPMSolverMultistepScheduler):
    """DPM-Solver++(2M) at timesteps evenly spaced in log-SNR (Lu et al. 2022), from the last one trained down to 0.

    diffusers' own spacings either end with a jump from 24 % noise to none (20 steps), which smooths details away; or
    ask for noise levels between the trained timesteps; or, with zero terminal SNR, spend most steps on pure noise.
    """

    MAX_SIGMA = 20.0  # noise over signal; beyond, a sample says next to nothing and one step is enough

    def set_timesteps(
        self, num_inference_steps: int, device: torch.device | str | None = None, *, start: int | None = None
    ) -> None:
        """Choose different trained timesteps, highest first: `num_inference_steps` of them from the last one trained
        or, from `start`, as many as keep their pace."""
        log_sigma = ((1 - self.alphas_cumprod) / self.alphas_cumprod).double().log().numpy() / 2  # rises with t
        last = len(log_sigma) - 1
        start = last if start is None else start
        whole, highest = (min(log_sigma[t], np.log(self.MAX_SIGMA)) for t in (last, start))
        share = (highest - log_sigma[0]) / (whole - log_sigma[0])
        steps = min(max(round(share * num_inference_steps), 1), start + 1)
        wanted = np.linspace(highest, log_sigma[0], steps)
        timesteps = np.interp(wanted, log_sigma, np.arange(last + 1)).round().astype(int)
        timesteps[0] = start
        # Where rounding made neighbours equal the later one moves down; at the low end, the earlier one up.
        rank = np.arange(steps)
        timesteps = np.minimum(timesteps, start - rank)
        timesteps = np.maximum.accumulate((timesteps + rank)[::-1])[::-1] - rank
        super().set_timesteps(timesteps=timesteps.tolist(), device=device)


def _read(folder: Path) -> dict[str, Any]:
    for file in (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"):
        if file.is_file():
            try:
                return json.loads(file.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(f"{file} is not valid JSON: {error}.") from error
    raise UserError(f"There is no scheduler/scheduler_config.json in {folder}.")
