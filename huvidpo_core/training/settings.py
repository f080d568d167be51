"""What a preference training is told: a frozen dataclass, and the presets in `assets/align/*.toml`; of first
frames in `assets/picture/*.toml`."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from huvidpo_core.config import ASSETS
from huvidpo_core.errors import UserError
from huvidpo_core.training.kinds import ALIKE, KINDS, KTO, LOSS_TYPES
from huvidpo_core.training.presets import load, require

PRESETS = ASSETS / "align"
LOSSES = (*KINDS, KTO)


@dataclass(frozen=True)
class LoraShape:
    """How large an adapter is: `rank`, `alpha` (it is scaled by alpha / rank) and its `dropout` while training."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.1


@dataclass(frozen=True)
class AlignSettings:
    """Settings of stage 2. The defaults are the published code's (method.md section 3) where it has a value.

    Attributes:
        loss: kind of `losses.preference_loss`: "huvidpo", "dense" or "dense-sum"; or "kto" (`single.kto_loss`), which
            learns from ratings of single clips: a pair is one clip then in what follows.
        loss_type, label_smoothing, tie_threshold, winner_anchor: its options. With a tie_threshold every frame without
            a winner is one that was judged equal, those that nobody marked or raters contradict each other in, too.
        beta: in the loss's own convention; 0: measured so that the gradient factor becomes `gradient_factor`.
        gradient_factor: what `beta` is calibrated to, 0.2..0.45.
        steps: optimizer steps at most; 0: twelve passes over the pairs, as published.
        batch: pairs a step, over all processes together.
        lr, warmup, weight_decay, eps, clip: AdamW's, the steps of linear warm-up, the largest gradient norm.
        timesteps: noise levels that are drawn from, first included, last not.
        looks: how many draws of window, noise and timestep there are of each pair, which come again in turn, one in
            each pass over the pairs. Whoever knows the reference's error of one does not compute it again, so a step of
            the passes after as many is a forward pass shorter; 0: always fresh draws, as published.
        safeguard: mu of the safeguarded loser gradient (`safeguard.safeguard`); negative: off.
        held_out: share of the pairs kept for checking, split by clips.
        check_every: steps between two checks on the held-out pairs, with sample clips.
        patience: checks in a row that may be worse than the lowest loss at the highest accuracy before training ends.
        least_motion: sample clips must keep this share of the base's motion.
        winner_rise: share by which the error on the held-out winners may exceed the reference's before training ends.
            Crisp and lively clips are further from the mean of what could be, which is what the error rewards
            (perception against distortion, Blau and Michaeli 2018): a taste for them needs some.
        seed: of everything drawn.
        precision: of the frozen network's arithmetic; "auto": float32 on a CPU, bfloat16 on a GPU.
        optimizer: AdamW, or bitsandbytes' whose moments take a quarter of the memory (requirements-gpu.txt).
        checkpointing: recompute activations instead of keeping them: slower, in a fraction of the memory; None: where
            the memory plan of the GPU says so (assets/plans.toml).
    """

    loss: str = "huvidpo"
    beta: float = 50.0
    gradient_factor: float = 0.35
    steps: int = 0
    batch: int = 1
    lr: float = 1e-4
    warmup: int = 0
    weight_decay: float = 1e-4
    eps: float = 1e-3
    clip: float = 1.0
    timesteps: tuple[int, ...] = (0, 1000)
    looks: int = 0
    loss_type: str = "sigmoid"
    label_smoothing: float = 0.0
    tie_threshold: float = 0.0
    winner_anchor: float = 0.0
    safeguard: float = -1.0
    held_out: float = 0.2
    check_every: int = 50
    patience: int = 3
    least_motion: float = 0.9
    winner_rise: float = 0.0
    seed: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    checkpointing: bool | None = None
    lora: LoraShape = field(default_factory=LoraShape)

    @property
    def single(self) -> bool:
        """Whether it learns from clips that were judged alone, not from pairs."""
        return self.loss == KTO

    def changed(self, **changes: Any) -> "AlignSettings":
        """These settings with changes, checked. Raises UserError.

        Where the loss becomes one in which the same beta would pull otherwise, and none comes with it, beta is
        measured: DenseDPO's 500 for each frame is thirty times too strong for a sum of fifteen.
        """
        loss = changes.get("loss", self.loss)
        if loss != self.loss and not {loss, self.loss} <= set(ALIKE):
            changes = {"beta": 0.0} | changes
        return replace(self, **changes).check()

    def check(self) -> "AlignSettings":
        """These settings, or a UserError that names the one that is out of range."""
        for name, value, known in (("loss", self.loss, LOSSES), ("loss_type", self.loss_type, LOSS_TYPES)):
            if value not in known:
                raise UserError(f"There is no {name} '{value}'. Choose one of: {', '.join(known)}.")
        low, high = (*self.timesteps, 0, 0)[:2]
        ranges = (
            ("beta", 0 <= self.beta < math.inf, "0 (calibrated) or more"),
            ("gradient_factor", 0.05 <= self.gradient_factor < 0.5, "0.05 to 0.5"),
            ("steps", self.steps >= 0, "0 (twelve passes) or more"),
            ("batch", self.batch >= 1, "1 or more"),
            ("lr", 0 < self.lr < math.inf, "more than 0"),
            ("warmup", self.warmup >= 0, "0 or more"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("eps", self.eps > 0, "more than 0"),
            ("clip", self.clip > 0, "more than 0"),
            ("timesteps", len(self.timesteps) == 2 and 0 <= low < high <= 1000, "two numbers, rising, 0 to 1000"),
            ("looks", self.looks >= 0, "0 (always fresh) or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 0.5, "0 to 0.5"),
            ("tie_threshold", self.tie_threshold >= 0, "0 or more"),
            ("safeguard", self.safeguard <= 1, "0 to 1, or negative for none"),
            ("winner_anchor", self.winner_anchor >= 0, "0 or more"),
            ("held_out", 0 <= self.held_out <= 0.5, "0 to 0.5"),
            ("check_every", self.check_every >= 1, "1 or more"),
            ("patience", self.patience >= 1, "1 or more"),
            ("least_motion", 0 <= self.least_motion <= 1, "0 to 1"),
            ("winner_rise", self.winner_rise >= 0, "0 or more"),
            ("seed", 0 <= self.seed < 2**32, "0 to 4294967295"),
            ("lora.rank", self.lora.rank >= 1, "1 or more"),
            ("lora.alpha", 0 < self.lora.alpha < math.inf, "more than 0"),
            ("lora.dropout", 0 <= self.lora.dropout < 1, "0 to 1"),
        )
        require("the alignment", ranges)
        if self.loss_type in ("hinge", "ipo") and (self.label_smoothing or self.tie_threshold):
            raise UserError(
                f"The loss_type '{self.loss_type}' has neither label_smoothing nor tie_threshold. Leave them at 0, or "
                "choose 'sigmoid'."
            )
        paired = self.label_smoothing, self.tie_threshold, self.winner_anchor, max(self.safeguard, 0.0)
        if self.single and (self.loss_type != "sigmoid" or any(paired)):
            raise UserError(
                f"The loss '{KTO}' learns from single clips: loss_type, label_smoothing, tie_threshold, winner_anchor "
                "and safeguard are for pairs. Leave them out."
            )
        return self


def load_settings(source: str | Path, presets: Path = PRESETS) -> AlignSettings:
    """A preset by name, or a TOML file. Raises UserError for a missing one, an unknown key, a value out of range."""
    return load(AlignSettings, presets, source).check()
