"""Stage 1 against the published script's recorded steps."""

import json

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file

from huvidpo_core.models import VideoUNet, motion_parameters
from huvidpo_core.training.motion import motion_loss, residual, target
from tests.reference import reference

PUBLISHED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.fixture(scope="module")
def recorded():
    return load_file(reference("stage1.safetensors"))


def test_loss_and_gradients_are_the_published_ones(recorded):
    """On the recorded latents, noise and timestep the loss agrees to 1e-5 and every recorded gradient to 1e-3."""
    manifest = json.loads(reference("manifest.json").read_text())["files"]["stage1.safetensors"]
    unet = VideoUNet.from_official(reference("model/unet"))
    parameters = motion_parameters(unet)
    step = {name.removeprefix("step0."): value for name, value in recorded.items() if name.startswith("step0.")}
    loss = motion_loss(
        unet,
        DDPMScheduler(**PUBLISHED),
        step["latents"],
        step["encoder_hidden_states"],
        step["noise"],
        step["timesteps"],
    )
    assert loss.item() == pytest.approx(manifest["steps"][0]["loss"], abs=1e-5)
    loss.backward()
    gradients = {name.removeprefix("grad_step0."): g for name, g in recorded.items() if name.startswith("grad_step0.")}
    assert gradients
    for name, gradient in gradients.items():
        torch.testing.assert_close(parameters[name].grad, gradient, atol=1e-6, rtol=1e-3, msg=name)


def test_frame_0_is_given_clean_and_left_out(recorded):
    """A network that returns its input shows what it was given: frame 0 without noise, whatever frame 0's noise is."""

    class Echo(torch.nn.Module):
        def forward(self, sample, timestep, encoder_hidden_states):
            self.seen = sample
            return type("Output", (), {"sample": torch.zeros_like(sample)})

    latents, noise = torch.randn(2, 4, 5, 3, 3), torch.randn(2, 4, 5, 3, 3)
    echo, timestep = Echo(), torch.tensor([10, 900])
    arguments = (echo, DDPMScheduler(**PUBLISHED), latents, torch.zeros(2, 1, 1))
    error = residual(*arguments, noise, timestep).square().mean((1, 3, 4))
    assert torch.equal(echo.seen[:, :, 0], latents[:, :, 0])
    by_hand = (noise**2).mean((1, 3, 4))
    torch.testing.assert_close(error, by_hand)
    other = noise.clone()
    other[:, :, 0] += 5
    assert torch.equal(motion_loss(*arguments, noise, timestep), motion_loss(*arguments, other, timestep))


def test_an_error_that_changes_costs_more_than_one_that_stays():
    """A network that is off by 1 everywhere costs as much with the steady term as without; one that is off by 1 and -1
    in turn costs four times the weight more; of two frames only one is predicted, and nothing can change."""

    class Off(torch.nn.Module):
        def __init__(self, signs):
            super().__init__()
            self.signs = torch.tensor(signs).view(1, 1, -1, 1, 1)

        def forward(self, sample, timestep, encoder_hidden_states):
            return type("Output", (), {"sample": noise[:, :, : sample.shape[2]] + self.signs})

    latents, noise = torch.zeros(1, 2, 5, 3, 3), torch.randn(1, 2, 5, 3, 3)

    def cost(signs, steady):
        clip = latents[:, :, : len(signs)], torch.zeros(1, 1, 1), noise[:, :, : len(signs)], torch.tensor([500])
        return motion_loss(Off(signs), DDPMScheduler(**PUBLISHED), *clip, steady=steady).item()

    for signs, more in (([9.0, 1, 1, 1, 1], 0), ([9.0, 1, -1, 1, -1], 0.5 * 4), ([9.0, 1], 0)):
        assert cost(signs, 0.0) == pytest.approx(1) and cost(signs, 0.5) == pytest.approx(1 + more)


def test_the_velocity_target_recovers_the_clean_latent():
    """With velocity prediction x0 = a x_t - s v for any noise, also one of smaller variance (Salimans & Ho 2022)."""
    scheduler = DDPMScheduler(**PUBLISHED, prediction_type="v_prediction", rescale_betas_zero_snr=True)
    latents, noise = torch.randn(3, 4, 2, 3, 3), 0.8 * torch.randn(3, 4, 2, 3, 3)
    timestep = torch.tensor([0, 500, 999])
    velocity = target(scheduler, latents, noise, timestep)
    noisy = scheduler.add_noise(latents, noise, timestep)
    level = scheduler.alphas_cumprod[timestep].view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(level.sqrt() * noisy - (1 - level).sqrt() * velocity, latents, atol=1e-5, rtol=1e-5)
