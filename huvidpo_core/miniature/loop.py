"""One resumable training loop for every network of the miniature.

The randomness of a step is drawn from (name, step) alone, so a run that was killed and resumed sees the data that an
undisturbed one would have seen. The learning rate warms up, stays, and falls linearly in the last part of the run:
a run may be prolonged or cut short by another `steps` without having wasted its past.
"""

import json
import logging
import time
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120
REPORT_SECONDS = 30


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: optimizer steps, peak learning rate, warm-up steps, the share of the run that decays."""

    steps: int
    lr: float
    warmup: int = 100
    decay: float = 0.3
    ema: float = 0.999
    weight_decay: float = 0.01

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        rise = min(1.0, (step + 1) / self.warmup)
        fall = min(1.0, (self.steps - step) / max(1.0, self.decay * self.steps))
        return self.lr * rise * fall


def step_generator(name: str, step: int) -> np.random.Generator:
    """The source of all randomness of one step."""
    return np.random.default_rng([zlib.crc32(name.encode()), step])


def train(
    name: str,
    model: nn.Module,
    loss_at: Callable[[np.random.Generator], Tensor],
    schedule: Schedule,
    folder: Path,
    *,
    precision: torch.dtype,
) -> nn.Module:
    """Train the parameters of `model` that require a gradient; returns it holding their moving average.

    `loss_at(rng)` computes a scalar loss from one step's randomness. A checkpoint `folder/NAME.pt` is written every two
    minutes and continued from when present; `folder/NAME.jsonl` collects the loss curve.
    """
    parameters = {key: value for key, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=schedule.lr, betas=(0.9, 0.99), weight_decay=schedule.weight_decay
    )
    average = {key: value.detach().clone() for key, value in parameters.items()}
    checkpoint = folder / f"{name}.pt"
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        step = state["step"]
        optimizer.load_state_dict(state["optimizer"])
        for key, value in parameters.items():
            value.data.copy_(state["model"][key])
            average[key].copy_(state["average"][key])
        log.info("%s: resuming at step %d of %d", name, step, schedule.steps)

    def save() -> None:
        state = {"step": step, "model": parameters, "average": average, "optimizer": optimizer.state_dict()}
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").replace(checkpoint)

    device = next(iter(parameters.values())).device
    # The CPU's fused attention has a slow backward pass in bfloat16: a third of a step of these small networks.
    attention = partial(sdpa_kernel, SDPBackend.MATH) if device.type == "cpu" else nullcontext
    began = reported = saved = time.monotonic()
    first, losses = step, []
    model.train()
    while step < schedule.steps:
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32), attention():
            loss = loss_at(step_generator(name, step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        keep = min(schedule.ema, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), [value.data for value in parameters.values()], 1 - keep)
        losses.append(loss.item())
        step += 1
        now = time.monotonic()
        if now - reported > REPORT_SECONDS or step == schedule.steps:
            pace = (now - began) / (step - first)
            left = pace * (schedule.steps - step) / 60
            log.info("%s: step %d of %d, loss %.4f, %.2f s a step, %.0f min left", name, step, schedule.steps,
                     np.mean(losses), pace, left)  # fmt: skip
            with (folder / f"{name}.jsonl").open("a") as curve:
                curve.write(json.dumps({"step": step, "loss": float(np.mean(losses)), "lr": schedule.rate(step - 1)}))
                curve.write("\n")
            reported, losses = now, []
        if now - saved > CHECKPOINT_SECONDS or step == schedule.steps:
            save()
            saved = time.monotonic()
    for key, value in parameters.items():
        value.data.copy_(average[key])
    return model.eval()


class Countdown:
    """For stages that are no training: logs how much is done and how long the rest takes, as `train` does."""

    def __init__(self, stage: str, total: int) -> None:
        self._stage, self._total, self._done = stage, total, 0
        self._began = self._reported = time.monotonic()

    def add(self, count: int) -> None:
        """So many more of the total are done; logged twice a minute and at the end."""
        self._done += count
        now = time.monotonic()
        if now - self._reported > REPORT_SECONDS or self._done == self._total:
            left = (now - self._began) / self._done * (self._total - self._done) / 60
            log.info("%s: %d of %d frames, %.0f min left", self._stage, self._done, self._total, left)
            self._reported = now
