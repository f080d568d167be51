"""Reading model components from folders in the Hugging Face layout, with errors that a person can act on."""

import json
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import diffusers
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from huvidpo_core.config import Attention, load_profile, profile_names, resolve
from huvidpo_core.errors import UserError, out_of_memory
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.vae import PatchAutoencoderKL
from huvidpo_core.models.weights import few, model_hash

log = logging.getLogger(__name__)

# What libraries raise for files that are missing, damaged, or hold something else than they expect.
_BROKEN = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, OverflowError, EOFError,
    SafetensorError, pickle.UnpicklingError,
)  # fmt: skip
CLOSE = 0.05  # share by which half precision makes two ways of attention differ at most
RECOMPILED = 64  # variants of a compiled block; PyTorch itself gives up after 8


@contextmanager
def readable(location: str | Path) -> Iterator[None]:
    """Turn the many ways in which a model folder can be wrong into a UserError that names it."""
    try:
        yield
    except UserError:
        raise
    except _BROKEN as error:
        if out_of_memory(error):  # the folder is not at fault
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # PyTorch's own words advise to open it all the same
            reason = "a .bin of it is damaged, or holds code beside its tensors, and was not opened"
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
        how = "Restore the folder" if isinstance(error, HFValidationError) else _fetching(location)
        raise UserError(
            f"The model '{location}' is not on this machine. {how}, or name another in assets/profiles."
        ) from error


def _fetching(name: str) -> str:
    """How a model comes to this machine, for people: the app fetches what a profile has a table for, and no more."""
    for profile in profile_names():
        with suppress(UserError):  # of a profile that nobody can read, whoever chooses it is told
            if any(name == each.name for each in load_profile(profile).downloads_for()):
                command = f"python -m huvidpo_core generate --profile {profile} --allow-downloads"
                return f"Fetch it in the app, or with `{command}`"
    return f"Fetch it with `hf download {name}`, add a [[downloads]] table for it to the profile"


def component_folder(location: str, subfolder: str) -> Path:
    """The folder of a component: the location itself if it holds a config, else its subfolder of that name."""
    place = local_folder(location)
    return place if (place / "config.json").exists() else place / subfolder


def load_component(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """`kind.from_pretrained` from a local folder, in any of the published layouts (see `weights_of`). Raises UserError,
    too where a tensor is not in it: libraries only warn, and go on with random numbers or none."""
    how = weights_of(folder) | {"dtype": dtype, "local_files_only": True, "output_loading_info": True}
    with readable(folder):
        component, found = kind.from_pretrained(folder, **how)
        if missing := found["missing_keys"]:
            raise UserError(f"The model in {folder} lacks {few(missing)}; fetch or save it again.")
        return component.eval()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A text encoder's tokenizer. Raises UserError, too where its words are not there: it would know none."""
    with readable(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
            raise UserError(f"The tokenizer in {folder} has no words; fetch or save it again.")
        return tokenizer


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
    """What `from_pretrained` must be told of a component's files: in half precision where there are no others, and .bin
    where none of those to be read is .safetensors, for diffusers finds the shards of only one kind by itself.

    Whether it is one file or several, it sees by itself; pickles are read by PyTorch's `weights_only` way.
    """
    names = [path.name for path in folder.glob("*") if path.suffix in (".safetensors", ".bin")]
    whole = [name for name in names if ".fp16" not in name]
    told: dict[str, Any] = {"variant": "fp16"} if names and not whole else {}
    if names and not any(name.endswith(".safetensors") for name in whole or names):
        told["use_safetensors"] = False
    return told


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

    "sdpa" is PyTorch's own. "auto" takes xformers on a CUDA device where a small clip gets through with it both ways
    and comes out as with PyTorch's: that depends not only on its being there but on its version, the GPU, the precision
    and the width of the network's heads. With `autocast` it is tried in that precision, in which a training computes.

    Raises:
        UserError: another one was asked for by name and does not work here.
    """
    unet.set_attention_backend("native")  # another network's choice holds for all that made none
    if wish == "sdpa" or (wish == "auto" and device.type != "cuda"):
        return "sdpa"
    backend = "xformers" if wish == "auto" else wish
    try:
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            expected = _small_pass(unet)
            unet.set_attention_backend(backend)
            found = _small_pass(unet, backwards=True)
        if not (found - expected).norm() <= CLOSE * expected.norm():  # nor for what is not finite
            raise RuntimeError("it gives other numbers than PyTorch's own attention")
        return backend
    except (ImportError, RuntimeError, ValueError) as error:
        unet.set_attention_backend("native")
        if out_of_memory(error):
            raise  # it is not at fault
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
        with torch.inference_mode():  # as clips are made
            _small_pass(unet)
    except (ImportError, RuntimeError) as error:
        if out_of_memory(error):
            raise  # a smaller plan is the answer, and not the same network uncompiled
        for block in unet.modules():
            block._compiled_call_impl = None
        log.warning("nothing is compiled: %s", str(error).strip().partition("\n")[0])
        return False
    return True


def _small_pass(unet: VideoUNet, backwards: bool = False) -> torch.Tensor:
    """What comes of two frames of the smallest size that every level of the network can halve, in float32."""
    side = 2 ** len(unet.config.block_out_channels)
    draw = torch.Generator().manual_seed(0)
    clip, text = (
        torch.randn(shape, generator=draw).to(unet.device, unet.dtype)
        for shape in ((1, unet.config.in_channels, 2, side, side), (1, 8, unet.config.cross_attention_dim))
    )
    with torch.enable_grad() if backwards else torch.no_grad():
        made = unet(clip.requires_grad_(backwards), 1, text).sample
        if backwards:
            torch.autograd.grad(made.float().sum(), clip)
    return made.detach().float()
