"""Stable Diffusion 1.4's own UNet inflated at its real size, on no device: what becomes of each of its tensors."""

import re

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open

from huvidpo_core.models import VideoUNet
from huvidpo_core.models.architectures import SD14
from tests.reference import DATA

Shapes = dict[str, tuple[int, ...]]
TEMPORAL = re.compile(r"\.(conv1d|conv_gate|attn_temp|norm_temp)\.")


@pytest.fixture(scope="module")
def unets() -> tuple[Shapes, Shapes]:
    """The shapes of its tensors by name, before and after."""
    with torch.device("meta"):
        plain = UNet2DConditionModel(**SD14)
    inflated = VideoUNet.inflate(plain)
    assert inflated.device.type == "meta"
    return shapes(plain), shapes(inflated)


def shapes(unet: UNet2DConditionModel) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}


def test_every_tensor_is_used(unets: tuple[Shapes, Shapes]) -> None:
    """All 686 have a place of their shape, called as before but for the published "conv2d", and there is none else."""
    plain, inflated = unets
    placed = {name.replace(".conv2d.", "."): shape for name, shape in inflated.items() if not TEMPORAL.search(name)}
    assert len(plain) == 686 and placed == plain
    assert sum(not TEMPORAL.search(name) for name in inflated) == len(plain)  # no two of one name in 2D


def test_what_is_new_is_temporal(unets: tuple[Shapes, Shapes]) -> None:
    """A gate and a convolution over frames beside each convolution outside the transformers, an attention over frames
    and its norm in each of the 16 transformers; of the sizes that the method says, and nothing else."""
    plain, inflated = unets
    convolutions = r"(conv_in|conv_out|.*\.(conv1|conv2|conv_shortcut|conv))\.(weight|bias)"
    wanted: Shapes = {}
    for name, shape in plain.items():
        if match := re.fullmatch(convolutions, name):
            conv, kind, out = match[1], match[3], shape[0]
            assert f"{conv}.conv2d.{kind}" in inflated
            wanted[f"{conv}.conv1d.{kind}"] = (out, out, 3) if kind == "weight" else (out,)
            wanted[f"{conv}.conv_gate.{kind}"] = (1, out, 3, 3) if kind == "weight" else (1,)
        elif ".attn1." in name:
            wanted[name.replace(".attn1.", ".attn_temp.")] = shape
        elif ".transformer_blocks.0.norm1." in name:
            wanted[name.replace(".norm1.", ".norm_temp.")] = shape
    assert {name: shape for name, shape in inflated.items() if TEMPORAL.search(name)} == wanted
    assert sum(name.endswith("norm_temp.weight") for name in wanted) == 16 and len(inflated) == 1062


def test_every_name_is_a_published_one(unets: tuple[Shapes, Shapes]) -> None:
    """But for the numbers of blocks and layers, of which the published checkpoint in `tests/data` has fewer."""
    with safe_open(DATA / "model/unet/diffusion_pytorch_model.safetensors", "pt") as file:
        published = set(file.keys())
    assert {unnumbered(name) for name in unets[1]} == {unnumbered(name) for name in published}


def unnumbered(name: str) -> str:
    return re.sub(r"(_blocks|resnets|attentions)\.\d+", r"\1.N", name)
