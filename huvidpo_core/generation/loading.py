"""Reading model components from folders in the Hugging Face layout, with errors that a person can act on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError

from huvidpo_core.config import resolve
from huvidpo_core.errors import UserError
from huvidpo_core.models.vae import PatchAutoencoderKL


@contextmanager
def readable(location: str) -> Iterator[None]:
    """Turn the many ways in which a model folder can be wrong into a UserError that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"The model '{location}' cannot be loaded ({reason}). Check that its folder is complete, or fetch it again."
        ) from error


def split(location: str, default_subfolder: str) -> tuple[str, str | None]:
    """Where a component's files are: the folder itself if it holds a config, else its subfolder of that name."""
    place = resolve(location)
    if Path(place).is_dir():
        own = (Path(place) / "config.json").exists()
        return place, None if own else default_subfolder
    return place, default_subfolder if default_subfolder != "vae" else None


def load_component(kind: Any, location: str, subfolder: str, dtype: torch.dtype) -> Any:
    """`kind.from_pretrained` from a local folder or the hub's cache, never from the network."""
    place, inside = split(location, subfolder)
    with readable(location):
        return kind.from_pretrained(place, subfolder=inside, dtype=dtype, local_files_only=True).eval()


def load_vae(location: str, dtype: torch.dtype) -> torch.nn.Module:
    """A VAE of whatever class its config names: one of diffusers', or the miniature's."""
    place, inside = split(location, "vae")
    config = Path(place) / (inside or "") / "config.json"
    name = json.loads(config.read_text()).get("_class_name", "") if config.exists() else "AutoencoderKL"
    kind = PatchAutoencoderKL if name == PatchAutoencoderKL.__name__ else getattr(diffusers, name, None)
    if kind is None:
        raise UserError(f"The VAE in '{location}' is of the unknown kind '{name}'. Give a Stable Diffusion VAE.")
    return load_component(kind, location, "vae", dtype)
