"""The denoising loop, against the published sampler's record, a plain loop, and equations with a known solution."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler
from safetensors.torch import load_file
from torch import Tensor

from huvidpo_core.generation.denoise import denoise
from huvidpo_core.generation.latents import adain
from huvidpo_core.generation.samplers import make_scheduler
from huvidpo_core.models import VideoUNet
from tests.generation.stand_ins import SD_SCHEDULE, StandIn, smooth_rule
from tests.reference import reference


@pytest.fixture(scope="module")
def unet() -> VideoUNet:
    return VideoUNet.from_official(reference("model/unet")).eval()


@pytest.mark.parametrize(
    ("run", "guidance"),
    [
        ("steps10_negative", 7.5),
        ("steps10", 12.5),
        ("steps10_nocfg", 1.0),
        pytest.param("steps50", 12.5, marks=pytest.mark.slow),
    ],
)
def test_the_published_sampler_is_reproduced(
    unet: VideoUNet, monkeypatch: pytest.MonkeyPatch, run: str, guidance: float
):
    """Every recorded step, before and after AdaIN, and the final latents agree within the record's tolerances.

    The published code starts the late phase at step 31 of any number of steps, so the 10-step runs never reach it.
    """
    known = load_file(reference(f"sampling_{run}.safetensors"))
    before_adain = []
    step = DDIMScheduler.step

    def spy(*args: object, **kwargs: object) -> object:
        result = step(*args, **kwargs)
        before_adain.append(result.prev_sample)
        return result

    monkeypatch.setattr(DDIMScheduler, "step", spy)
    *negative, positive = known["text_embeddings"].split(1)
    steps = list(
        denoise(
            unet,
            make_scheduler(SD_SCHEDULE, "ddim"),
            first_frame=known["first_frame_latent"],
            noise=known["noise"],
            text=positive,
            negative_text=negative[0] if negative else None,
            guidance=guidance,
            steps=len(known["timesteps"]),
            adain_late_from=31,
        )
    )
    assert [s.timestep for s in steps] == known["timesteps"].tolist()
    torch.testing.assert_close(steps[-1].latents, known["final_latents"], atol=1e-4, rtol=0)
    last = len(steps) - 1
    for name, expected in known.items():
        index = int(name[4:6]) if name.startswith("step") else None
        allowed = 1e-3 * expected.std().item() if expected.is_floating_point() else 0
        if name.endswith("after_scheduler"):
            torch.testing.assert_close(before_adain[index], expected[:, :, 1:], atol=allowed, rtol=0)
        elif name.endswith("after_adain") and index < last:  # our last step has the closing AdaIN behind it, too
            torch.testing.assert_close(steps[index].latents, expected, atol=allowed, rtol=0)


def plain_loop(
    rule: StandIn, inputs: dict[str, Tensor], guidance: float, steps: int, late_from: int
) -> list[np.ndarray]:
    """The method's section 4 for one clip at a time, frame by frame, in float64; returns the latents of each step."""
    abar = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    history = []
    for i in range(steps):
        t = 1000 // steps * (steps - 1 - i) + 1
        now = abar[t]
        after = abar[t - 1000 // steps] if t >= 1000 // steps else abar[0]
        history.append([])
        for clip in range(len(inputs["noise"])):
            first, noise, text, negative = (inputs[k][clip : clip + 1].double() for k in inputs)
            if i == 0:
                x = noise.clone()
                for f in range(1, x.shape[2]):
                    x[:, :, f] = 0.2 * noise[:, :, 0] + 0.8 * noise[:, :, f]
                x[:, :, 0] = first[:, :, 0]
            else:
                x = history[i - 1][clip].clone()
            with_text, without = (rule(x, torch.tensor(t), words).sample for words in (text, negative))
            eps = without + guidance * (with_text - without)
            for f in range(1, x.shape[2]):
                clean = (x[:, :, f] - (1 - now) ** 0.5 * eps[:, :, f]) / now**0.5
                x[:, :, f] = after**0.5 * clean + (1 - after) ** 0.5 * eps[:, :, f]
            if i >= late_from:
                x[:, :, 1] = adain(x[:, :, 1], x[:, :, 0])
            for f in range(2, x.shape[2]):
                x[:, :, f] = adain(x[:, :, f], x[:, :, 1])
            if i == steps - 1:
                for f in range(1, x.shape[2]):
                    x[:, :, f] = adain(x[:, :, f], x[:, :, 0])
            history[i].append(x)
    return [torch.cat(clips) for clips in history]


@pytest.mark.parametrize(("steps", "late_from"), [(50, 31), (10, 7), (5, 4), (1, 1)])
def test_the_loop_equals_a_plain_one(inputs: dict[str, Tensor], steps: int, late_from: int):
    """For two clips with texts of their own, at every step; the late phase begins at 31 of 50 steps, or in proportion.

    In float64, so that only the arithmetic is compared and not how rounding grows.
    """
    network = StandIn(smooth_rule)
    wide = {name: value.double() for name, value in inputs.items()}
    ours = list(denoise(network, make_scheduler(SD_SCHEDULE), **wide, guidance=3.0, steps=steps))
    expected = plain_loop(StandIn(smooth_rule), inputs, 3.0, steps, late_from)
    assert [s.index for s in ours] == list(range(steps))
    assert {s.total for s in ours} == {steps}
    for step, latents in zip(ours, expected, strict=True):
        torch.testing.assert_close(step.latents, latents, atol=1e-3, rtol=1e-3)  # the schedule itself is float32


@pytest.mark.parametrize("sampler", ["ddim", "fast"])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("zero_snr", [False, True])
def test_a_network_that_knows_the_answer_is_believed(
    inputs: dict[str, Tensor], sampler: str, kind: str, zero_snr: bool
):
    """Fed the true noise, velocity or picture, `denoised` is the clean clip at every step and the last step arrives."""
    if zero_snr and kind == "epsilon":
        pytest.skip("pure noise says nothing about the picture: epsilon is undefined there")
    settings = {"prediction_type": kind, "timestep_spacing": "trailing" if zero_snr else "leading"}
    scheduler = make_scheduler(SD_SCHEDULE | settings | {"rescale_betas_zero_snr": zero_snr}, sampler)
    clean = torch.randn(inputs["noise"].shape, generator=torch.Generator().manual_seed(9))
    clean[:, :, :1] = inputs["first_frame"]

    def oracle(sample: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        abar = scheduler.alphas_cumprod[timestep].double()
        eps = (sample.double() - abar.sqrt() * clean) / (1 - abar).sqrt()
        velocity = abar.sqrt() * eps - (1 - abar).sqrt() * clean
        return {"epsilon": eps, "v_prediction": velocity, "sample": clean}[kind].to(sample.dtype)

    steps = list(denoise(StandIn(oracle), scheduler, **inputs, guidance=None, steps=10, adain=False))
    for step in steps:
        torch.testing.assert_close(step.denoised, clean, atol=2e-3, rtol=0)
    # DDIM as Stable Diffusion sets it up stops at the first noise level (3 % noise), not at none
    torch.testing.assert_close(steps[-1].latents, clean, atol=1e-3 if sampler == "fast" else 0.2, rtol=0)


def test_fast_is_nearer_to_the_solution_at_a_quarter_of_the_cost(inputs: dict[str, Tensor]):
    """For Gaussian data the exact end of the path is known; 12 fast steps come nearer to it than 50 of DDIM."""
    spread = 0.5  # standard deviation of the data

    def exact_epsilon(sample: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        abar = make_scheduler(SD_SCHEDULE).alphas_cumprod[timestep]
        return sample * (1 - abar).sqrt() / (abar * spread**2 + 1 - abar)

    def error(sampler: str, count: int) -> float:
        scheduler = make_scheduler(SD_SCHEDULE, sampler)
        steps = list(denoise(StandIn(exact_epsilon), scheduler, **inputs, guidance=None, steps=count, adain=False))
        abar = float(scheduler.alphas_cumprod[steps[0].timestep])
        start = 0.2 * inputs["noise"][:, :, :1] + 0.8 * inputs["noise"][:, :, 1:]
        solution = start * spread / (abar * spread**2 + 1 - abar) ** 0.5
        return (steps[-1].latents[:, :, 1:] - solution).abs().mean().item()

    assert error("fast", 12) < error("ddim", 50)
    assert error("fast", 20) < error("ddim", 20) / 5


def test_the_first_frame_stays(inputs: dict[str, Tensor]):
    """Frame 0 is the first frame, bit for bit, in what the network sees, in every step, and in every preview."""
    network = StandIn(smooth_rule)
    for step in denoise(network, make_scheduler(SD_SCHEDULE), **inputs, guidance=2.0, steps=4):
        assert torch.equal(step.latents[:, :, :1], inputs["first_frame"])
        assert torch.equal(step.denoised[:, :, :1], inputs["first_frame"])
    for call in network.calls:
        assert torch.equal(call.sample[:, :, :1], inputs["first_frame"].repeat(2, 1, 1, 1, 1))


def test_guidance_costs_double_only_where_it_acts(inputs: dict[str, Tensor]):
    """Guided steps take one call with both texts, the negative first; without guidance a call has the prompt alone."""

    def texts(**change: object) -> list[Tensor]:
        network = StandIn(smooth_rule)
        settings = {**inputs, "guidance": 5.0, "steps": 4} | change
        list(denoise(network, make_scheduler(SD_SCHEDULE), **settings))
        return [call.text for call in network.calls]

    both = torch.cat([inputs["negative_text"], inputs["text"]])
    assert all(torch.equal(text, both) for text in texts())
    for off in ({"guidance": 1.0}, {"guidance": None}, {"negative_text": None}, {"guidance_until": 0.0}):
        assert all(torch.equal(text, inputs["text"]) for text in texts(**off))
    assert [len(text) for text in texts(guidance_until=0.5)] == [4, 4, 2, 2]
    assert [len(text) for text in texts(guidance_until=0.125)] == [4, 2, 2, 2]  # half a step is one
    one_by_one = [inputs["negative_text"], inputs["text"]] * 4
    assert all(torch.equal(*pair) for pair in zip(texts(both_guided=False), one_by_one, strict=True))


def test_guidance_in_two_passes_gives_the_same_clip(unet: VideoUNet):
    """On the reference's network, to rounding; it is never given more than one clip."""
    draw = torch.Generator().manual_seed(3)
    noise, texts = torch.randn(1, 4, 3, 8, 8, generator=draw), torch.randn(2, 1, 7, 32, generator=draw)
    sizes = []
    hook = unet.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))

    def clip(together: bool) -> Tensor:
        *_, last = denoise(
            unet, make_scheduler(SD_SCHEDULE), first_frame=noise[:, :, :1] / 2, noise=noise, text=texts[0],
            negative_text=texts[1], guidance=5.0, steps=3, both_guided=together,
        )  # fmt: skip
        return last.latents

    torch.testing.assert_close(clip(False), clip(True), atol=1e-5, rtol=1e-5)
    hook.remove()
    assert sizes == [1] * 6 + [2] * 3


@pytest.mark.parametrize("sampler", ["ddim", "fast"])
def test_runs_are_repeatable_and_strangers_to_each_other(inputs: dict[str, Tensor], sampler: str):
    """Bit for bit the same again: after a run that was stopped half-way, and beside another on the same scheduler."""
    scheduler = make_scheduler(SD_SCHEDULE, sampler)

    def run(noise_sign: int = 1) -> object:
        noise = noise_sign * inputs["noise"]
        return denoise(StandIn(smooth_rule), scheduler, **{**inputs, "noise": noise}, guidance=4.0, steps=6)

    expected = [step.latents for step in run()]
    stopped = run()
    next(stopped), next(stopped)
    stopped.close()
    assert all(torch.equal(a.latents, b) for a, b in zip(run(), expected, strict=True))
    for step, _, latents in zip(run(), run(-1), expected, strict=True):
        assert torch.equal(step.latents, latents)


def test_the_loop_leaves_gradients_to_its_caller(inputs: dict[str, Tensor]):
    """The network runs without gradients though it has parameters; between the steps the caller's mode is untouched."""
    weight = torch.nn.Parameter(torch.ones(()))
    network = StandIn(lambda sample, timestep, text: sample * weight)
    for step in denoise(network, make_scheduler(SD_SCHEDULE), **inputs, guidance=2.0, steps=3):
        assert torch.is_grad_enabled()
        assert not step.latents.requires_grad
        (step.latents.sum() * weight).backward()  # ordinary tensors: fit for training, unlike inference_mode's
    assert not any(call.grad for call in network.calls)


def test_a_half_precision_network_gets_half_precision(inputs: dict[str, Tensor]):
    """The network runs in the text's precision; the latents keep the noise's."""
    network = StandIn(smooth_rule)
    half = {name: inputs[name].bfloat16() for name in ("text", "negative_text", "first_frame")}
    *_, last = denoise(network, make_scheduler(SD_SCHEDULE), **inputs | half, guidance=2.0, steps=3)
    assert {call.sample.dtype for call in network.calls} == {torch.bfloat16}
    assert last.latents.dtype == torch.float32
    assert last.latents.isfinite().all()


def test_two_frames_are_enough(inputs: dict[str, Tensor]):
    """The shortest clip has a frame 1 and none after it."""
    inputs["noise"] = inputs["noise"][:, :, :2]
    *_, last = denoise(StandIn(smooth_rule), make_scheduler(SD_SCHEDULE), **inputs, guidance=2.0, steps=4)
    assert last.latents.shape == (2, 4, 2, 5, 6)
    assert last.latents.isfinite().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"noise": torch.zeros(2, 4, 1, 5, 6)}, "at least 2 frames"),
        ({"noise": torch.zeros(2, 4, 5, 8, 8)}, r"first_frame must be \(2, 4, 1, 8, 8\)"),
        ({"text": torch.zeros(1, 7, 8)}, r"text must be \(2, l, d\)"),
        ({"negative_text": torch.zeros(2, 9, 8)}, "negative_text"),
        ({"steps": 0}, "between 1 and 500, got 0"),
        ({"steps": 501}, "between 1 and 500, got 501"),
        ({"shared_noise": -0.1}, "-0.1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_at_once(inputs: dict[str, Tensor], change: dict[str, object], said: str):
    """The error comes with the call, not with the first step, and names the value."""
    with pytest.raises(ValueError, match=said):
        denoise(StandIn(smooth_rule), make_scheduler(SD_SCHEDULE), **{"guidance": 2.0, "steps": 4, **inputs, **change})


def test_other_diffusers_schedulers(inputs: dict[str, Tensor]):
    """PNDM, which takes more steps than asked for, counts and finishes; Euler, which rescales its input, is refused."""
    pndm = PNDMScheduler.from_config(SD_SCHEDULE)
    steps = list(denoise(StandIn(smooth_rule), pndm, **inputs, guidance=None, steps=10))
    assert [step.index for step in steps] == list(range(steps[0].total))
    euler = EulerDiscreteScheduler.from_config(SD_SCHEDULE)
    with pytest.raises(ValueError, match="EulerDiscreteScheduler rescales"):
        denoise(StandIn(smooth_rule), euler, **inputs, guidance=None, steps=10)
