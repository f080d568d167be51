"""Weights files and what is in them: strict reading, the names stage 1 trains, the fingerprint of a base model."""

import hashlib
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from huvidpo_core.errors import UserError, out_of_memory
from huvidpo_core.files import whole_file, write_error

_MOTION = ("conv1d", "conv_gate", "attn1.to_q", "attn_temp")
_SAMPLED = 512  # values per tensor that enter the fingerprint


def plain_name(name: str) -> str:
    """The parameter's name without the level PEFT puts in while an adapter is attached."""
    return name.replace(".base_layer.", ".")


def is_motion(name: str) -> bool:
    """Whether stage 1 trains the parameter of this name (method, section 1); LoRA tensors are never motion."""
    return "lora_" not in name and any(f".{part}." in f".{plain_name(name)}" for part in _MOTION)


def motion_parameters(unet: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters stage 1 trains, by their published names, adapters attached or not."""
    return {plain_name(name): parameter for name, parameter in unet.named_parameters() if is_motion(name)}


@torch.no_grad()
def model_hash(unet: nn.Module) -> str:
    """The fingerprint of the base below all packs: 'STRUCTURE-VALUES', two times 16 hex digits.

    STRUCTURE is a SHA-256 over names and shapes of all tensors that are neither motion nor LoRA, VALUES over up to
    about a thousand evenly spread numbers of each, rounded to float16. So it stays the same when a pack or an adapter
    is put in and when the model is stored in float16 and read back, and differs between any two trained models.
    (Not so for bfloat16 storage, which keeps fewer digits: a network's `base_hash` is from before it was rounded, and
    without one `same_base` looks at the structure alone.)
    """
    if known := getattr(unet, "base_hash", None):
        return known
    structure, values = hashlib.sha256(), hashlib.sha256()
    base = {plain_name(k): v for k, v in unet.state_dict().items() if "lora_" not in k and not is_motion(k)}
    for name, tensor in sorted(base.items()):
        structure.update(f"{name} {tuple(tensor.shape)}\n".encode())
        sample = tensor.flatten()[:: max(1, tensor.numel() // _SAMPLED)]
        values.update(sample.to(torch.float16).cpu().numpy().tobytes())
    return f"{structure.hexdigest()[:16]}-{values.hexdigest()[:16]}"


def same_base(fingerprint: str, unet: nn.Module) -> bool:
    """Whether `fingerprint` is that of the base in `unet`."""
    own = model_hash(unet)
    rounded = any(parameter.dtype == torch.bfloat16 for parameter in unet.parameters())
    if rounded and not getattr(unet, "base_hash", None):
        return own.partition("-")[0] == fingerprint.partition("-")[0]
    return own == fingerprint


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a pickle (opened with `weights_only=True`), on the CPU.

    Raises:
        UserError: the file is missing, cut short, damaged, or holds anything but dense tensors by name: code above
            all, which is not run.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path} is not there. Check how it is written.") from None
    except Exception as error:  # on a damaged pickle, the reader stumbles in any way
        if out_of_memory(error):  # the file is not at fault
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, pickle.UnpicklingError):  # PyTorch's own words advise to open it all the same
            if code := re.search(r"GLOBAL ([\w.]+)", str(error)):
                raise UserError(
                    f"{path} holds code beside its tensors ({code[1]}) and was not opened, for such code can do "
                    "anything on this machine. Get these weights from whom you trust, best as .safetensors."
                ) from error
            reason = "no pickle of tensors"
        raise UserError(f"{path} is damaged or not a weights file ({reason}); copy it again.") from error
    if not isinstance(tensors, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in tensors.items()
    ):
        raise UserError(f"{path} holds something else than tensors by name; it is not a weights file.")
    if odd := [key for key, value in tensors.items() if value.layout != torch.strided or value.device.type != "cpu"]:
        raise UserError(f"{path} holds {few(odd)} sparse or without numbers; save it again with dense tensors.")
    return dict(tensors)


def write_weights(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a .safetensors file: whole or not at all, whatever happens in between.

    Raises:
        UserError: it cannot be written (disk full, no permission); an earlier file is as it was.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with whole_file(path) as temporary:
        try:
            save_file(tensors, temporary, {**(metadata or {})})
        except SafetensorError as error:  # a full disk, too
            raise write_error(str(error)) from error
        temporary.chmod(0o644)  # safetensors' files are the owner's alone


def check_strictly(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], source: object, advice: str) -> None:
    """Both have the same names and shapes, and what was found is floating point.

    Args:
        expected, found: tensors by name.
        source: where `found` comes from, the subject of the sentence.
        advice: what to do about it, the sentence's end.

    Raises:
        UserError: naming the first few tensors that are missing, extra, misshapen or whole numbers.
    """
    if missing := expected.keys() - found.keys():
        raise UserError(f"{source} lacks {few(missing)}; {advice}")
    if extra := found.keys() - expected.keys():
        raise UserError(f"{source} has no place in the network for {few(extra)}; {advice}")
    shapes = ((name, tuple(found[name].shape), tuple(tensor.shape)) for name, tensor in expected.items())
    if wrong := [f"{name} has shape {has} instead of {needs}" for name, has, needs in shapes if has != needs]:
        raise UserError(f"In {source} {few(wrong)}; {advice}")
    if whole := [name for name, tensor in found.items() if not tensor.is_floating_point()]:
        raise UserError(f"In {source} {few(whole)} is not floating point; {advice}")


def check_finite(tensors: Mapping[str, Tensor], source: object) -> None:
    """No number of these tensors is NaN or infinite.

    Raises:
        UserError: naming the first few tensors in `source` that hold such numbers.
    """
    if odd := [name for name, tensor in tensors.items() if tensor.is_floating_point() and not _finite(tensor)]:
        raise UserError(f"{source} holds numbers that are not finite, in {few(odd)}; fetch or save it again.")


def _finite(tensor: Tensor) -> bool:
    numbers = tensor.float() if tensor.itemsize == 1 else tensor  # of float8, PyTorch does not tell
    return bool(numbers.isfinite().all())


def few(names: Iterable[str], shown: int = 3) -> str:
    """The first few of the names in words."""
    names = sorted(names)
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
