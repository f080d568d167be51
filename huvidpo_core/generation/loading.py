"""Reading model components from folders in the Hugging Face layout, with errors that a person can act on."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError

from huvidpo_core.config import Attention, resolve
from huvidpo_core.errors import UserError, out_of_memory
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.vae import PatchAutoencoderKL
from huvidpo_core.models.weights import model_hash

log = logging.getLogger(__name__)

RECOMPILED = 64  # variants of a compiled block; PyTorch itself gives up after 8


@contextmanager
def readable(location: str | Path) -> Iterator[None]:
    """Turn the many ways in which a model folder can be wrong into a UserError that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if out_of_memory(error):  # the folder is not at fault
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"The model '{location}' cannot be loaded ({reason}). Check that its folder is complete, or fetch it again."
        ) from error


def local_folder(location: str) -> Path:
    """Where a model lies on this machine: a folder, or what the hub's cache holds of 'owner/name'. Asks no network.

    Raises:
        UserError: it is in neither place.
    """
    place = Path(resolve(location))
    if place.is_dir():
        return place
    try:
        return Path(snapshot_download(location, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise UserError(
            f"The model '{location}' is not on this machine. Fetch it (`python -m huvidpo_core generate "
            "--allow-downloads`, or in the app), restore the folder, or name another in assets/profiles."
        ) from error


def component_folder(location: str, subfolder: str) -> Path:
    """The folder of a component: the location itself if it holds a config, else its subfolder of that name."""
    place = local_folder(location)
    return place if (place / "config.json").exists() else place / subfolder


def load_component(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """`kind.from_pretrained` from a local folder, in any of the published layouts (see `weights_of`)."""
    with readable(folder):
        return kind.from_pretrained(folder, dtype=dtype, local_files_only=True, **weights_of(folder)).eval()


def load_video_unet(base: Path, dtype: torch.dtype) -> VideoUNet:
    """The UNet in a model's folder: a plain 2D one is inflated, an inflated one knows its key frames."""
    short = dtype == torch.bfloat16  # of the digits that tell one base model from another
    how = weights_of(base / "unet") | {"dtype": torch.float32 if short else dtype}
    with readable(base):
        unet = VideoUNet.from_pretrained(base, subfolder="unet", local_files_only=True, **how)
    if short:
        unet.base_hash = model_hash(unet)
    return unet.to(dtype)


def weights_of(folder: Path) -> dict[str, Any]:
    """What `from_pretrained` must be told of a component's files: in half precision where there are no others.

    Whether they are .safetensors, which go first, or .bin, one file or several, it sees by itself; pickles are read by
    PyTorch's `weights_only` way.
    """
    names = [path.name for path in folder.glob("*") if path.suffix in (".safetensors", ".bin")]
    return {"variant": "fp16"} if names and all(".fp16" in name for name in names) else {}


def load_vae(folder: Path, dtype: torch.dtype) -> torch.nn.Module:
    """A VAE of whatever class its config names: one of diffusers', or the miniature's."""
    with readable(folder):
        name = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_class_name", "AutoencoderKL")
    kind = PatchAutoencoderKL if name == PatchAutoencoderKL.__name__ else getattr(diffusers, name, None)
    if kind is None:
        raise UserError(f"The VAE in '{folder}' is of the unknown kind '{name}'. Give a Stable Diffusion VAE.")
    return load_component(kind, folder, dtype)


def choose_attention(
    unet: VideoUNet, wish: Attention, device: torch.device, autocast: torch.dtype | None = None
) -> Attention:
    """Set how the network on `device` computes attention, through diffusers' dispatcher; what was chosen is returned.

    "sdpa" is PyTorch's own. "auto" takes xformers on a CUDA device where a small clip gets through with it: that
    depends not only on its being there but on its version, the GPU, the precision and the width of the network's heads.
    With `autocast` it is tried in that precision, in which a training computes.

    Raises:
        UserError: another one was asked for by name and does not work here.
    """
    if wish == "sdpa" or (wish == "auto" and device.type != "cuda"):
        return "sdpa"
    backend = "xformers" if wish == "auto" else wish
    try:
        unet.set_attention_backend(backend)
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            _small_pass(unet)
        return backend
    except (ImportError, RuntimeError, ValueError) as error:
        unet.set_attention_backend("native")
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        if wish != "auto":
            raise UserError(
                f"{backend} does not work here ({reason}). Choose attention = 'auto' in the profile, or see to what it "
                "lacks."
            ) from error
        log.info("attention without xformers: %s", reason)
        return "sdpa"


def compile_blocks(unet: VideoUNet, backend: str = "inductor") -> bool:
    """Have torch.compile see to the network's repeated blocks, which a small clip proves; whether it does. It needs a C
    compiler, on a GPU Triton, too, and without them the network stays as it is."""
    # Blocks of all widths are one function to it, compiled anew for each width, number of clips and LoRA.
    torch._dynamo.config.recompile_limit = max(RECOMPILED, torch._dynamo.config.recompile_limit)
    unet.compile_repeated_blocks(backend=backend)
    try:
        _small_pass(unet)
    except (ImportError, RuntimeError) as error:
        if out_of_memory(error):
            raise  # a smaller plan is the answer, and not the same network uncompiled
        for block in unet.modules():
            block._compiled_call_impl = None
        log.warning("nothing is compiled: %s", str(error).strip().partition("\n")[0])
        return False
    return True


@torch.inference_mode()
def _small_pass(unet: VideoUNet) -> None:
    """Two frames of the smallest size that every level of the network can halve."""
    side = 2 ** len(unet.config.block_out_channels)
    like = {"device": unet.device, "dtype": unet.dtype}
    text = torch.zeros(1, 8, unet.config.cross_attention_dim, **like)
    unet(torch.zeros(1, unet.config.in_channels, 2, side, side, **like), 1, text)
