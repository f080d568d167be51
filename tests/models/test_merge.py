"""Merged LoRAs against dense matrices, and in the network against both at once."""

import math
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig
from torch import Tensor

from huvidpo_core.errors import UserError
from huvidpo_core.models import VideoUNet, preference
from huvidpo_core.models.merge import merge
from huvidpo_core.models.preference import Adapter
from tests.models.conftest import Clip, adapter, output

SHAPES = {"a.to_q": ((3, 6), (5, 3)), "b.conv": ((3, 4, 3, 3), (7, 3, 1, 1))}  # A and B of rank 3


def made(seed: int, rank: int, modules: list[str], **config: object) -> Adapter:
    """A random LoRA on these modules."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for module in modules:
        above, below = SHAPES[module]
        tensors[f"{module}.lora_A.weight"] = torch.randn(rank, *above[1:], generator=generator)
        tensors[f"{module}.lora_B.weight"] = torch.randn(below[0], rank, *below[2:], generator=generator)
    return Adapter(tensors, LoraConfig(r=rank, target_modules=modules, **config).to_dict())


def dense(adapter: Adapter, module: str, scale: float) -> Tensor:
    """scale B A, as one matrix (out, in k k)."""
    if f"{module}.lora_A.weight" not in adapter.tensors:
        return torch.zeros(())
    above, below = (adapter.tensors[f"{module}.lora_{part}.weight"].flatten(1) for part in "AB")
    return scale * below @ above


def test_the_weighted_sum_is_exact() -> None:
    """Other ranks, alphas by module, a rank-stabilised scale, a convolution, a module that only one of them has."""
    one = made(1, 2, ["a.to_q", "b.conv"], lora_alpha=8, alpha_pattern={"conv": 5})
    two = made(2, 3, ["a.to_q"], lora_alpha=6, use_rslora=True)
    result = merge([one, two], [0.5, -1.25])
    assert result.config["lora_alpha"] == result.config["r"] == 5
    expected = {
        "a.to_q": 0.5 * dense(one, "a.to_q", 8 / 2) - 1.25 * dense(two, "a.to_q", 6 / math.sqrt(3)),
        "b.conv": 0.5 * dense(one, "b.conv", 5 / 2),
    }
    for module, sum_of_both in expected.items():
        assert result.tensors[f"{module}.lora_A.weight"].shape[0] == 5
        torch.testing.assert_close(dense(result, module, 1.0), sum_of_both, atol=1e-5, rtol=1e-5)


def test_in_the_network_it_does_what_both_do_together(unet: VideoUNet, clip: Clip) -> None:
    """PEFT's own way of adding two adapters with weights gives the same clip; each alone gives another."""
    one, two = adapter(1), adapter(2)
    preference.attach(unet, one, "one")
    alone = output(unet, clip)
    unet.load_lora_adapter(dict(two.tensors), prefix=None, metadata=dict(two.config), adapter_name="two")
    unet.set_adapters(["one", "two"], [0.7, 0.4])
    both = output(unet.eval(), clip)
    unet.unload_lora()
    preference.attach(unet, merge([one, two], [0.7, 0.4]), "merged")
    torch.testing.assert_close(output(unet, clip), both, atol=1e-5, rtol=1e-4)
    assert (both - alone).abs().max() > 1e-3


@pytest.mark.parametrize("weights", [[1.0], [1.0, math.nan], [0.0, 0.0]])
def test_what_is_no_merge_is_refused(weights: list[float]) -> None:
    """Too few weights, one that is none, nothing but zeros."""
    with pytest.raises(UserError, match="weight"):
        merge([made(1, 2, ["a.to_q"]), made(2, 2, ["a.to_q"])], weights)


def test_half_precision_is_merged_in_full(unet: VideoUNet) -> None:
    """LoRAs stored in float16 are added in float32."""
    halves = [
        replace(each, tensors={k: v.half() for k, v in each.tensors.items()}) for each in (adapter(1), adapter(2))
    ]
    assert {tensor.dtype for tensor in merge(halves, [1, 1]).tensors.values()} == {torch.float32}
