"""A run of stage 1 carried out in this process."""

import threading

import torch

from huvidpo_core.engine import Engine
from huvidpo_core.teaching import Teaching
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.motion_settings import MotionSettings
from huvidpo_core.training.record import RunFolder

CPU = torch.device("cpu")
SETTINGS = MotionSettings(
    steps=4, check_every=2, lr=1e-2, average=0.5, decay=0.5, steady=0.5, lean=0.5, unprompted=0.3, batch=2
)


def work(run: RunFolder, engine: Engine, stop: threading.Event | None = None):
    """The run carried out in this process, step by step."""
    return Teaching(run, engine.profile, CPU, Crew(), engine.data).carry_out(stop or threading.Event())


def lines(run: RunFolder) -> list[str]:
    return (run.path / "metrics.jsonl").read_text().splitlines()
