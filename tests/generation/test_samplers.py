"""Schedulers from a model folder's own file."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, PNDMScheduler
from safetensors.torch import load_file

from huvidpo_core.errors import UserError
from huvidpo_core.generation.samplers import make_scheduler
from tests.generation.stand_ins import SD_SCHEDULE
from tests.reference import REFERENCE, needs_reference

ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


@needs_reference
@pytest.mark.parametrize("folder", ["model", "model/scheduler"])
def test_a_published_model_folder_gives_the_published_timesteps(folder: str):
    """From the file that names PNDM comes DDIM with Stable Diffusion 1.4's settings."""
    scheduler = make_scheduler(REFERENCE / folder)
    scheduler.set_timesteps(50)
    known = load_file(REFERENCE / "sampling_steps50.safetensors")["timesteps"]
    assert isinstance(scheduler, DDIMScheduler)
    assert torch.equal(scheduler.timesteps, known)
    assert scheduler.final_alpha_cumprod == scheduler.alphas_cumprod[0]
    assert not scheduler.config.clip_sample


@pytest.mark.parametrize("source", [PNDMScheduler, EulerDiscreteScheduler, DDIMScheduler])
@pytest.mark.parametrize("sampler", ["ddim", "fast"])
def test_the_noise_schedule_is_kept_whatever_class_the_file_names(tmp_path: Path, source: type, sampler: str):
    """PNDM's, Euler's and DDIM's own saved files lead to the same noise levels; nothing is ever clipped."""
    source.from_config(SD_SCHEDULE).save_pretrained(tmp_path)
    scheduler = make_scheduler(tmp_path, sampler)
    torch.testing.assert_close(scheduler.alphas_cumprod, PNDMScheduler.from_config(SD_SCHEDULE).alphas_cumprod)
    assert not scheduler.config.get("clip_sample", False)
    assert not scheduler.config.thresholding


@pytest.mark.parametrize("changes", [{}, ZERO_SNR, {"beta_schedule": "squaredcos_cap_v2"}])
@pytest.mark.parametrize("steps", [1, 2, 8, 50, 500])
def test_fast_goes_from_full_noise_to_none(changes: dict[str, object], steps: int):
    """Its timesteps are trained ones, none twice, from the last down to 0; from there it steps to no noise at all."""
    scheduler = make_scheduler(SD_SCHEDULE | changes, "fast")
    assert isinstance(scheduler, DPMSolverMultistepScheduler)
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps.tolist()
    assert len(set(timesteps)) == steps
    assert timesteps == sorted(timesteps, reverse=True)
    assert timesteps[0] == 999
    assert timesteps[-1] == 0 or steps == 1
    assert scheduler.sigmas[-1] == 0


def test_fast_is_even_in_log_snr():
    """Where there is room between the timesteps, each step lowers the log-SNR by the same amount."""
    scheduler = make_scheduler(SD_SCHEDULE, "fast")
    scheduler.set_timesteps(12)
    gaps = scheduler.sigmas[:9].log().diff()
    assert (gaps / gaps.mean() - 1).abs().max() < 0.06


def test_a_zero_terminal_snr_model_keeps_its_spacing():
    """What such a model was trained for (pure noise at the last timestep, velocity) reaches both samplers."""
    for sampler in ("ddim", "fast"):
        scheduler = make_scheduler(SD_SCHEDULE | ZERO_SNR, sampler)
        scheduler.set_timesteps(25)
        assert scheduler.timesteps[0] == 999
        assert scheduler.alphas_cumprod[-1] < 1e-6
        assert scheduler.config.prediction_type == "v_prediction"


def test_what_cannot_be_used_is_said(tmp_path: Path):
    """An unknown sampler, a missing or broken file and a flow-matching model each get a sentence of their own."""
    with pytest.raises(UserError, match=r"'euler'.*ddim, fast"):
        make_scheduler(SD_SCHEDULE, "euler")
    with pytest.raises(UserError, match="no scheduler"):
        make_scheduler(tmp_path)
    with pytest.raises(UserError, match="FlowMatch"):
        make_scheduler({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0})
    file = tmp_path / "scheduler_config.json"
    file.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        make_scheduler(tmp_path)
    file.write_text(json.dumps(SD_SCHEDULE))
    assert make_scheduler(str(tmp_path)).config.num_train_timesteps == 1000
