"""What every test of the denoising loop starts from."""

import pytest
import torch
from torch import Tensor


@pytest.fixture
def inputs() -> dict[str, Tensor]:
    """What `denoise` needs beside network and scheduler: two clips of five frames, latents neither square nor even."""
    draw = torch.Generator().manual_seed(5)
    return {
        "first_frame": torch.randn(2, 4, 1, 5, 6, generator=draw),
        "noise": torch.randn(2, 4, 5, 5, 6, generator=draw),
        "text": torch.randn(2, 7, 8, generator=draw),
        "negative_text": torch.randn(2, 7, 8, generator=draw),
    }
