"""The clips of a batch computed side by side on a CPU, each by a thread with its share of the cores.

The layers of a small network are too small to keep several cores busy one after the other: on two cores a step of the
miniature takes a sixth longer when both work at each layer than when each has a clip of its own.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor


def abreast(compute: Callable[[int], Tensor], count: int, parameters: Sequence[Tensor]) -> Tensor:
    """What `compute(0)`, ..., `compute(count - 1)` give, joined along dimension 0.

    Gradients of `parameters` reach them; those of the parts are summed in order, so that a repetition gives the same to
    the bit. Other tensors get none. All that a thread has of its own (autocast, modes, generators) is up to `compute`.
    """
    if torch.is_grad_enabled() and parameters:
        return _Abreast.apply(compute, count, *parameters)
    return torch.cat(_each(torch.no_grad()(compute), range(count)))


class _Abreast(torch.autograd.Function):
    """Each part has a graph of its own, which a thread goes back through."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[[int], Tensor], count: int, *parameters: Tensor) -> Tensor:
        ctx.parts, ctx.parameters = _each(torch.enable_grad()(compute), range(count)), parameters
        return torch.cat([part.detach() for part in ctx.parts])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        def back(number: int) -> tuple[Tensor | None, ...]:
            return torch.autograd.grad(ctx.parts[number], ctx.parameters, gradients[number], allow_unused=True)

        gradients = gradient.split([len(part) for part in ctx.parts])
        found = _each(back, range(len(ctx.parts)))
        ctx.parts = ()
        return None, None, *(None if each[0] is None else sum(each) for each in zip(*found, strict=True))


def _each(task: Callable[[int], Any], numbers: range) -> list[Any]:
    return list(_threads(min(len(numbers), torch.get_num_threads()), torch.get_num_threads()).map(task, numbers))


@cache
def _threads(count: int, cores: int) -> ThreadPoolExecutor:
    """Threads that share the cores evenly."""
    started = threading.Barrier(count)

    def start(_: int) -> None:
        torch.get_num_threads()  # or PyTorch would set up this thread later, and by its own lights
        torch.set_num_threads(max(1, cores // count))  # of this thread, and of those that are still to come
        started.wait()

    threads = ThreadPoolExecutor(count, thread_name_prefix="abreast")
    list(threads.map(start, range(count)))
    torch.set_num_threads(cores)
    return threads
