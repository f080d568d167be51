"""What a stopped or killed run continues from: one file, which is replaced whole or not at all."""

import io
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
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


def plain(run: Any) -> Any:
    """Dataclasses, and lists and dictionaries of them, as dictionaries, which can be written."""
    if is_dataclass(run):
        return asdict(run)
    if isinstance(run, dict):
        return {name: plain(value) for name, value in run.items()}
    return [plain(value) for value in run] if isinstance(run, list) else run


def read(folder: Path, run: dict[str, Any]) -> dict[str, Any] | None:
    """What `write` has written, tensors on the CPU; None where there is nothing yet.

    Its `run`, as `plain` made it, must agree with this one; what a dataclass had not then must be at its default now.

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
        raise damaged(folder, error) from error
    # The first checkpoints had a text here that newer programs do not make; that the folder is the run's must do.
    if not isinstance(written_by, str) and not _agree(run, written_by):
        raise UserError(f"{path} belongs to a run with other settings, votes or clips. Choose another --output.")
    return state


def damaged(folder: Path, error: Exception) -> UserError:
    """The sentence for a checkpoint that reading, or going on from it, stumbled over."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, KeyError):
        reason = f"it lacks {reason}"
    return UserError(f"{folder / CHECKPOINT} is damaged ({reason}). Remove it to start the run from the beginning.")


def _agree(now: Any, written: Any) -> bool:
    if is_dataclass(now):
        now = {field.name: (getattr(now, field.name), _default(field)) for field in fields(now)}
        return written.keys() <= now.keys() and all(
            _agree(value, written.get(name, default)) for name, (value, default) in now.items()
        )
    if isinstance(now, dict):
        return written.keys() == now.keys() and all(_agree(value, written[name]) for name, value in now.items())
    if isinstance(now, list):
        return len(now) == len(written) and all(map(_agree, now, written))
    return now == written


def _default(field: Field) -> Any:
    return field.default if field.default_factory is MISSING else plain(field.default_factory())
