"""Long work shared out over the processes that `accelerate launch` has started: each does its share, and all are told
what came of it. A process alone is a crew of one. Importing this loads no torch.
"""

import logging
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar

from huvidpo_core.errors import UserError
from huvidpo_core.progress import Progress

if TYPE_CHECKING:
    from huvidpo_core.training.crew import Crew

T = TypeVar("T")


def meet(wish: str | None = None) -> "tuple[Crew, str | None]":
    """The crew, and the device for this process's engine: the one wished for or, with others, a GPU of its own. Raises
    UserError for a GPU's number that others would take, too."""
    from huvidpo_core.training.crew import Crew

    crew, own = Crew.gather(wish)
    return crew, wish if crew.size == 1 or own.type == "cpu" else str(own)


def share(crew: "Crew") -> slice:
    """Which of any number of things are this process's: they are dealt out in turn, so that shares are alike."""
    return slice(crew.rank, None, crew.size)


def gathered(crew: "Crew", work: Iterator[Progress | T]) -> Iterator[Progress | list[T]]:
    """Do this process's share, then wait for the others; the last item is the result of each, by rank.

    Raises:
        UserError: one of them failed; the same in all.
    """
    result, wrong = None, ""
    try:
        for result in work:
            if isinstance(result, Progress):
                yield result
    except UserError as error:
        result, wrong = None, str(error)  # the others are waiting, and have to know
    told = crew.all_told((result, wrong))
    if wrong := next((words for _, words in told if words), ""):
        raise UserError(wrong)
    yield [each for each, _ in told]


def leave(status: int) -> NoReturn:
    """End this process with an exit status.

    One of several goes without Python's clearing up, in which PyTorch's threads abort every now and then (seen with
    2.13 on a CPU), so that the launcher would call work failed that is done.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
