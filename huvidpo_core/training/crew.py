"""The processes that train together: one alone, or what `accelerate launch` has started."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, reduce
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from huvidpo_core.errors import UserError

PATIENCE = timedelta(days=1)  # until a process that waits for the others gives up; the launcher sees to one that died

T = TypeVar("T")


class Mean(NamedTuple):
    """A mean, and how many values it is one of."""

    value: float
    count: float


@dataclass(frozen=True)
class Crew:
    """This process is number `rank` of `size`; the first one keeps the record."""

    rank: int = 0
    size: int = 1

    @classmethod
    def gather(cls, device: str | None = None) -> "tuple[Crew, torch.device]":
        """Meet the others, if `accelerate launch` (or torchrun) has started any; the crew, and this one's device.

        Where there are GPUs, each of several takes one of its own, unless `device` is of another kind.

        Raises:
            UserError: one of several is told a GPU by its number.
        """
        state = PartialState(cpu=device == "cpu" or not torch.accelerator.is_available(), timeout=PATIENCE)
        crew, wish = cls(state.process_index, state.num_processes), torch.device(device or state.device)
        if device and crew.size > 1 and wish.index is not None:
            raise UserError(
                f"Each of {crew.size} processes takes a device of its own. Leave the number out: --device {wish.type}."
            )
        return crew, state.device if crew.size > 1 and wish.type == state.device.type else wish

    @property
    def leads(self) -> bool:
        """Whether this process writes files and words."""
        return self.rank == 0

    def share_of(self, count: int) -> slice:
        """Which of `count` items of a batch are this process's; `count` must divide evenly."""
        own = count // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def told(self, word: str) -> str:
        """What the process that leads says; the others' word does not count."""
        if self.size == 1:
            return word
        words = [word]
        broadcast_object_list(words)
        return words[0]

    def all_told(self, word: T) -> list[T]:
        """What each process says, by rank; anything that can be pickled. All must say something."""
        return gather_object([word]) if self.size > 1 else [word]

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every process's gradients the mean of all: what one process with the whole batch would have."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters]
        vector_to_parameters(reduce(parameters_to_vector(gradients), "mean"), gradients)

    def means(self, own: Sequence[Mean]) -> list[float | None]:
        """Each of these over the values of all processes; None where nobody has any. All must ask."""
        sums = [mean.value * mean.count for mean in own] + [float(mean.count) for mean in own]
        if self.size > 1:
            sums = reduce(torch.tensor(sums, dtype=torch.float64, device=PartialState().device), "sum").tolist()
        return [total / count if count else None for total, count in zip(sums, sums[len(own) :], strict=False)]
