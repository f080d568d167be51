"""A frozen linear layer and its LoRA computed as one: y = x (W + s B A)^T + b.

The sum of the weights is made anew in every pass, for a hundredth of what the clips' thousands of positions cost; PEFT
takes all positions through A and B as well, and back, which are too thin for a CPU to be quick with. Only in layers not
much wider than their LoRA, and where nothing lies between x and A: without dropout.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn

from huvidpo_core.training import frozen
from huvidpo_core.training.lora import NAME

NARROW = 4  # times what A and B multiply with a position, W may, which is multiplied once more for the gradient


def as_one(unet: nn.Module) -> None:
    """On a CPU, in float32, have the network's adapted layers computed so wherever it is the sooner and the same."""
    for layer in unet.modules():
        if not isinstance(layer, Linear) or NAME not in layer.lora_A:
            continue
        if layer.weight.device.type == "cpu" and frozen.onednn():
            a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
            whole = layer.weight.dtype == a.dtype == torch.float32
            if whole and layer.weight.numel() <= NARROW * (a.numel() + b.numel()):
                layer.forward = partial(_forward, layer, layer.forward)


def _forward(layer: Linear, as_peft: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if args or kwargs or layer.disable_adapters or layer.merged or list(layer.active_adapters) != [NAME]:
        return as_peft(x, *args, **kwargs)
    if layer.training and not isinstance(layer.lora_dropout[NAME], nn.Identity):
        return as_peft(x)
    weights = layer.weight, layer.bias, layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
    return _Adapted.apply(x, *weights, layer.scaling[NAME])


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        whole = torch.addmm(weight, b, a, alpha=scale)
        ctx.save_for_backward(x, whole, a, b)
        ctx.scale = scale
        return frozen.by_onednn(x, whole, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, whole, a, b = ctx.saved_tensors
        of_whole = ctx.scale * (gradient.flatten(0, -2).t() @ x.flatten(0, -2))
        to_x = frozen.by_onednn(gradient, whole.t().contiguous(), None) if ctx.needs_input_grad[0] else None
        return to_x, None, None, b.t() @ of_whole, of_whole @ a.t(), None
