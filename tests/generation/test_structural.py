"""Structural pairs: the matched noise level against two published schedules, and runs that begin at a noised clip."""

import numpy as np
import pytest
import torch
from diffusers import PNDMScheduler
from torch import Tensor

from huvidpo_core.generation.denoise import denoise
from huvidpo_core.generation.samplers import make_scheduler
from huvidpo_core.generation.structural import draw_eta, matching_timestep
from tests.generation.stand_ins import SD_SCHEDULE, StandIn, smooth_rule

ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
START = 541


@pytest.fixture
def clip(inputs: dict[str, Tensor]) -> Tensor:
    """Clean latents that begin with the first frame."""
    later = torch.randn(inputs["noise"][:, :, 1:].shape, generator=torch.Generator().manual_seed(8))
    return torch.cat([inputs["first_frame"], later], dim=2)


@pytest.mark.parametrize(
    ("schedule", "known"),
    [("scaled_linear", {0.65: 541, 0.75: 673, 0.8: 744}), ("linear", {0.65: 446, 0.75: 569, 0.8: 639})],
)
@pytest.mark.parametrize("sampler", ["ddim", "fast"])
def test_the_levels_of_two_known_schedules(schedule: str, known: dict[float, int], sampler: str):
    """Stable Diffusion's and AnimateDiff's: the table of preference-learning.md, not eta x 1000."""
    scheduler = make_scheduler(SD_SCHEDULE | {"beta_schedule": schedule}, sampler)
    assert {eta: matching_timestep(scheduler, eta) for eta in known} == known


def test_the_level_of_a_zero_terminal_snr_schedule():
    """The miniature's: sqrt(abar) shifted and scaled to end at 0 (Lin et al. 2024), then searched by hand."""
    root = np.sqrt(np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    snr = root**2 / (1 - root**2)
    for eta in (0.3, 0.65, 0.7, 0.8, 0.99):
        wanted = ((1 - eta) / eta) ** 2
        by_hand = min(range(999), key=lambda t: abs(np.log(snr[t] / wanted)))
        assert abs(matching_timestep(make_scheduler(SD_SCHEDULE | ZERO_SNR), eta) - by_hand) <= 1


def test_the_ends_of_the_range():
    """Clean is timestep 0, pure noise the last one, and there is nothing beyond."""
    scheduler = make_scheduler(SD_SCHEDULE | ZERO_SNR)
    assert (matching_timestep(scheduler, 0), matching_timestep(scheduler, 1)) == (0, 999)
    for eta in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            matching_timestep(scheduler, eta)


def test_levels_are_drawn_from_the_papers_range():
    """0.65 to 0.8, all of it, and the same again for the same seed."""
    drawn = [draw_eta(seed) for seed in range(500)]
    assert 0.65 <= min(drawn) < 0.66 and 0.79 < max(drawn) <= 0.8
    assert drawn == [draw_eta(seed) for seed in range(500)]


@pytest.mark.parametrize("sampler", ["ddim", "fast"])
def test_the_clip_is_noised_to_the_level_and_frame_0_is_not(inputs: dict[str, Tensor], clip: Tensor, sampler: str):
    """What the network sees first: sqrt(abar) x + sqrt(1 - abar) eps, eps correlated as always; frame 0 is clean."""
    network = StandIn(smooth_rule)
    scheduler = make_scheduler(SD_SCHEDULE, sampler)
    next(denoise(network, scheduler, **inputs, guidance=None, steps=10, start_from=clip, start_at=START))
    abar = float(np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)[START])
    noise = 0.2 * inputs["noise"][:, :, :1] + 0.8 * inputs["noise"]
    (call,) = network.calls
    assert call.timestep == START
    torch.testing.assert_close(call.sample[:, :, 1:], (abar**0.5 * clip + (1 - abar) ** 0.5 * noise)[:, :, 1:])
    assert torch.equal(call.sample[:, :, :1], inputs["first_frame"])


@pytest.mark.parametrize("sampler", ["ddim", "fast"])
def test_at_hardly_any_noise_the_clip_comes_back(inputs: dict[str, Tensor], clip: Tensor, sampler: str):
    """Whatever the network says: at timestep 0 the result is the clip but for its 3 % of noise, at 999 it is not."""

    def distance(start: int) -> float:
        run = denoise(StandIn(smooth_rule), make_scheduler(SD_SCHEDULE, sampler), **inputs, guidance=None, steps=10,
                      adain=False, start_from=clip, start_at=start)  # fmt: skip
        *_, last = run
        return (last.latents - clip).square().mean().sqrt().item()

    assert distance(0) < 0.05
    assert distance(0) < distance(START) / 5 < distance(999)


@pytest.mark.parametrize("sampler", ["ddim", "fast"])
def test_what_the_noise_left_is_followed(inputs: dict[str, Tensor], clip: Tensor, sampler: str):
    """A network that knows the clip leads every seed back to it from the middle of the schedule."""
    scheduler = make_scheduler(SD_SCHEDULE | ZERO_SNR | {"set_alpha_to_one": True}, sampler)

    def oracle(sample: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        abar = scheduler.alphas_cumprod[timestep]
        eps = (sample - abar.sqrt() * clip) / (1 - abar).sqrt()
        return abar.sqrt() * eps - (1 - abar).sqrt() * clip

    for sign in (1, -1):
        other = inputs | {"noise": sign * inputs["noise"]}
        *_, last = denoise(StandIn(oracle), scheduler, **other, guidance=None, steps=25, adain=False,
                           start_from=clip, start_at=START)  # fmt: skip
        torch.testing.assert_close(last.latents, clip, atol=2e-3, rtol=0)


def test_such_a_run_is_the_last_part_of_a_whole_one(inputs: dict[str, Tensor]):
    """Begun with the very latents that a whole run has on its way: the same to its end, guidance and AdaIN too."""
    scheduler = make_scheduler(SD_SCHEDULE | ZERO_SNR)
    settings = {"guidance": 3.0, "steps": 50, "shared_noise": 0.0, "guidance_until": 0.6}
    whole = list(denoise(StandIn(smooth_rule), scheduler, **inputs, **settings))
    start, reached = whole[20].timestep, whole[19].latents
    noise = reached / (1 - scheduler.alphas_cumprod[start]).sqrt()
    network = StandIn(smooth_rule)
    part = list(
        denoise(
            network,
            scheduler,
            **inputs | {"noise": noise},
            **settings,
            start_from=torch.zeros_like(noise),
            start_at=start,
        )
    )
    assert [step.timestep for step in part] == [step.timestep for step in whole[20:]]
    assert {step.total for step in part} == {30}
    assert [len(call.text) for call in network.calls] == [4] * 10 + [2] * 20
    for ours, theirs in zip(part, whole[20:], strict=True):
        torch.testing.assert_close(ours.latents, theirs.latents, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("changes", [{}, ZERO_SNR])
@pytest.mark.parametrize("start", [0, 1, 7, START, 999])
@pytest.mark.parametrize("steps", [1, 4, 50])
def test_fast_keeps_the_pace_from_any_start(changes: dict[str, object], start: int, steps: int):
    """Trained timesteps from the start down to 0, none twice; from the last one, all steps of a whole run."""
    scheduler = make_scheduler(SD_SCHEDULE | changes, "fast")
    scheduler.set_timesteps(steps)
    whole = scheduler.timesteps.tolist()
    scheduler.set_timesteps(steps, start=start)
    timesteps = scheduler.timesteps.tolist()
    assert timesteps[0] == start and min(timesteps) >= 0
    assert timesteps == sorted(set(timesteps), reverse=True)
    assert 1 <= len(timesteps) <= min(steps, start + 1)
    assert start != 999 or timesteps == whole


@pytest.mark.parametrize("sampler", ["ddim", "fast"])
def test_the_noise_alone_decides(inputs: dict[str, Tensor], clip: Tensor, sampler: str):
    """Bit for bit the same again; another noise gives another clip."""

    def end(noise: Tensor) -> Tensor:
        *_, last = denoise(StandIn(smooth_rule), make_scheduler(SD_SCHEDULE, sampler), **inputs | {"noise": noise},
                           guidance=2.0, steps=8, start_from=clip, start_at=START)  # fmt: skip
        return last.latents

    assert torch.equal(end(inputs["noise"]), end(inputs["noise"]))
    assert not torch.equal(end(inputs["noise"]), end(-inputs["noise"]))


def test_a_start_that_does_not_fit_is_refused_at_once(inputs: dict[str, Tensor], clip: Tensor):
    """One without the other, another shape, a timestep beyond the schedule, a scheduler that cannot."""

    def run(scheduler: object = None, **start: object) -> object:
        return denoise(StandIn(smooth_rule), scheduler or make_scheduler(SD_SCHEDULE), **inputs, guidance=2.0, steps=4,
                       **start)  # fmt: skip

    for start in ({"start_from": clip}, {"start_at": 5}, {"start_from": clip[:, :, :3], "start_at": 5}):
        with pytest.raises(ValueError, match=r"start_from must be \(2, 4, 5, 5, 6\)"):
            run(**start)
    with pytest.raises(ValueError, match="from 0 to 999, got 1000"):
        run(start_from=clip, start_at=1000)
    with pytest.raises(ValueError, match="PNDMScheduler cannot begin"):
        run(PNDMScheduler.from_config(SD_SCHEDULE), start_from=clip, start_at=5)
