"""The adapter that stage 2 trains: put into a network, switched off (which is the reference model), handed back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import LoraConfig
from torch import Tensor, nn

from huvidpo_core.training.settings import LoraShape

NAME = "learned"
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")  # of every attention, the temporal ones too (method.md section 3)


def attach(unet: nn.Module, shape: LoraShape, seed: int) -> dict[str, nn.Parameter]:
    """Put a fresh LoRA into a network and freeze everything else; its tensors by name, float32, in a fixed order.

    It starts as nothing: A is drawn from a Gaussian by `seed`, B is zero, so the network's output is unchanged.
    """
    unet.requires_grad_(False)
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        init_lora_weights="gaussian",
        target_modules=list(TARGETS),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet.add_adapter(config, adapter_name=NAME)
    parameters = {name: value for name, value in unet.named_parameters() if f".{NAME}." in name}
    for value in parameters.values():
        value.data = value.data.float()
        value.requires_grad_(True)
    return dict(sorted(parameters.items()))


def detach(unet: nn.Module) -> None:
    """Take the LoRA out again, without a trace."""
    unet.unload_lora()


@contextmanager
def switched_off(unet: nn.Module) -> Iterator[None]:
    """The network as it is without its LoRA: the reference model, for which no second copy is kept."""
    unet.disable_adapters()
    try:
        yield
    finally:
        unet.enable_adapters()


@torch.no_grad()
def load_values(parameters: dict[str, nn.Parameter], values: dict[str, Tensor]) -> None:
    """Give the LoRA other values, by name."""
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
