"""How a network is computed while a part of its weights is trained: what comes out is the same, sooner and in less
memory.

Norms, activations, copies, and the widening half of a feed-forward are kept by PyTorch for the backward pass, though it
takes a fraction of the time to make them again from what is kept anyway. Here they are not kept. How convolutions,
linear layers and dropout are computed is in `frozen.py`.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from diffusers import ModelMixin
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from huvidpo_core.models import VideoUNet
from huvidpo_core.models.frames import FrameCount
from huvidpo_core.training import frozen

COPIES = {torch.cat, Tensor.contiguous, Tensor.flatten, Tensor.reshape, Tensor.to}  # or views, which are no copies
FROZEN = {F.conv2d: frozen.conv2d, F.linear: frozen.linear}
CHEAP = {F.group_norm, F.layer_norm, F.silu, F.gelu, frozen.thin, *COPIES}
CONCERNED = {F.dropout, *FROZEN, *CHEAP}
WIDER = 4  # a linear layer is cheap, too, if what it makes is so many times what it is given


class Kernels(TorchFunctionMode):
    """Inside, layers are computed as `frozen.py` has them: frozen ones in precision `low`, where that is given, dropout
    drawn from `generator`."""

    def __init__(self, low: torch.dtype | None = None, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self._low, self._generator = low, generator

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by PyTorch in place of each of its functions."""
        kwargs = kwargs or {}
        if func not in CONCERNED:  # thousands in every pass, and threads take turns at Python
            return func(*args, **kwargs)
        if func is F.dropout:
            func, args = frozen.thinning(*args, **kwargs, generator=self._generator)
            return self._call(func, args, {})
        if func is Tensor.contiguous and not kwargs and _as_convolutions_like_it(*args):
            return args[0]
        if func in FROZEN:
            func, kwargs = FROZEN[func], kwargs | {"low": self._low}
        return self._call(func, args, kwargs)

    def _call(self, func: Callable, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        return func(*args, **kwargs)


class Frugal(Kernels):
    """The same around a forward pass; and what is cheap is not kept for the backward pass, which may come later."""

    def __init__(self, low: torch.dtype | None = None, generator: torch.Generator | None = None) -> None:
        super().__init__(low, generator)
        self._recipes: dict[int, tuple[weakref.ref, _Recipe]] = {}  # by storage, for as long as that lives
        self._hooks = saved_tensors_hooks(self._pack, _unpack)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._hooks.__exit__(*error)

    def _call(self, func: Callable, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if wanted := _autocast_to(func, args):  # or autocast would, and what it makes would be kept
            args = self._call(Tensor.to, (args[0], wanted), {}), *args[1:]
        if func is F.group_norm and args[0].device.type != "cpu" and not args[0].is_contiguous():  # or it would itself
            args = self._call(Tensor.contiguous, args[:1], {}), *args[1:]
        out = super()._call(func, args, kwargs)
        if (func in CHEAP or (func is frozen.linear and _widens(*args))) and out.requires_grad:
            self._remember(out, func, args, kwargs)
        return out

    def _remember(self, out: Tensor, func: Callable, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        storage = out.untyped_storage()
        key = storage._cdata
        values = list(kwargs.values())
        if any(each.untyped_storage()._cdata == key for each in _tensors([*args, *values])):
            return  # a view, or computed in place
        args, values = (_each(given, Tensor, lambda tensor: self._pack(tensor.detach())) for given in (args, values))
        recipe = _Recipe(func, args, dict(zip(kwargs, values, strict=True)), _autocast(out), out._version)
        self._recipes[key] = weakref.ref(storage, lambda _: self._recipes.pop(key, None)), recipe

    def _pack(self, tensor: Tensor) -> "_Kept | _View":
        """What is kept in place of a tensor."""
        storage = tensor.untyped_storage()
        alive, recipe = self._recipes.get(storage._cdata, (None, None))
        if alive is None or alive() is not storage or tensor._version != recipe.version:
            return _Kept(tensor, tensor._version)
        recipe.uses += 1
        return _View(recipe, tensor.shape, tensor.stride(), tensor.storage_offset())


def low_precision(unet: nn.Module, precision: str) -> torch.dtype | None:
    """What a training's setting `precision` ("auto", "float32" or "bfloat16") has the frozen network multiply in; None:
    in what it is. "auto" is bfloat16 but on a CPU."""
    on_cpu = next(unet.parameters()).device.type == "cpu"
    return torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and not on_cpu) else None


@contextmanager
def arithmetic(unet: nn.Module, precision: str, generator: torch.Generator | None = None) -> Iterator[None]:
    """Around a forward pass: `Frugal` in a training's precision, which is autocast's but for whole weights on a CPU."""
    low, kernels, device = low_precision(unet, precision), _kernels(unet, precision), next(unet.parameters()).device
    with Frugal(kernels, generator), torch.autocast(device.type, low, enabled=low is not kernels):
        yield


def checkpointing(unet: ModelMixin, precision: str = "float32") -> None:
    """Have the network recompute its blocks in the backward pass, which is outside of any `Frugal`, as they were
    computed in the forward pass."""
    low = _kernels(unet, precision)

    count = unet.frames if isinstance(unet, VideoUNet) else FrameCount()

    def recompute(block: Callable, *args: Any) -> Any:
        frames = count.value

        def run(*inputs: Any) -> Any:
            with Kernels(low), count.of(frames):
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
    kwargs: dict[str, Any]  # likewise
    autocast: Callable[[], AbstractContextManager]  # as it was
    version: int  # of what it makes: another once that was changed in place
    uses: int = 0  # how often it will still be asked for
    made: Tensor | None = None  # held until all who need it have had it

    def make(self) -> Tensor:
        made, self.uses = self.made, self.uses - 1
        if made is None:
            with torch.no_grad(), self.autocast():
                args, values = (_each(given, (_Kept, _View), _unpack) for given in (self.args, self.kwargs.values()))
                made = self.func(*args, **dict(zip(self.kwargs, values, strict=True)))
        self.made = made if self.uses > 0 else None
        return made


@dataclass(frozen=True, eq=False)
class _Kept:
    """A tensor, and how often it had been changed in place: PyTorch does not look at that itself any more."""

    tensor: Tensor
    version: int


@dataclass(frozen=True, eq=False)
class _View:
    """A part of what a recipe makes."""

    recipe: _Recipe
    shape: torch.Size
    stride: tuple[int, ...]
    offset: int


def _unpack(kept: _Kept | _View) -> Tensor:
    if isinstance(kept, _View):
        return kept.recipe.make().as_strided(kept.shape, kept.stride, kept.offset)
    if kept.tensor._version != kept.version:
        raise RuntimeError("a tensor that the backward pass needs was changed in place after the forward pass used it")
    return kept.tensor


def _each(given: Iterable[Any], kinds: type | tuple[type, ...], change: Callable) -> list[Any]:
    """What was given, that of these kinds changed, in lists too. PyTorch's own trees take a twentieth of a step."""
    return [
        change(one) if isinstance(one, kinds) else _each(one, kinds, change) if isinstance(one, list | tuple) else one
        for one in given
    ]


def _tensors(given: Iterable[Any]) -> Iterator[Tensor]:
    """Those that were given, in lists too."""
    for one in given:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors(one)


def _autocast(out: Tensor) -> Callable[[], AbstractContextManager]:
    """What makes the present autocast again."""
    return partial(torch.autocast, out.device.type, low) if (low := _low(out)) else nullcontext


def _autocast_to(func: Callable, args: Sequence[Any]) -> torch.dtype | None:
    """The precision that autocast brings a function's first argument to, if it is another."""
    if func not in (frozen.linear, F.group_norm, F.layer_norm) or (low := _low(args[0])) is None:
        return None
    whole = torch.float32 if args[0].device.type == "cuda" else args[0].dtype  # on a CPU norms are left alone
    wanted = low if func is frozen.linear else whole
    return wanted if wanted != args[0].dtype else None


def _low(tensor: Tensor) -> torch.dtype | None:
    """Autocast's precision, where it is on."""
    device = tensor.device.type
    on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else None


def _kernels(unet: nn.Module, precision: str) -> torch.dtype | None:
    """The precision of the frozen layers' own multiplications."""
    weight = next(unet.parameters())
    return low_precision(unet, precision) if weight.device.type == "cpu" and weight.dtype == torch.float32 else None


def _as_convolutions_like_it(x: Tensor) -> bool:
    """Whether a tensor lies in memory as `channels_last` has it, and would be copied for nothing: what follows
    `contiguous` in diffusers is another convolution or a sum."""
    return x.device.type == "cpu" and x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)


def _widens(x: Tensor, weight: Tensor, *_: Any) -> bool:
    return weight.shape[0] >= WIDER * weight.shape[1] and not frozen.trained(weight)
