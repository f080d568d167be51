"""A profile whose video base is the one below the checkpoint in `tests/data`, so that its packs can be used."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from huvidpo_core.config import Profile
from huvidpo_core.models import VideoUNet, motion_parameters
from tests.reference import DATA
from tests.tiny_models import make_profile

CHECKPOINT = DATA / "model/unet"


def profile_below(folder: Path) -> Profile:
    """The tiny profile, on the checkpoint without its motion."""
    profile = make_profile(folder)
    unet = VideoUNet.from_official(CHECKPOINT)
    with torch.no_grad():
        for parameter in motion_parameters(unet).values():
            parameter.zero_()
    shutil.rmtree(folder / "sd1" / "unet")
    unet.save_pretrained(folder / "sd1" / "unet")
    return profile


def wrapped_lora() -> dict[str, Tensor]:
    """The published LoRA file in full: the state dict of the whole PEFT-wrapped network."""
    tensors = load_file(DATA / "lora/model_weights.safetensors")
    modules = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in tensors}
    for name, tensor in load_file(CHECKPOINT / "diffusion_pytorch_model.safetensors").items():
        module, _, kind = name.rpartition(".")
        tensors[f"base_model.model.{module}{'.base_layer' if module in modules else ''}.{kind}"] = tensor
    return tensors


def write_files(folder: Path, ending: str = ".bin") -> tuple[list[Path], Path]:
    """The checkpoint's two files, the weights as a pickle or not, and the LoRA's `.pth`, below `folder`."""
    folder.mkdir(parents=True)
    weights = load_file(CHECKPOINT / "diffusion_pytorch_model.safetensors")
    file = folder / f"diffusion_pytorch_model{ending}"
    torch.save(weights, file) if ending == ".bin" else save_file(weights, file)
    torch.save(wrapped_lora(), folder / "model_weights.pth")
    return [Path(shutil.copy(CHECKPOINT / "config.json", folder)), file], folder / "model_weights.pth"
