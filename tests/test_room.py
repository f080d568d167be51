"""The table of what a profile needs of a GPU, by plan."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from huvidpo_core.carrying_out import in_room
from huvidpo_core.config import ASSETS, load_profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation.plans import load_plans
from huvidpo_core.recipe import FRAMES
from huvidpo_core.room import table
from huvidpo_core.training.memory import needs
from huvidpo_core.training.motion_settings import load_motion_settings
from huvidpo_core.training.settings import load_settings

FULL = load_profile("full")


def test_every_plan_has_a_row_with_both_trainings():
    """At 4 frames: a row for each plan; stage 1 as LAMP's settings need it, computing twice where the plan says so, and
    what 8-bit moments save; first frames as their preset has it; what is more than the plan has is marked."""
    head, *rows = (line for line in table(FULL, 4).splitlines() if line.startswith("| ") and "|---" not in line)
    assert [cell.strip() for cell in head.split("|")[3:-1]] == [
        "first frame", "animation", "by AnimateDiff", "teaching", "with 8-bit Adam", "alignment",
        "of first frames",
    ]  # fmt: skip
    first, counted = FULL.first_frame, {}
    size = {"height": FULL.video.height, "width": FULL.video.width, "frames": 4, "device": "cuda"}
    for plan, row in zip(load_plans(), rows, strict=True):
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        for cell, optimizer in zip(cells[5:7], ("adamw", "adamw8bit"), strict=True):
            settings = replace(load_motion_settings("lamp"), checkpointing=plan.checkpointing, optimizer=optimizer)
            if settings not in counted:  # takes seconds
                counted[settings] = needs(settings, **size).total
            need = counted[settings]
            much = " (too much)" if need > plan.gigabytes * 1e9 else ""
            assert cell == f"{need / 1e9:.1f}{much}" and cells[0] == f"{plan.name} GB"
        settings = in_room(load_settings("diffusion_dpo", ASSETS / "picture"), FULL, torch.device("cuda"), plan.name)
        if settings not in counted:
            counted[settings] = needs(settings, height=first.height, width=first.width, frames=0, device="cuda").total
        need = counted[settings]
        assert cells[8].split(" ")[0] == f"{need / 1e9:.1f}" and ("too much" in cells[8]) == (
            need > plan.gigabytes * 1e9
        )


def test_a_clip_that_animatediff_cannot_make_has_a_row_all_the_same(monkeypatch):
    """As long as the app's clips may be; the trainings, whose counts take long, are left out."""
    monkeypatch.setattr("huvidpo_core.room.needs", lambda *_, **__: SimpleNamespace(total=1e9))
    rows = table(FULL, FRAMES[1]).splitlines()
    assert sum("| not possible |" in row for row in rows) == len(load_plans())


@pytest.mark.parametrize("frames", [-4, 0, 1, 65])
def test_a_number_of_frames_that_no_clip_has_is_a_sentence(frames):
    """Nothing is counted."""
    with pytest.raises(UserError, match=rf"--frames is {frames}; a clip has 2 to 64"):
        table(FULL, frames)
