"""Which parts of the models are on a GPU at the same time: a plan for each size of memory, from assets/plans.toml."""

import gc
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import torch

from huvidpo_core.config import ASSETS, Profile, build, read_toml
from huvidpo_core.container import memory_free
from huvidpo_core.errors import UserError

Resident = Literal["all", "turns", "parts"]
"""What stays on the device: all; the painter or the animator, taking turns; of the painter a part at a time, too."""


@dataclass(frozen=True)
class Plan:
    """How memory is used; the defaults need the most. The file says what each field means."""

    name: str = ""
    gigabytes: float = 0.0
    resident: Resident = "all"
    chunk: int = 4
    both_guided: bool = True
    checkpointing: bool = False

    @property
    def words(self) -> str:
        """For people."""
        where = {
            "all": "everything stays on the GPU",
            "turns": "drawing and animating take turns on the GPU",
            "parts": "the GPU holds a part of the models at a time",
        }[self.resident]
        frames = f"{self.chunk} frames at a time" if self.chunk > 1 else "frame by frame"
        guided = "" if self.both_guided else ", guidance in two passes"
        return f"{where}, the VAE works {frames}{guided}"


def load_plans() -> list[Plan]:
    """All plans, the smallest first. Raises UserError for a malformed file."""
    tables = read_toml(ASSETS / "plans.toml")
    plans = [build(Plan, {"name": name, **table}, f"plans.toml [{name}]") for name, table in tables.items()]
    return sorted(plans, key=lambda plan: plan.gigabytes)


def choose_plan(profile: Profile, device: torch.device, wish: str = "", *, forced: bool = False) -> Plan:
    """The plan for a profile on a device: the one wished for, else the largest that fits.

    Args:
        forced: whether the person chose the device by name, and so knows what they do.

    Raises:
        UserError: there is no such plan; or the profile needs a GPU, and there is none or one that is too small.
    """
    plans = load_plans()
    if device.type == "cpu" and profile.gpu_gigabytes and not forced:  # a plan is for a GPU, not in place of one
        raise UserError(
            f"{profile.title} needs a GPU with {plans[0].gigabytes:g} GB, and this machine has none that PyTorch can "
            "use: a clip would take hours. Choose the profile miniature, or insist with --device cpu."
        )
    if wish:
        if found := [plan for plan in plans if plan.name == wish]:
            return found[0]
        raise UserError(f"There is no memory plan '{wish}'. Choose one of: {', '.join(plan.name for plan in plans)}.")
    if device.type == "cpu" or not profile.gpu_gigabytes:
        return Plan()
    there = memory_of(device)
    if fitting := [plan for plan in plans if plan.gigabytes * 1e9 <= there]:
        return fitting[-1]
    least = plans[0]
    raise UserError(
        f"{profile.title} needs {least.gigabytes:g} GB of GPU memory at least, and {device} has {there / 1e9:.1f}. "
        f"Choose the profile miniature, or insist with --plan {least.name}."
    )


def find_device(wish: str | None) -> torch.device:
    """The device wished for, else the GPU there is, else the CPU. Raises UserError for one that is not there."""
    there = torch.accelerator.current_accelerator(check_available=True)  # else what PyTorch was built for
    if not wish:
        return there or torch.device("cpu")
    with suppress(RuntimeError):  # for words that name none
        device = torch.device(wish)
        of_a_kind = there is not None and device.type == there.type
        if device.type == "cpu" or (of_a_kind and (device.index or 0) < torch.accelerator.device_count()):
            return device
    known = "cpu" if there is None else f"cpu or {there.type}"
    raise UserError(f"There is no device '{wish}' that PyTorch can use on this machine. Give {known}.")


def smaller(plan: Plan) -> Plan | None:
    """The next plan that needs less; None for the smallest, and where plans do not matter."""
    below = [each for each in load_plans() if each.gigabytes < plan.gigabytes]
    return below[-1] if below else None


def memory_of(device: torch.device) -> int:
    """Bytes of an accelerator's memory."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return torch.mps.recommended_max_memory() if device.type == "mps" else 0


def free_memory(device: torch.device) -> int:
    """Bytes of a device's memory that nobody holds, once this process has given back what it does not use."""
    gc.collect()
    if device.type == "cpu":
        return memory_free()
    give_back(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return memory_of(device) - torch.mps.driver_allocated_memory() if device.type == "mps" else 0


def precision_on(device: torch.device, profile: Profile) -> torch.dtype:
    """Of the weights: as the profile says, or float32 on a CPU, where half precision is 100 times slower."""
    if profile.precision != "auto":
        return getattr(torch, profile.precision)
    return torch.float32 if device.type == "cpu" else torch.float16


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 itself: NVIDIA's before Ampere emulate it, slower than float32 and
    without fused attention."""
    older = device.type == "cuda" and torch.cuda.is_available() and torch.cuda.get_device_capability(device) < (8, 0)
    return not older


def give_back(device: torch.device) -> None:
    """Let others have the memory that PyTorch keeps in reserve on an accelerator."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
