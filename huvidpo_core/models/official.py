"""Reads the published HuViDPO and LAMP checkpoints, strictly: every tensor must be there, have its shape, be expected.

A checkpoint is a folder with config.json (SD-1.4's fields, 3D block names) and the weights; a published LoRA is one
pickle with the state dict of the whole PEFT-wrapped network.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from huvidpo_core.errors import UserError
from huvidpo_core.models.weights import check_strictly, few, plain_name, read_weights

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
_PEFT = "base_model.model."
_ADVICE = "choose a complete HuViDPO or LAMP checkpoint."


def unet_of(folder: Path) -> Path:
    """The `unet/` of a checkpoint folder; a folder that is one already stays."""
    inner = folder / "unet"
    return inner if inner.is_dir() and not (folder / "config.json").is_file() else folder


def read_config(folder: Path) -> dict[str, Any]:
    """The constructor arguments of the 2D UNet below a published checkpoint.

    Raises:
        UserError: no config.json, or one with a field or a block name that is not known.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} has no config.json; choose the checkpoint's unet/ folder.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); copy it again.") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} is not a JSON object; copy it again.")
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    config.pop("use_temp", None)  # the published network ignores it: temporal attention is always there
    known = UNet2DConditionModel._get_init_keys(UNet2DConditionModel) - {"self"}
    if unknown := set(config) - known:
        raise UserError(f"{path} has the unknown field {few(unknown)}; {_ADVICE}")
    for key in ("down_block_types", "up_block_types"):
        if not isinstance(config.get(key), list):
            raise UserError(f"{path} has no list {key}; {_ADVICE}")
        config[key] = [_block_in_2d(kind, path) for kind in config[key]]
    config["mid_block_type"] = _block_in_2d(config.get("mid_block_type", "UNetMidBlock3DCrossAttn"), path)
    return config


def _block_in_2d(kind: object, path: Path) -> str:
    if not isinstance(kind, str) or "3D" not in kind:
        raise UserError(f"{path} names the block {kind!r}, which is not a 3D block; {_ADVICE}")
    return kind.replace("3D", "2D")


def load_weights(unet: nn.Module, folder: Path) -> None:
    """Make a checkpoint folder's tensors the weights of `unet`, which may be on the meta device.

    A .safetensors file is preferred to a .bin.

    Raises:
        UserError: no weights file, one that cannot be read, or a tensor that is missing, extra or misshapen.
    """
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise UserError(f"{folder} has neither {' nor '.join(WEIGHTS)}; choose the checkpoint's unet/ folder.")
    tensors = read_weights(path)
    check_strictly(unet.state_dict(), tensors, path, _ADVICE)
    unet.load_state_dict(tensors, assign=True)


def read_lora(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A published LoRA file: its LoRA tensors in diffusers' names, and the base weights that came along.

    The file does not say alpha; the published training uses twice the rank.

    Raises:
        UserError: the file cannot be read, or has names that a PEFT-wrapped UNet does not have.
    """
    tensors = read_weights(path)
    if odd := [name for name in tensors if not name.startswith(_PEFT)]:
        raise UserError(f"{path} is not a published HuViDPO LoRA: {few(odd)} does not start with {_PEFT}")
    names = {name: name.removeprefix(_PEFT).replace(".default.", ".") for name in tensors}
    lora = {new: tensors[name] for name, new in names.items() if ".lora_" in new}
    base = {plain_name(new): tensors[name] for name, new in names.items() if ".lora_" not in new}
    if not lora:
        raise UserError(f"{path} has no LoRA tensors; choose the model_weights.pth of a HuViDPO preference training.")
    return lora, base


def check_same_base(unet: nn.Module, base: Mapping[str, Tensor], path: Path) -> None:
    """The weights that came along with a published LoRA are those of `unet`, to half precision.

    Raises:
        UserError: they are not; the message names a tensor.
    """
    advice = "choose the checkpoint that this LoRA was trained on."
    own = unet.state_dict()
    check_strictly(own, base, path, advice)
    for name, tensor in own.items():
        if not tensor.cpu().float().allclose(base[name].float(), rtol=2e-3, atol=1e-5):
            raise UserError(f"{path} was trained on another checkpoint ({name} differs); {advice}")
