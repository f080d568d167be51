"""Preference LoRAs in diffusers' own format: written so that a stock pipeline reads them too, read strictly.

Names are `unet.<module>.lora_A.weight`; the LoraConfig travels as JSON in the file's metadata, for without it the
scale (alpha / rank) would be lost.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from peft.utils.other import get_pattern_key
from safetensors import safe_open
from torch import Tensor, nn

from huvidpo_core.errors import UserError
from huvidpo_core.models.weights import check_strictly, few, plain_name, read_weights, write_weights

_PREFIX = "unet."
# Of a LoraConfig: what says how a LoRA is scaled is taken over, and what says how its training began does not matter
# any more (peft would even begin anew, and change the network's own weights). Anything else makes it another kind.
_SCALE = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "lora_dropout")
_PAST = (
    "peft_version", "base_model_name_or_path", "revision", "task_type", "auto_mapping", "inference_mode",
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "init_lora_weights", "loftq_config",
    "eva_config", "corda_config", "lora_ga_config", "runtime_config", "ensure_weight_tying",
)  # fmt: skip


@dataclass(frozen=True)
class Adapter:
    """A LoRA on the CPU: tensors `<module>.lora_A.weight` (r, c_in) and `<module>.lora_B.weight` (c_out, r)."""

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]  # fields of a LoraConfig


def save(unet: nn.Module, adapter_name: str, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write an adapter of `unet` to `path` (.safetensors), whole or not at all; `notes` go into its metadata."""
    tensors = get_peft_model_state_dict(unet, adapter_name=adapter_name)
    write(Adapter(tensors, unet.peft_config[adapter_name].to_dict()), path, notes)


def write(adapter: Adapter, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write an adapter to `path` (.safetensors), whole or not at all; `notes` go into its metadata."""
    config = {f"{_PREFIX}{key}": sorted(v) if isinstance(v, set) else v for key, v in adapter.config.items()}
    metadata = {**(notes or {}), "format": "pt", LORA_ADAPTER_METADATA_KEY: json.dumps(config, sort_keys=True)}
    write_weights({f"{_PREFIX}{name}": tensor for name, tensor in adapter.tensors.items()}, path, metadata)


def read(path: Path, unet: nn.Module) -> Adapter:
    """Read a LoRA for `unet`, written by `save`, `unet.save_lora_adapter` or a pipeline's `save_lora_weights`.

    Raises:
        UserError: the file is missing, damaged, without metadata or of another kind than LoRA; a tensor has no module
            to belong to, no partner, or the wrong shape or rank.
    """
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in read_weights(path).items()}
    with safe_open(path, framework="pt") as file:
        metadata = (file.metadata() or {}).get(LORA_ADAPTER_METADATA_KEY)
    try:
        said = {key.removeprefix(_PREFIX): value for key, value in json.loads(metadata or "").items()}
        config = LoraConfig(**{key: said[key] for key in _SCALE if key in said}).to_dict()
        ranks = {**config["rank_pattern"], "": config["r"]}
        alphas = {**config["alpha_pattern"], "": config["lora_alpha"]}
        if not all(float(value) > 0 for value in (*ranks.values(), *alphas.values())):
            raise ValueError("neither is 0 or less")
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} does not say rank and alpha in its metadata; save it again with diffusers.") from error
    usual = LoraConfig().to_dict()
    if other := [key for key in said if key not in (*_SCALE, *_PAST) and said[key] and said[key] != usual.get(key)]:
        raise UserError(f"{path} is not a plain LoRA ({few(other)}), and other kinds are not taken. Train a plain one.")
    check(tensors, unet, path)
    for module, rank in _ranks(tensors).items():
        if rank != (says := ranks.get(get_pattern_key(list(config["rank_pattern"]), module), ranks[""])):
            raise UserError(f"{path} says rank {says} of {module} and has {rank}; save it again with diffusers.")
    return Adapter(tensors, config | {"target_modules": sorted(_ranks(tensors))})


def from_published(tensors: Mapping[str, Tensor], alpha: float | None = None) -> Adapter:
    """The adapter of a published LoRA (`official.read_lora`), whose file does not say alpha: twice the rank there.

    Raises:
        UserError: its modules are of several ranks.
    """
    ranks = _ranks(tensors)
    if len(set(ranks.values())) > 1:
        raise UserError(
            f"The LoRA is of several ranks ({', '.join(map(str, sorted(set(ranks.values()))))}), and does not say how "
            "they are scaled. Get it as it was published, of a single rank."
        )
    rank = next(iter(ranks.values()))
    config = LoraConfig(r=rank, lora_alpha=2 * rank if alpha is None else alpha, target_modules=sorted(ranks))
    return Adapter(tensors, config.to_dict())


def attach(unet: nn.Module, adapter: Adapter, name: str, strength: float = 1.0) -> None:
    """Put the LoRA into the network, scaled by `strength`, and make it the only active one."""
    unet.load_lora_adapter(dict(adapter.tensors), prefix=None, metadata=dict(adapter.config), adapter_name=name)
    unet.set_adapters([name], [strength])
    unet.train(unet.training)  # the new layers' dropout starts switched on, whatever mode the network is in


def detach(unet: nn.Module, name: str) -> None:
    """Take the LoRA of this name out; the last one leaves the network without a trace."""
    adapters = getattr(unet, "peft_config", {})
    if name in adapters:
        if len(adapters) == 1:
            unet.unload_lora()
        else:
            unet.delete_adapters(name)


def check(tensors: Mapping[str, Tensor], unet: nn.Module, path: Path) -> None:
    """Every tensor is one of a pair A, B that fits a weight of the network. Raises UserError."""
    weights = {
        plain_name(name).removesuffix(".weight"): tensor
        for name, tensor in unet.state_dict().items()
        if name.endswith(".weight") and ".lora_" not in name
    }
    advice = "choose a LoRA that was trained on this network."
    ranks = _ranks(tensors)
    modules = {name.split(".lora_")[0] for name in tensors}
    if not modules:
        raise UserError(f"{path} has no tensors; {advice}")
    if unknown := modules - weights.keys():
        raise UserError(f"{path} has a LoRA for {few(unknown)}, which this network does not have; {advice}")
    if others := {module for module in modules if weights[module].ndim not in (2, 4)}:
        raise UserError(
            f"{path} has a LoRA for {few(others)}, which is neither a linear layer nor a 2D convolution; {advice}"
        )
    expected = {}
    for module in modules:
        weight, rank = weights[module], ranks.get(module, 1)
        out_channels, in_channels, *kernel = weight.shape
        expected[f"{module}.lora_A.weight"] = weight.new_empty(rank, in_channels, *kernel, device="meta")
        expected[f"{module}.lora_B.weight"] = weight.new_empty(out_channels, rank, *(1 for _ in kernel), device="meta")
    check_strictly(expected, tensors, path, advice)


def _ranks(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """By module; of those whose A can have one."""
    lora_a = ((name.split(".lora_")[0], tensor) for name, tensor in tensors.items() if name.endswith("lora_A.weight"))
    return {module: tensor.shape[0] for module, tensor in lora_a if tensor.ndim and tensor.shape[0]}
