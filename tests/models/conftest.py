"""Small networks, and packs for them, that the tests of this folder share."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError
from torch import Tensor, nn

from huvidpo_core.models import VideoUNet, motion_parameters, preference, weights
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.weights import model_hash

Clip = tuple[Tensor, Tensor, Tensor]
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def image_unet(**changes: object) -> UNet2DConditionModel:
    """A two-level 2D UNet of the SD-1.x kind with random weights, the same on every call."""
    torch.manual_seed(7)
    settings = {
        "sample_size": 8,
        "block_out_channels": (16, 24),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**settings, **changes}).eval()


@torch.no_grad()
def stir(unet: nn.Module) -> nn.Module:
    """Give random values to every tensor that starts at zero, so that each part has an effect."""
    generator = torch.Generator().manual_seed(3)
    for parameter in unet.parameters():
        if not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return unet


@pytest.fixture
def unet() -> VideoUNet:
    """A small clip network in which every part has an effect."""
    return stir(VideoUNet.inflate(image_unet()))


@pytest.fixture
def clip() -> Clip:
    """Two clips of five frames, their timesteps, their texts."""
    generator = torch.Generator().manual_seed(11)
    sample = torch.randn(2, 4, 5, 8, 8, generator=generator)
    return sample, torch.tensor([20, 700]), torch.randn(2, 6, 12, generator=generator)


def base_unet() -> VideoUNet:
    """The base that the packs of these tests are for: freshly inflated."""
    return VideoUNet.inflate(image_unet())


def describe(unet: VideoUNet, name: str = "rain") -> ActionPack:
    return ActionPack(
        name=name,
        title="Rain",
        action="rain",
        prompt="rain over {}",
        base="tests",
        base_hash=model_hash(unet),
        frames=5,
        fps=8,
        width=64,
        height=64,
        licence="Apache-2.0",
        training={"steps": 3},
    )


def motion(unet: VideoUNet, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    parameters = motion_parameters(unet).items()
    return {name: value.detach() + 0.2 * torch.randn(value.shape, generator=generator) for name, value in parameters}


def adapter(seed: int) -> preference.Adapter:
    """Train nothing: a random LoRA on every attention."""
    unet = base_unet()
    torch.manual_seed(seed)
    unet.add_adapter(
        LoraConfig(r=2, lora_alpha=8, lora_dropout=0.1, init_lora_weights=False, target_modules=TARGETS), "x"
    )
    return preference.Adapter(get_peft_model_state_dict(unet, adapter_name="x"), unet.peft_config["x"].to_dict())


def add_preference(pack: ActionPack, name: str, seed: int) -> None:
    """Put a random LoRA beside the pack's motion, under that name."""
    preference.write(adapter(seed), pack.preference_file(name))


@pytest.fixture
def pack(tmp_path: Path) -> ActionPack:
    unet = base_unet()
    return describe(unet).save(tmp_path / "rain", motion(unet, 1))


@torch.no_grad()
def output(unet: VideoUNet, clip: Clip) -> Tensor:
    return unet(*clip).sample


FullDisk = Callable[[str], None]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    """`full_disk(file)`: from now on the disk fills up half way into "motion", "preference", "any" tensors or "record".

    The errors are those that safetensors and Python raise on a really full file system.
    """
    save_file, write_text = weights.save_file, Path.write_text

    def fill(at: str) -> None:
        def save(tensors: dict, path: Path, metadata: dict) -> None:
            kind = "preference" if any("lora_" in name for name in tensors) else "motion"
            if at in ("any", kind):
                Path(path).write_bytes(b"half")
                raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
            save_file(tensors, path, metadata)

        def write(path: Path, text: str, **options: object) -> int:
            if at == "record":
                write_text(path, "half")
                raise OSError(errno.ENOSPC, "No space left on device")
            return write_text(path, text, **options)

        monkeypatch.setattr(weights, "save_file", save)
        monkeypatch.setattr(Path, "write_text", write)

    return fill
