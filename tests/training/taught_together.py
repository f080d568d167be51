"""What each of two processes runs in `test_teach_crew.py`, and one alone: `python -m tests.training.taught_together
OUTPUT`."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from huvidpo_core.together import leave
from huvidpo_core.training.course import StepRecord
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.teach import Teacher
from tests.training.launched import gradients_of
from tests.training.made_takes import SETTINGS, teacher

BATCH = replace(SETTINGS, batch=4, steps=3, lr=1e-3, eps=1e-4, clip=1e9)


def train(folder: Path, crew: Crew) -> tuple[Teacher, list[float], list[dict[str, torch.Tensor]]]:
    """Three steps, their losses and gradients."""
    training = teacher(folder, BATCH, crew=crew)
    gradients = gradients_of(training)
    return training, [record.loss for record in training.run() if isinstance(record, StepRecord)], gradients


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1])
    crew, _ = Crew.gather("cpu")
    training, losses, gradients = train(output / "run", crew)
    state = {"motion": training.motion(), "losses": losses, "gradients": gradients, "size": crew.size}
    torch.save(state, output / f"{crew.rank}.pt")
    leave(0)
