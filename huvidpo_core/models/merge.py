"""Two LoRAs and more as one. Pure function."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig
from peft.utils.other import get_pattern_key

from huvidpo_core.errors import UserError
from huvidpo_core.models.preference import Adapter


def merge(adapters: Sequence[Adapter], weights: Sequence[float]) -> Adapter:
    """The LoRA that does what these do together, each times its weight: W = sum_i w_i s_i B_i A_i, exactly.

    The ranks are put one behind the other: A = [A_1; A_2; ...], B = [w_1 s_1 B_1, w_2 s_2 B_2, ...]; alpha equals the
    new rank, so that the new scale is 1. A module that one of them leaves alone gets zeros there. s_i is what PEFT
    scales by: alpha / r, or alpha / sqrt(r) where the LoRA is rank-stabilised.

    Args:
        adapters: LoRAs for one network, two at least.
        weights: one for each, any finite number.

    Raises:
        UserError: a number that is none, or nothing to merge.
    """
    if len(adapters) < 2 or len(weights) != len(adapters):
        raise UserError("Choose two LoRAs to merge, and a weight for each.")
    if not all(math.isfinite(weight) for weight in weights) or not any(weights):
        raise UserError("The weights of a merge must be numbers, and not all of them 0.")
    modules = sorted({name.split(".lora_")[0] for adapter in adapters for name in adapter.tensors})
    ranks = [max(tensor.shape[0] for name, tensor in each.tensors.items() if ".lora_A." in name) for each in adapters]
    tensors = {}
    for module in modules:
        above, below = f"{module}.lora_A.weight", f"{module}.lora_B.weight"
        like = next(each.tensors for each in adapters if above in each.tensors)
        parts_a, parts_b = [], []
        for adapter, weight, rank in zip(adapters, weights, ranks, strict=True):
            a = torch.zeros(rank, *like[above].shape[1:])
            b = torch.zeros(like[below].shape[0], rank, *like[below].shape[2:])
            if above in adapter.tensors:
                own = adapter.tensors[above].shape[0]
                a[:own] = adapter.tensors[above].float()
                b[:, :own] = weight * _scale(adapter.config, module, own) * adapter.tensors[below].float()
            parts_a.append(a)
            parts_b.append(b)
        tensors[above], tensors[below] = torch.cat(parts_a), torch.cat(parts_b, dim=1)
    config = LoraConfig(r=sum(ranks), lora_alpha=sum(ranks), target_modules=modules)
    return Adapter(tensors, config.to_dict())


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What PEFT multiplies this module's B A by."""
    patterns = config.get("alpha_pattern") or {}
    alpha = patterns.get(get_pattern_key(patterns, module), config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
