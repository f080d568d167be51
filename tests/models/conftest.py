"""Small networks that the tests of this folder share."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from huvidpo_core.models import VideoUNet

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
def clip() -> tuple[Tensor, Tensor, Tensor]:
    """Two clips of five frames, their timesteps, their texts."""
    generator = torch.Generator().manual_seed(11)
    sample = torch.randn(2, 4, 5, 8, 8, generator=generator)
    return sample, torch.tensor([20, 700]), torch.randn(2, 6, 12, generator=generator)
