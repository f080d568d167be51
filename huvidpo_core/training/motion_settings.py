"""What the teaching of an action is told: a frozen dataclass, and the presets in `assets/teach/*.toml`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huvidpo_core.config import ASSETS
from huvidpo_core.training.presets import load, require

PRESETS = ASSETS / "teach"


@dataclass(frozen=True)
class MotionSettings:
    """Settings of stage 1. The defaults are the published code's (method.md section 2) where it has a value.

    Attributes:
        steps: optimizer steps.
        batch: clips a step, over all processes together.
        lr, warmup, decay: AdamW's learning rate, its steps of linear warm-up, and the last share of the run over which
            it falls to nothing.
        weight_decay, beta2, eps, clip: AdamW's, and the largest gradient norm.
        average: of how much of its past the moving average that is kept consists; 0: the last step's weights are kept.
        timesteps: noise levels that are drawn from, first included, last not.
        lean: the power that an even draw is raised to before it becomes a timestep; 1: evenly, 0.5: a timestep as often
            as it is high. A sampler of few steps lives where there is much noise.
        steady: weight of what the error changes by from frame to frame; errors that stay do not flicker.
        mirror: whether clips are mirrored, each by lot at every step.
        unprompted: share of the steps that see no prompt, which guidance needs.
        held_out: share of the clips kept for checking, at least one of more than six.
        check_every: steps between two checks, with sample clips.
        seed: of everything drawn.
        precision: of the arithmetic; the weights themselves are float32. "auto": float32 on a CPU, else bfloat16.
        optimizer: AdamW, or bitsandbytes' whose moments take a quarter of the memory (requirements-gpu.txt).
        checkpointing: recompute activations instead of keeping them: slower, in a fraction of the memory; None: where
            the memory plan of the GPU says so (assets/plans.toml).
    """

    steps: int = 25_000
    batch: int = 1
    lr: float = 3e-5
    warmup: int = 0
    decay: float = 0.0
    weight_decay: float = 1e-2
    beta2: float = 0.999
    eps: float = 1e-8
    clip: float = 1.0
    average: float = 0.0
    timesteps: tuple[int, ...] = (0, 1000)
    lean: float = 1.0
    steady: float = 0.0
    mirror: bool = True
    unprompted: float = 0.0
    held_out: float = 0.125
    check_every: int = 500
    seed: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    checkpointing: bool | None = None

    def check(self) -> "MotionSettings":
        """These settings, or a UserError that names the one that is out of range."""
        low, high = (*self.timesteps, 0, 0)[:2]
        ranges = (
            ("steps", self.steps >= 1, "1 or more"),
            ("batch", self.batch >= 1, "1 or more"),
            ("lr", 0 < self.lr < math.inf, "more than 0"),
            ("warmup", self.warmup >= 0, "0 or more"),
            ("decay", 0 <= self.decay <= 1, "0 to 1"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("beta2", 0 < self.beta2 < 1, "between 0 and 1"),
            ("eps", self.eps > 0, "more than 0"),
            ("clip", self.clip > 0, "more than 0"),
            ("average", 0 <= self.average < 1, "0 to below 1"),
            ("timesteps", len(self.timesteps) == 2 and 0 <= low < high <= 1000, "two numbers, rising, 0 to 1000"),
            ("lean", 0 < self.lean <= 1, "more than 0, at most 1"),
            ("steady", 0 <= self.steady < math.inf, "0 or more"),
            ("unprompted", 0 <= self.unprompted < 1, "0 to below 1"),
            ("held_out", 0 <= self.held_out <= 0.5, "0 to 0.5"),
            ("check_every", self.check_every >= 1, "1 or more"),
            ("seed", 0 <= self.seed < 2**32, "0 to 4294967295"),
        )
        require("the teaching", ranges)
        return self


def load_motion_settings(source: str | Path) -> MotionSettings:
    """A preset by name, or a TOML file. Raises UserError for a missing one, an unknown key, a value out of range."""
    return load(MotionSettings, PRESETS, source).check()
