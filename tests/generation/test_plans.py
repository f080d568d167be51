"""Memory plans: which one is chosen, what it is expected to need, and that it changes no picture."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNetMotionModel

from huvidpo_core.carrying_out import in_room
from huvidpo_core.config import load_profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation import footprint as footprint_module
from huvidpo_core.generation import plans
from huvidpo_core.generation.footprint import LIBRARIES, WASTE, check_fits, footprint
from huvidpo_core.generation.models import plan_for
from huvidpo_core.generation.plans import Plan, choose_plan, find_device, load_plans, smaller
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.architectures import ANIMATEDIFF, SD14, SD14_TEXT, SDXL, SDXL_TEXT, VAE
from huvidpo_core.training.settings import load_settings
from huvidpo_core.trainings import Trainings

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
FULL, MINIATURE = load_profile("full"), load_profile("miniature")
PLANS = {plan.name: plan for plan in load_plans()}


def gpu(monkeypatch, gigabytes: float, free: float | None = None) -> None:
    """A CUDA device of this size, all of it or `free` of it free."""
    properties = SimpleNamespace(total_memory=gigabytes * 1e9)
    info = ((gigabytes if free is None else free) * 1e9, gigabytes * 1e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: info)


@pytest.mark.parametrize(
    ("gigabytes", "chosen"), [(8.4, "8"), (11.9, "12"), (16.9, "16"), (22, "16"), (25.4, "24"), (51, "48"), (150, "48")]
)
def test_the_largest_plan_that_fits_is_chosen(monkeypatch, gigabytes, chosen):
    """By what cards of 8, 12, 16, 24, 48 and more GB report; the miniature needs no plan."""
    gpu(monkeypatch, gigabytes)
    assert choose_plan(FULL, CUDA).name == chosen
    assert choose_plan(MINIATURE, CUDA) == Plan()


def test_a_machine_that_cannot_is_refused_with_a_reason(monkeypatch):
    """Too small a GPU, and none: a sentence with what to do, which then works; the miniature runs anywhere. To name a
    plan is not to insist on the CPU."""
    gpu(monkeypatch, 6)
    with pytest.raises(UserError, match=r"7\.5 GB of GPU memory at least, and cuda has 6\.0\. .* --plan 8"):
        choose_plan(FULL, CUDA)
    assert choose_plan(FULL, CUDA, "8").name == "8"
    with pytest.raises(UserError, match=r"needs a GPU .* miniature, or insist with --device cpu"):
        choose_plan(FULL, CPU)
    assert choose_plan(FULL, CPU, forced=True) == choose_plan(MINIATURE, CPU) == Plan()
    with pytest.raises(UserError, match=r"needs a GPU .* insist with --device cpu"):
        choose_plan(FULL, CPU, "8")
    assert choose_plan(FULL, CPU, "8", forced=True) == choose_plan(MINIATURE, CPU, "8") == PLANS["8"]
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
    """The profile `full` at its own sizes, 16 x 320 x 512, and what it is compared with; and animating within 8 GB."""
    for plan in PLANS.values():
        made = footprint(FULL, plan)
        assert max(made.peak, made.compared) < plan.gigabytes * 1e9, plan.name
    assert footprint(FULL, PLANS["8"]).animating < 8e9


def test_animatediff_is_counted_in_the_animators_place():
    """Its weights are those of the published files: the adapter's 1.67 GB in float32, SparseCtrl's 0.99 GB in half, and
    SD-1.4's; VAE and text encoder are there once, the inflated network is not. A profile without it needs nothing."""
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**SD14), AutoencoderKL(**VAE)
    held = sum(2 * each.numel() for network in (unet, vae) for each in network.parameters()) + 2 * SD14_TEXT
    held += 1.6685e9 / 2 + 0.9935e9
    found, longer = (footprint(FULL, PLANS["8"], frames).compared for frames in (16, 32))
    works = (longer - found) / WASTE  # of 16 frames
    assert found == pytest.approx(LIBRARIES + WASTE * (held + works), rel=0.02)
    assert footprint(replace(FULL, animatediff=None), PLANS["8"]).compared == 0


def test_a_clip_that_is_too_long_for_animatediff_is_counted_without_it():
    """Its motion modules know 32 positions, as diffusers builds them; the animator's go on, up to the app's most."""
    with torch.device("meta"):
        most = UNetMotionModel(**ANIMATEDIFF).config.motion_max_seq_length
    longest, longer = (footprint(FULL, PLANS["8"], frames) for frames in (most, most + 4))
    assert longest.compared > 0 == longer.compared and longer.animating > longest.animating


def test_what_is_counted_goes_with_the_clip():
    """A pass over twice the frames takes twice the memory beside the weights; guidance in two passes, half."""
    one, two = (footprint(FULL, PLANS["8"], frames).animating for frames in (16, 32))
    assert 1.05 < two / one < 2
    together = replace(PLANS["8"], both_guided=True)
    assert footprint(FULL, together).animating > one


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    """By name, on this machine without a GPU and on one with a single CUDA device; without a name, the GPU there is."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert find_device(None) == find_device("cpu") == CPU
    for wish in ("cuda", "mps", "meta", "nonsense"):
        with pytest.raises(UserError, match=rf"no device '{wish}' that PyTorch can use on this machine. Give cpu."):
            find_device(wish)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: CUDA)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    assert find_device(None) == find_device("cuda") == CUDA and find_device("cuda:0").index == 0
    with pytest.raises(UserError, match="Give cpu or cuda"):
        find_device("cuda:1")


def trainings(folder, device: str | None = None, plan: str = "") -> Trainings:
    return Trainings(folder, FULL, device, None, folder, {}, {}, plan)


def test_what_pytorch_was_built_for_is_not_taken_for_a_gpu(monkeypatch, tmp_path):
    """PyTorch's own build for CUDA names it where there is no driver, too, unless asked to look: then the CPU is used,
    by the forms of trainings as well."""
    built_for = {False: CUDA, True: None}
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available=False: built_for[check_available]
    )
    assert find_device(None) == CPU
    with pytest.raises(UserError, match="Give cpu"):
        find_device("cuda")
    monkeypatch.setattr("huvidpo_core.training.memory.estimate", lambda video, device, settings: str(device))
    assert trainings(tmp_path).needs(load_settings("huvidpo")) == "cpu"


def test_a_gpu_without_bfloat16_trains_in_whole_numbers(monkeypatch):
    """Where the settings leave the precision open; a card of 2018 is one, and where there is no GPU to ask, none is."""
    open_, asked = load_settings("huvidpo"), replace(load_settings("huvidpo"), precision="bfloat16")
    assert open_.precision == "auto" == in_room(open_, FULL, CUDA, "16").precision
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, precision in (((7, 5), "float32"), ((8, 0), "auto")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert in_room(open_, FULL, CUDA, "16").precision == precision
        assert in_room(asked, FULL, CUDA, "16").precision == "bfloat16"
        assert in_room(open_, FULL, CPU, "16").precision == "auto"


def test_where_others_hold_memory_a_smaller_plan_is_taken(monkeypatch):
    """The largest whose count fits what is free; the smallest even where it does not; one by name, whatever is free."""
    needed = {name: footprint(FULL, plan).peak / 1e9 for name, plan in PLANS.items()}
    for free, chosen in ((25.4, "24"), (needed["12"] + 0.1, "12"), (needed["12"] - 0.1, "8"), (1, "8")):
        gpu(monkeypatch, 25.4, free)
        assert plan_for(FULL, CUDA).name == chosen
    assert plan_for(FULL, CUDA, "16").name == "16"
    assert plan_for(FULL, CUDA, "8").name == "8"
    assert plan_for(MINIATURE, CUDA) == plan_for(MINIATURE, CPU) == Plan()


def test_a_plan_larger_than_the_whole_device_is_refused(monkeypatch):
    """By its count, with the largest that fits; not for what others hold, nor the smallest, nor where nothing is
    counted."""
    needed = {name: footprint(FULL, plan).peak / 1e9 for name, plan in PLANS.items()}
    gpu(monkeypatch, needed["12"] + 0.1, 1)
    with pytest.raises(UserError, match=rf"48 takes about {needed['48']:.1f} GB, .* or give --plan 12\."):
        check_fits(FULL, PLANS["48"], CUDA)
    check_fits(FULL, PLANS["12"], CUDA)
    gpu(monkeypatch, 4, 1)
    with pytest.raises(UserError, match=r"or give --plan 8\."):
        check_fits(FULL, PLANS["12"], CUDA)
    check_fits(FULL, PLANS["8"], CUDA)
    check_fits(MINIATURE, PLANS["48"], CUDA)


def test_a_cpu_without_the_memory_is_refused(monkeypatch):
    """In float32, by any plan all at once: with how much it takes and what is free. Where it fits, and for the
    miniature, nothing is said; what the profile names half the digits for takes about half."""
    need = footprint(FULL, Plan(), dtype=torch.float32).peak
    with torch.device("meta"):
        sdxl, video = UNet2DConditionModel(**SDXL), VideoUNet.from_config(SD14)
    assert need > 4 * sum(each.numel() for unet in (sdxl, video) for each in unet.parameters()) + 4 * SDXL_TEXT
    for free, fits in ((need - 1e8, False), (need + 1e8, True)):
        monkeypatch.setattr(plans, "memory_free", lambda free=free: free)
        check_fits(MINIATURE, Plan(), CPU)
        check_fits(replace(FULL, precision="bfloat16"), Plan(), CPU)
        if fits:
            check_fits(FULL, Plan(), CPU)
            continue
        for plan in (Plan(), replace(Plan(), resident="parts")):
            with pytest.raises(
                UserError, match=rf"about {need / 1e9:.1f} GB of memory on a CPU, and {free / 1e9:.1f} GB of this"
            ):
                check_fits(FULL, plan, CPU)
    monkeypatch.setattr(plans, "memory_free", lambda: 0)
    check_fits(MINIATURE, Plan(), CPU)


def test_whole_numbers_take_twice_what_half_ones_do(monkeypatch):
    """The count in float32 is that of networks of float32, on the way as well."""
    told = footprint(FULL, PLANS["16"], 4, torch.float32)
    counted = (footprint_module._unet_2d, footprint_module._unet_3d, footprint_module._vae)
    for each in counted:
        each.cache_clear()
    monkeypatch.setattr(footprint_module, "HALF", torch.float32)
    found = footprint(replace(FULL, animatediff=None), PLANS["16"], 4, torch.float32)
    for each in counted:
        each.cache_clear()
    assert (found.drawing, found.animating) == pytest.approx((told.drawing, told.animating), rel=0.01)


def test_an_alignment_is_counted_by_the_plan_it_will_go_by(monkeypatch, tmp_path):
    """On a card of 12 GB, whose plan has activations computed twice, it fits; somebody who insists on another plan, or
    on keeping activations, is told that it does not."""
    gpu(monkeypatch, 12.9)
    monkeypatch.setattr(plans, "find_device", lambda _: CUDA)
    preset = load_settings("huvidpo")
    assert preset.checkpointing is None
    asked = trainings(tmp_path).needs(preset)
    assert asked == trainings(tmp_path).needs(replace(preset, checkpointing=True))
    assert "of this GPU's 12.9 GB" in asked and "more than there is" not in asked
    for other in (
        trainings(tmp_path, plan="24").needs(preset),
        trainings(tmp_path).needs(replace(preset, checkpointing=False)),
    ):
        assert "more than there is" in other and "checkpointing = true" in other
