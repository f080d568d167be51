"""How much memory a computation needs, counted without carrying it out.

On PyTorch's `meta` device tensors have sizes and no contents, so the real architecture runs there without its weights,
in seconds; what lives at the same time is counted. On other devices the same count tells what really lived.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


class LiveBytes(TorchDispatchMode):
    """Inside, counts the bytes of the storages that live, but for those of `known` tensors; `peak` is the most."""

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}
        self._live = self.peak = 0

    def __torch_dispatch__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of each operation."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        if (key := storage._cdata) not in self._seen:
            self._seen.add(key)
            self._live += storage.nbytes()
            self.peak = max(self.peak, self._live)
            weakref.finalize(storage, self._drop, key, storage.nbytes())

    def _drop(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self._live -= size


class AsOnDevice(TorchFunctionMode):
    """What `meta` tensors do not do by themselves: fused attention, which keeps queries, keys, values, the result and a
    number for each query; and, where `low`, CUDA's autocast to bfloat16, as far as the networks here meet it."""

    def __init__(self, low: bool = False) -> None:
        super().__init__()
        lower = dict.fromkeys((F.conv2d, F.linear, F.scaled_dot_product_attention), torch.bfloat16)
        self._wanted = lower | dict.fromkeys((F.group_norm, F.layer_norm), torch.float32) if low else {}

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of each of its functions."""
        if wanted := self._wanted.get(func):
            args, kwargs = tree_map_only(Tensor, lambda tensor: tensor.to(wanted), (args, kwargs))
        if func is F.scaled_dot_product_attention:
            return _Fused.apply(*(*args, *(kwargs or {}).values())[:3])
        return func(*args, **(kwargs or {}))


class NormsAsOnCPU(TorchFunctionMode):
    """What group norms do there, and not on `meta`: they leave the order in memory of what they are given. To be
    entered before other modes."""

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of each of its functions."""
        if func is F.group_norm and args[0].device.type == "meta":
            return _Norm.apply(*args[:2], *(*args[2:4], *(kwargs or {}).values())[:2])
        return func(*args, **(kwargs or {}))


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, groups: int, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, *(x.new_empty(len(x), groups) for _ in range(2)))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *_ = ctx.saved_tensors
        of = zip((x, x, weight, weight), ctx.needs_input_grad, strict=True)
        return tuple(torch.empty_like(tensor) if wanted else None for tensor, wanted in of)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3])
