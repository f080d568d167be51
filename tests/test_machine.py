"""The profile `full` on this machine and that: where it is chosen by itself, and where it is refused, before anything
is fetched for it."""

import threading
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants

from huvidpo_core import engine as engine_module
from huvidpo_core.config import Download, load_profile
from huvidpo_core.engine import Engine, choose_profile
from huvidpo_core.errors import UserError
from huvidpo_core.recipe import Recipe

FULL = load_profile("full")
RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon")


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch) -> None:
    """No model is on this machine."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))


@pytest.fixture(autouse=True)
def free(monkeypatch) -> list[float]:
    """Bytes that are free in its memory; the last entry counts."""
    free = [64e9]
    monkeypatch.setattr("huvidpo_core.generation.plans.memory_free", lambda: free[-1])
    return free


def test_a_machine_that_cannot_run_it_is_told_before_anything_is_fetched(tmp_path, monkeypatch):
    """Without a GPU `full` says so and offers no download, from the app's start on; a device by name is insisting, a
    memory plan is not."""
    monkeypatch.setattr(
        "torch.accelerator.current_accelerator", lambda check_available=False: None if check_available else "cuda"
    )
    for plan in ("", "8"):
        engine = Engine(FULL, tmp_path, plan=plan)
        engine.allow_downloads()
        with pytest.raises(UserError, match="needs a GPU"):
            engine.check_machine()
        with pytest.raises(UserError, match="needs a GPU"):
            list(engine.first_frame(RECIPE, threading.Event()))
    assert Engine(FULL, tmp_path, device="cpu").check_machine().missing_downloads()


def test_a_cpu_without_the_memory_is_told_before_anything_is_fetched(tmp_path, free):
    """Somebody insists on the CPU, and on downloads: `full` says what it takes and what is free, from the app's start
    on, and goes on once that is enough. The miniature runs with whatever there is."""
    free.append(8e9)
    engine = Engine(FULL, tmp_path, device="cpu")
    engine.allow_downloads()
    for work in (engine.check_machine, lambda: list(engine.first_frame(RECIPE, threading.Event()))):
        with pytest.raises(UserError, match=r"takes about [12]\d\.\d GB of memory on a CPU, and 8\.0 GB of this"):
            work()
    free.append(64e9)
    assert engine.check_machine().missing_downloads()
    free.append(0)
    assert Engine(load_profile("miniature"), tmp_path, device="cpu").check_machine().missing_downloads() == []


def test_a_plan_that_is_too_large_is_told_before_anything_is_fetched(tmp_path, monkeypatch):
    """On a GPU of 12 GB, with the downloads agreed to: from the app's start on, with the plan that fits; that one goes
    on to the download."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=11.9e9))
    fetched = []

    def fetch(item: Download, _: object) -> None:
        fetched.append(item)
        raise UserError("no network")

    monkeypatch.setattr("huvidpo_core.generation.downloads.fetch", fetch)
    lab = {plan: Engine(FULL, tmp_path / plan, plan=plan) for plan in ("48", "12")}
    for engine in lab.values():
        engine.allow_downloads()
    for work in (lab["48"].check_machine, lambda: list(lab["48"].first_frame(RECIPE, threading.Event()))):
        with pytest.raises(UserError, match=r"The plan 48 takes about .* cuda has 11\.9\. .* give --plan 12\."):
            work()
    assert fetched == []
    with pytest.raises(UserError, match="no network"):
        list(lab["12"].check_machine().first_frame(RECIPE, threading.Event()))
    assert len(fetched) == 1


@pytest.mark.parametrize(
    ("gigabytes", "device", "chosen"),
    [
        ((), None, "miniature"),
        ((8,), None, "miniature"),
        ((24,), None, "full"),
        ((24,), "cpu", "miniature"),
        ((8, 24), None, "miniature"),
        ((8, 24), "cuda:1", "full"),
        ((24, 8), "cuda:1", "miniature"),
    ],
)
def test_full_is_chosen_by_itself_only_where_the_device_has_the_memory(gigabytes, device, chosen, monkeypatch):
    """No driver, a GPU of 8 GB, one of 24 GB; of two the one that will be used, the first or the one named; not where
    somebody insists on the CPU. A named profile is taken as it is."""
    monkeypatch.setattr(engine_module, "may_have_cuda", lambda: bool(gigabytes))
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: len(gigabytes))

    def properties(device: torch.device) -> SimpleNamespace:
        return SimpleNamespace(total_memory=gigabytes[device.index or 0] * 1e9)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    assert choose_profile(None, device).name == chosen
    assert choose_profile("miniature").name == "miniature" and choose_profile("full", "cpu").name == "full"
