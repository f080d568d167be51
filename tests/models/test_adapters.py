"""The inflated network with LoRA adapters, and its gradients."""

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from peft import LoraConfig
from torch import Tensor

from huvidpo_core.models import VideoUNet
from tests.models.conftest import TARGETS, Clip


def adapted(unet: VideoUNet) -> VideoUNet:
    """With an adapter whose B is not zero, so that it has an effect."""
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=4, init_lora_weights=False, target_modules=TARGETS))
    return unet


@pytest.mark.parametrize("processor", [None, AttnProcessor(), AttnProcessor2_0()], ids=["ours", "math", "sdpa"])
@torch.no_grad()
def test_adapter_off_is_the_base_bit_by_bit(unet: VideoUNet, clip: Clip, processor: object) -> None:
    """LoRA on every attention moves the output; switched off, or taken out, the base is back exactly."""
    if processor:
        unet.set_attn_processor(processor)
    base = unet(*clip).sample
    adapted(unet)
    on = unet(*clip).sample
    assert (on - base).abs().max() > 1e-3
    unet.disable_adapters()
    assert torch.equal(unet(*clip).sample, base)
    unet.enable_adapters()
    assert torch.equal(unet(*clip).sample, on)
    unet.unload_lora()
    assert torch.equal(unet(*clip).sample, base)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_lora_tensor_gets_a_gradient(unet: VideoUNet, clip: Clip, checkpointing: bool) -> None:
    """Also with gradient checkpointing: all three kinds of attention, down to the first block, A and B alike."""
    adapted(unet).train()
    if checkpointing:
        unet.enable_gradient_checkpointing()
    unet(*clip).sample.square().mean().backward()
    lora = {name: parameter for name, parameter in unet.named_parameters() if "lora_" in name}
    assert {part for part in ("attn1", "attn2", "attn_temp") for name in lora if part in name} == {
        "attn1",
        "attn2",
        "attn_temp",
    }
    for name, parameter in lora.items():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert all(parameter.grad is None for name, parameter in unet.named_parameters() if "lora_" not in name)


def test_checkpointed_gradients_survive_another_clip_length(unet: VideoUNet, clip: Clip) -> None:
    """Recomputation sees its own frame count, even when a clip of another length went through before `backward`."""
    unet.train()

    def gradients() -> dict[str, Tensor]:
        loss = unet(*clip).sample.square().mean()
        with torch.no_grad():
            unet(clip[0][:, :, :2], *clip[1:])
        unet.zero_grad()
        loss.backward()
        return {
            name: parameter.grad.clone() for name, parameter in unet.named_parameters() if parameter.grad is not None
        }

    plain = gradients()
    unet.enable_gradient_checkpointing()
    checkpointed = gradients()
    assert plain.keys() == checkpointed.keys() == dict(unet.named_parameters()).keys()
    for name in plain:
        torch.testing.assert_close(checkpointed[name], plain[name], atol=1e-7, rtol=1e-5)
