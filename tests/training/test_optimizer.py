"""Which optimizer a training takes."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from huvidpo_core.errors import UserError
from tests.training.made import SETTINGS, aligner


def test_eight_bit_adam_is_taken_where_it_is_there(tmp_path, monkeypatch):
    """By name: bitsandbytes' class gets the training's own parameters and numbers. Without the library, a sentence."""
    settings = replace(SETTINGS, optimizer="adamw8bit")
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(UserError, match=r"needs bitsandbytes.*requirements-gpu\.txt"):
        aligner(tmp_path / "without", settings)

    class AdamW8bit(torch.optim.AdamW):
        """Computes as PyTorch's; built for another CUDA, it would say so at its first step."""

        broken = True

        def step(self) -> None:
            if self.broken:
                raise RuntimeError("no kernel image")
            super().step()

    library = ModuleType("bitsandbytes")
    library.optim = ModuleType("bitsandbytes.optim")
    library.optim.AdamW8bit = AdamW8bit
    monkeypatch.setitem(sys.modules, "bitsandbytes", library)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", library.optim)
    with pytest.raises(UserError, match="does not work here"):
        aligner(tmp_path / "broken", settings)
    AdamW8bit.broken = False
    training = aligner(tmp_path / "with", settings)
    assert type(training._optimizer) is AdamW8bit
    (group,) = training._optimizer.param_groups
    assert (group["lr"], group["weight_decay"], group["eps"]) == (settings.lr, settings.weight_decay, settings.eps)
    assert {id(each) for each in group["params"]} == {id(each) for each in training.parameters.values()}
