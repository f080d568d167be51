"""How a network is computed while a part of its weights is trained: what comes out is the same, sooner and in less
memory.

Three things PyTorch does not do by itself:

- A convolution whose weight is frozen needs nothing of its input for the backward pass, yet keeps it.
- Norms, activations and the widening half of a feed-forward are kept for the backward pass, though it takes a fraction
  of the time to compute them again from what is kept anyway.
- MKL, which computes linear layers on a CPU, uses half of AVX-512 where the CPU is not Intel's; oneDNN, which computes
  convolutions, uses all of it.
"""

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint

from huvidpo_core.models import VideoUNet

WIDER = 4  # a linear layer is cheap, too, if what it makes is so many times what it is given


class Kernels(TorchFunctionMode):
    """Inside, convolutions keep nothing that is not needed, and linear layers are computed by the faster library."""

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of each of its functions."""
        func, args, kwargs = _own(func, args, kwargs or {})
        return func(*args, **kwargs)


class Frugal(Kernels):
    """The same around a forward pass; and what is cheap is not kept for the backward pass, which may come later."""

    def __init__(self) -> None:
        super().__init__()
        self._recipes: dict[int, tuple[weakref.ref, _Recipe]] = {}  # by storage, for as long as that lives
        self._hooks = saved_tensors_hooks(self._pack, _unpack)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._hooks.__exit__(*error)

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of each of its functions."""
        func, args, kwargs = _own(func, args, kwargs or {})
        out = func(*args, **kwargs)
        if (func in CHEAP or (func is _linear and _widens(*args))) and out.requires_grad:
            self._remember(out, _Recipe(func, self._packed(args), kwargs, _autocast(out)))
        return out

    def _remember(self, out: Tensor, recipe: "_Recipe") -> None:
        storage = out.untyped_storage()
        key = storage._cdata
        self._recipes[key] = weakref.ref(storage, lambda _: self._recipes.pop(key, None)), recipe

    def _packed(self, args: Sequence[Any]) -> list[Any]:
        """What is kept in place of arguments, which may be tensors or lists of them."""
        return tree_map_only(Tensor, lambda tensor: self._pack(tensor.detach()), list(args))

    def _pack(self, tensor: Tensor) -> "Tensor | _View":
        """What is kept in place of a tensor."""
        storage = tensor.untyped_storage()
        alive, recipe = self._recipes.get(storage._cdata, (None, None))
        if alive is None or alive() is not storage:
            return tensor
        recipe.uses += 1
        return _View(recipe, tensor.shape, tensor.stride(), tensor.storage_offset())


def checkpointing(unet: VideoUNet) -> None:
    """Have the network recompute its blocks in the backward pass, which is outside of any `Frugal`, as they were
    computed in the forward pass."""

    def recompute(block: Callable, *args: Any) -> Any:
        frames = unet.frames.value

        def run(*inputs: Any) -> Any:
            with Kernels(), unet.frames.of(frames):
                return block(*inputs)

        return checkpoint(run, *args, use_reentrant=False)

    unet.enable_gradient_checkpointing(recompute)


def channels_last(unet: nn.Module) -> None:
    """On a CPU put the weights in memory in the order that its convolutions are fastest with."""
    if next(unet.parameters()).device.type == "cpu":
        unet.to(memory_format=torch.channels_last)


@dataclass(eq=False)
class _Recipe:
    func: Callable
    args: list[Any]  # packed
    kwargs: dict[str, Any]  # no tensors
    autocast: Callable[[], AbstractContextManager]  # as it was
    uses: int = 0  # how often it will still be asked for
    made: Tensor | None = None  # held until all who need it have had it

    def make(self) -> Tensor:
        made, self.uses = self.made, self.uses - 1
        if made is None:
            with torch.no_grad(), self.autocast():
                made = self.func(*tree_map_only(_View, _unpack, self.args), **self.kwargs)
        self.made = made if self.uses > 0 else None
        return made


@dataclass(frozen=True, eq=False)
class _View:
    """A part of what a recipe makes."""

    recipe: _Recipe
    shape: torch.Size
    stride: tuple[int, ...]
    offset: int


def _unpack(kept: Any) -> Any:
    return kept.recipe.make().as_strided(kept.shape, kept.stride, kept.offset) if isinstance(kept, _View) else kept


def _autocast(out: Tensor) -> Callable[[], AbstractContextManager]:
    """What makes the present autocast again."""
    device = out.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return nullcontext
    return partial(torch.autocast, device, torch.get_autocast_dtype(device))


# What is computed in another way

_Call = tuple[Callable, Sequence[Any], dict[str, Any]]


def _own(func: Callable, args: Sequence[Any], kwargs: dict[str, Any]) -> _Call:
    """A function of PyTorch's and what it is given, as they are computed here."""
    if func is F.dropout:
        return _drop(*args, **kwargs)
    return {F.conv2d: _conv2d, F.linear: _linear}.get(func, func), args, kwargs


def _drop(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> _Call:
    """As `F.dropout`, but that it keeps a bit for each number in place of two numbers."""
    if not training or inplace or not 0 < p < 1:
        return F.dropout, (x, p, training, inplace), {}
    return _masked, (x, torch.empty_like(x).bernoulli_(1 - p).bool(), 1 / (1 - p)), {}


def _masked(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    return x * mask * scale


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    how = (stride, padding, dilation, groups)
    if x.requires_grad and not _trained(weight, bias) and not isinstance(padding, str):
        return _FrozenConv2d.apply(x, weight, bias, *how)
    return F.conv2d(x, weight, bias, *how)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    whole = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if x.device.type == "cpu" and whole and _onednn() and not _trained(weight, bias):
        return _FrozenLinear.apply(x, weight, bias)
    return F.linear(x, weight, bias)


class _FrozenConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.dtype, ctx.how = x.shape, x.dtype, how
        return F.conv2d(x, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        given = conv2d_input(ctx.shape, weight.to(gradient.dtype), gradient, *ctx.how)
        return given.to(ctx.dtype), *(None,) * 6


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return _by_onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return _by_onednn(gradient, weight.t().contiguous(), None), None, None


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")


@cache
def _onednn() -> bool:
    """Whether oneDNN's linear layer is there, and may be the faster one."""
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _trained(weight: Tensor, bias: Tensor | None) -> bool:
    return torch.is_grad_enabled() and (weight.requires_grad or (bias is not None and bias.requires_grad))


def _widens(x: Tensor, weight: Tensor, *_: Any) -> bool:
    return weight.shape[0] >= WIDER * weight.shape[1] and not weight.requires_grad


CHEAP = {F.group_norm, F.layer_norm, F.silu, F.gelu, torch.cat, _masked}
