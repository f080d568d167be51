"""A module of these tests in two processes that `accelerate launch` starts, and the gradients that they take."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from huvidpo_core.training.course import Course

ROOT = Path(__file__).parents[2]


def in_two(module: str, *arguments: str) -> subprocess.Popen:
    """`python -m module` in two CPU processes that know each other; the launcher, which ends with them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # On a machine without a GPU "--multi_gpu" starts CPU processes; "--cpu" alone would start a single one.
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--main_process_port", port, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def gradients_of(training: Course) -> list[dict[str, torch.Tensor]]:
    """The gradients that each step will have been given: what Adam makes of them does not show a factor. `clip` of the
    settings must be out of reach, for it would not leave one either."""
    taken = []

    def look(*_) -> None:
        taken.append({name: value.grad.clone() for name, value in training.parameters.items()})

    training._optimizer.register_step_pre_hook(look)
    return taken


def assert_alike(found: list[dict[str, torch.Tensor]], wanted: list[dict[str, torch.Tensor]]) -> None:
    """Gradients by step, to a hundredth of each tensor's largest number."""
    assert len(found) == len(wanted) > 0
    for step, (mine, others) in enumerate(zip(found, wanted, strict=True)):
        for name, gradient in others.items():
            tolerance = 1e-2 * gradient.abs().max().item()
            torch.testing.assert_close(mine[name], gradient, rtol=0, atol=tolerance, msg=f"step {step}, {name}")
