"""The exceptions a person may be shown. Their message is the whole sentence: what is wrong and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something a person can mend: a wrong value, a missing file, a model that is not there.

    The UI shows the message as a `gr.Error`; the command line prints it on one line of stderr and exits with 2.
    """


class Stopped(Exception):  # noqa: N818  (not an error: the person asked for it)
    """The person pressed Stop; raised at the first step boundary after that."""


_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "ALLOC_FAILED",  # cuBLAS, cuDNN
    "ALLOCATION_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",  # a handle for cuBLAS is made late, when a full GPU has no room for it
    "unable to find an engine to execute this computation",  # cuDNN, where none has room to work
)
_LOST = ("CUDA error", "cuDNN error", "NCCL error")


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the GPU's or the machine's; told by the words, since PyTorch's CPU has no type for it."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in _OUT_OF_MEMORY)
    )


_GONE = ("Connection closed by peer", "Connection reset by peer", "gloo")


def device_lost(error: BaseException) -> bool:
    """Whether the GPU failed under the work (`torch.AcceleratorError`): nothing runs on it in this process again."""
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST) and not out_of_memory(error)


class MemoryExhaustedError(UserError):
    """Memory ran out in the middle of the work."""


@contextmanager
def enough_memory() -> Iterator[None]:
    """Around heavy work: when memory runs out inside, or the GPU fails, a UserError says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            raise MemoryExhaustedError(
                "There is not enough memory for this. Ask for fewer frames, choose a profile of smaller pictures "
                "(miniature), or close other programs that hold memory; then try again."
            ) from error
        if device_lost(error):
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"The GPU failed ({reason}). Restart the program: clips and votes are kept, and a training goes on "
                "from its checkpoint."
            ) from error
        if any(word in str(error) for word in _GONE):  # by torch.distributed
            raise UserError(
                "Another of the processes that worked together has ended. Start the command again with --resume: a "
                "training goes on from its checkpoint."
            ) from error
        raise
