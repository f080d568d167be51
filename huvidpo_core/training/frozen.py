"""Convolutions, linear layers and dropout that give what PyTorch's give, and keep no more than is needed.

A convolution whose weight is frozen needs nothing of its input for the backward pass, yet PyTorch keeps it. And MKL,
which computes linear layers on a CPU, uses half of AVX-512 where the CPU is not Intel's; oneDNN, which computes
convolutions, uses all of it. What calls these functions is in `frugal.py`.

Layers with frozen weights can multiply in a `low` precision, and take and give what the network is computed in. That is
for CPUs, where norms and attention are slower in bfloat16 than in float32, so that autocast gains nothing.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    *,
    low: torch.dtype | None = None,
) -> Tensor:
    """`F.conv2d`; where only the input's gradient is asked for, it keeps no input."""
    how = (stride, padding, dilation, groups)
    if (x.requires_grad or low) and x.ndim == 4 and not trained(weight, bias) and not isinstance(padding, str):
        return _Conv2d.apply(x, weight, bias, low, *how)
    return F.conv2d(x, weight, bias, *how)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, low: torch.dtype | None = None) -> Tensor:
    """`F.linear`; with a frozen weight in float32 on a CPU by oneDNN, where that is the faster one."""
    whole = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if x.device.type == "cpu" and whole and (low or onednn()) and not trained(weight, bias):
        return _Linear.apply(x, weight, bias, low)
    return F.linear(x, weight, bias)


def thinning(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Callable, tuple]:
    """`F.dropout` as a function and what to give it: `thin` and a drawn mask, a byte for each number in place of two
    numbers; or `F.dropout` itself, where nothing is to be drawn."""
    if not training or inplace or not 0 < p < 1:
        return F.dropout, (x, p, training, inplace)
    return thin, (x, _left(x, p, generator), 1 / (1 - p))


def thin(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    """What dropout makes of x once it is drawn."""
    return x * mask * scale


def trained(weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether a gradient of a layer's weights is asked for."""
    return torch.is_grad_enabled() and (weight.requires_grad or (bias is not None and bias.requires_grad))


def _left(x: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
    """Which numbers dropout leaves. On a CPU, where drawing takes longer than what is drawn for, a draw of 64 bits is
    for four of them, and p is rounded to a 65536th."""
    if x.device.type != "cpu":
        return torch.empty_like(x).bernoulli_(1 - p, generator=generator).bool()
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    return (draws.view(torch.int16)[: x.numel()] >= min(round(p * 2**16), 2**16 - 1) - 2**15).view(x.shape)


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, low: torch.dtype | None, *how: Any) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.dtype, ctx.low, ctx.how = x.shape, x.dtype, low, how
        made = F.conv2d(*_to(low, x, weight, bias), *how)
        return made.to(x.dtype) if low else made  # autocast's is what its precision is

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        weight, gradient = _to(ctx.low or gradient.dtype, weight, gradient)
        if gradient.is_contiguous(memory_format=torch.channels_last):  # or it would be copied into the weight's order
            weight = weight.contiguous(memory_format=torch.channels_last)
        return conv2d_input(ctx.shape, weight, gradient, *ctx.how).to(ctx.dtype), *(None,) * 7


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, low: torch.dtype | None) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.low = low
        return F.linear(*_to(low, x, weight, bias)).to(x.dtype) if low else by_onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        if ctx.low:
            return torch.matmul(*_to(ctx.low, gradient, weight)).to(gradient.dtype), None, None, None
        return by_onednn(gradient, weight.t().contiguous(), None), None, None, None


def _to(dtype: torch.dtype | None, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    return tuple(tensor if tensor is None or dtype is None else tensor.to(dtype) for tensor in tensors)


def by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear` in float32 by oneDNN, where `onednn`."""
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")


@cache
def onednn() -> bool:
    """Whether oneDNN's linear layer may be the faster one, is there, and does what this expects of it: PyTorch promises
    nothing of the kind."""
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    x, weight = (torch.arange(float(rows * 4), device="cpu").view(rows, 4) for rows in (2, 3))
    bias = x.new_tensor([1.0, 2.0, 3.0])
    try:
        found = by_onednn(x, weight, bias)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(found, F.linear(x, weight, bias))
