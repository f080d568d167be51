"""What a stopped or killed run continues from: one file, which is replaced whole or not at all."""

import io
from pathlib import Path
from typing import Any

import torch

from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file

CHECKPOINT = "checkpoint.pt"


def write(folder: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values. Raises UserError when that cannot be done; the one before stays."""
    # torch.save tells of a full disk by a RuntimeError without a reason, so it does not see the file.
    whole = io.BytesIO()
    torch.save(state, whole)
    with whole_file(folder / CHECKPOINT) as path:
        path.write_bytes(whole.getbuffer())


def read(folder: Path, run: str) -> dict[str, Any] | None:
    """What `write` has written, tensors on the CPU; None where there is nothing yet.

    Raises:
        UserError: the file is damaged, or its `run` is another.
    """
    path = folder / CHECKPOINT
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        written_by = state["run"]
    except FileNotFoundError:
        return None
    except Exception as error:  # on a file that is none, the reader stumbles in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is damaged ({reason}). Remove it to start the run from the beginning.") from error
    if written_by != run:
        raise UserError(f"{path} belongs to a run with other settings, votes or clips. Choose another --output.")
    return state
