"""Memory plans: which one is chosen, what it is expected to need, and that it changes no picture."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from huvidpo_core.config import load_profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation.footprint import LIBRARIES, WASTE, footprint
from huvidpo_core.generation.plans import Plan, choose_plan, find_device, load_plans, smaller
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.architectures import SD14, SD14_TEXT, SDXL, SDXL_TEXT, VAE

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
FULL, MINIATURE = load_profile("full"), load_profile("miniature")
PLANS = {plan.name: plan for plan in load_plans()}


def gpu(monkeypatch, gigabytes: float) -> None:
    properties = SimpleNamespace(total_memory=gigabytes * 1e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)


@pytest.mark.parametrize(
    ("gigabytes", "chosen"), [(8.4, "8"), (11.9, "12"), (16.9, "16"), (22, "16"), (25.4, "24"), (51, "48"), (150, "48")]
)
def test_the_largest_plan_that_fits_is_chosen(monkeypatch, gigabytes, chosen):
    """By what cards of 8, 12, 16, 24, 48 and more GB report; the miniature needs no plan."""
    gpu(monkeypatch, gigabytes)
    assert choose_plan(FULL, CUDA).name == chosen
    assert choose_plan(MINIATURE, CUDA) == Plan()


def test_a_machine_that_cannot_is_refused_with_a_reason(monkeypatch):
    """Too small a GPU, and none: a sentence with what to do, which then works; the miniature runs anywhere."""
    gpu(monkeypatch, 6)
    with pytest.raises(UserError, match=r"7\.5 GB of GPU memory at least, and cuda has 6\.0\. .* --plan 8"):
        choose_plan(FULL, CUDA)
    assert choose_plan(FULL, CUDA, "8").name == "8"
    with pytest.raises(UserError, match=r"needs a GPU .* miniature, or insist with --device cpu"):
        choose_plan(FULL, CPU)
    assert choose_plan(FULL, CPU, forced=True) == choose_plan(MINIATURE, CPU) == Plan()
    with pytest.raises(UserError, match=r"no memory plan '7'. Choose one of: 8, 12, 16, 24, 48"):
        choose_plan(FULL, CUDA, "7")


def test_the_next_smaller_plan():
    """Down to the smallest; a machine without a plan has none below."""
    assert [each and each.name for each in map(smaller, PLANS.values())] == [None, "8", "12", "16", "24"]
    assert smaller(Plan()) is None


def test_weights_are_counted_whole_and_where_they_are():
    """Everything resident: all parameters of the published networks, two bytes each; in turns: only one side's."""
    with torch.device("meta"):
        networks = UNet2DConditionModel(**SDXL), AutoencoderKL(**VAE), VideoUNet.from_config(SD14)
    sdxl, vae, video = (2 * sum(each.numel() for each in network.parameters()) for network in networks)
    assert sdxl == 2 * 2_567_463_684  # of the published file
    painter, animator = sdxl + vae + 2 * SDXL_TEXT, video + vae + 2 * SD14_TEXT
    whole, turns, parts = (footprint(FULL, PLANS[name]) for name in ("16", "12", "8"))
    assert whole.drawing - turns.drawing == pytest.approx(WASTE * animator)
    assert whole.animating - turns.animating == pytest.approx(WASTE * painter)
    assert turns.drawing > LIBRARIES + WASTE * painter and turns.animating > LIBRARIES + WASTE * animator
    assert parts.drawing < LIBRARIES + WASTE * (sdxl + 1e9)


def test_every_plan_is_expected_to_fit_where_it_is_chosen():
    """The profile `full` at its own sizes, 16 x 320 x 512; and animating within 8 GB."""
    for plan in PLANS.values():
        assert footprint(FULL, plan).peak < plan.gigabytes * 1e9, plan.name
    assert footprint(FULL, PLANS["8"]).animating < 8e9


def test_what_is_counted_goes_with_the_clip():
    """A pass over twice the frames takes twice the memory beside the weights; guidance in two passes, half."""
    one, two = (footprint(FULL, PLANS["8"], frames).animating for frames in (16, 32))
    assert 1.05 < two / one < 2
    together = replace(PLANS["8"], both_guided=True)
    assert footprint(FULL, together).animating > one


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    """By name, on this machine without a GPU and on one with a single CUDA device; without a name, the GPU there is."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None)
    assert find_device(None) == find_device("cpu") == CPU
    for wish in ("cuda", "mps", "meta", "nonsense"):
        with pytest.raises(UserError, match=rf"no device '{wish}' that PyTorch can use on this machine. Give cpu."):
            find_device(wish)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: CUDA)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    assert find_device(None) == find_device("cuda") == CUDA and find_device("cuda:0").index == 0
    with pytest.raises(UserError, match="Give cpu or cuda"):
        find_device("cuda:1")
