"""How attention is computed: xformers where it really works, PyTorch's own everywhere else."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models import attention_dispatch
from torch import Tensor
from torch.nn import functional as F

from huvidpo_core.errors import UserError
from huvidpo_core.generation.loading import choose_attention, compile_blocks
from huvidpo_core.models import VideoUNet

CPU, CUDA, AUTOCAST = torch.device("cpu"), torch.device("cuda"), torch.autocast


@pytest.fixture
def unet() -> VideoUNet:
    torch.manual_seed(0)
    flat = UNet2DConditionModel(
        block_out_channels=(16, 16, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=12,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    yield (network := VideoUNet.inflate(flat).eval())
    network.set_attention_backend("native")  # diffusers keeps the last one chosen for all models


@pytest.fixture
def xformers(monkeypatch) -> SimpleNamespace:
    """A module in the place of xformers that computes with PyTorch, counts its calls, and fails when told to."""
    module = SimpleNamespace(calls=0, error=None)

    def memory_efficient_attention(query: Tensor, key: Tensor, value: Tensor, bias, p: float, scale: float) -> Tensor:
        module.calls += 1
        if module.error:
            raise module.error
        query, key, value = (tokens.transpose(1, 2) for tokens in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value, bias, p, scale=scale).transpose(1, 2)

    module.memory_efficient_attention = memory_efficient_attention
    monkeypatch.setattr(attention_dispatch, "_CAN_USE_XFORMERS_ATTN", True)
    monkeypatch.setattr(attention_dispatch, "xops", module)
    return module


@torch.no_grad()
def predict(unet: VideoUNet) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return unet(torch.randn(1, 4, 3, 8, 8, generator=draw), 5, torch.randn(1, 7, 12, generator=draw)).sample


@pytest.mark.parametrize(
    ("wish", "device", "chosen"),
    [("auto", CUDA, "xformers"), ("auto", CPU, "sdpa"), ("sdpa", CUDA, "sdpa"), ("xformers", CPU, "xformers")],
)
def test_xformers_is_taken_where_it_works(unet, xformers, wish, device, chosen):
    """By itself on a CUDA device, by name anywhere, never against the wish; the output is the same either way."""
    expected = predict(unet)
    assert choose_attention(unet, wish, device) == chosen
    tried = xformers.calls
    torch.testing.assert_close(predict(unet), expected, atol=1e-5, rtol=1e-4)
    assert (tried > 0, xformers.calls > tried) == ((True, True) if chosen == "xformers" else (False, False))


@pytest.mark.parametrize("error", [NotImplementedError("no operator found"), ValueError("head too wide"), None])
def test_xformers_that_fails_gives_way(unet, xformers, monkeypatch, error):
    """One that raises on a real call, or is not there, leaves PyTorch's attention; asked for by name, it is said."""
    xformers.error = error
    if error is None:
        monkeypatch.setattr(attention_dispatch, "_CAN_USE_XFORMERS_ATTN", False)
    expected = predict(unet)
    assert choose_attention(unet, "auto", CUDA) == "sdpa"
    assert torch.equal(predict(unet), expected)
    with pytest.raises(UserError, match=f"xformers does not work here .*{error or 'missing package'}"):
        choose_attention(unet, "xformers", CUDA)
    assert torch.equal(predict(unet), expected)


@pytest.mark.parametrize("wish", ["auto", "xformers"])
def test_it_is_tried_in_what_is_computed_in(unet, xformers, monkeypatch, wish):
    """A kernel that takes half precision alone, as FlashAttention: in a training whose weights are float32 and which
    computes in bfloat16 it works; without autocast it is refused, and not for want of anything to be installed."""
    whole = attention_dispatch.xops.memory_efficient_attention

    def half_alone(query: Tensor, *others: Tensor, **more: object) -> Tensor:
        if query.dtype == torch.float32:
            raise RuntimeError("FlashAttention only support fp16 and bf16 data type")
        return whole(query, *others, **more)

    monkeypatch.setattr(attention_dispatch.xops, "memory_efficient_attention", half_alone)
    monkeypatch.setattr(torch, "autocast", lambda _, *how, **more: AUTOCAST("cpu", *how, **more))
    assert choose_attention(unet, wish, CUDA, torch.bfloat16) == "xformers"
    if wish == "auto":
        assert choose_attention(unet, wish, CUDA) == "sdpa"
    else:
        with pytest.raises(
            UserError, match=r"does not work here \(FlashAttention only .* attention = 'auto'"
        ) as caught:
            choose_attention(unet, wish, CUDA)
        assert "nstall" not in str(caught.value)


class _NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tokens: Tensor) -> Tensor:
        return tokens.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        raise NotImplementedError("no operator for the backward pass")


@pytest.mark.parametrize("spoil", [_NoWayBack.apply, lambda made: made * torch.nan, lambda made: made + 1])
def test_it_must_come_out_the_same_both_ways(unet, xformers, monkeypatch, spoil):
    """One without a backward pass, one that gives NaN and one that gives other numbers are not taken."""
    whole = xformers.memory_efficient_attention
    monkeypatch.setattr(xformers, "memory_efficient_attention", lambda *how: spoil(whole(*how)))
    expected = predict(unet)
    assert choose_attention(unet, "auto", CUDA) == "sdpa"
    assert torch.equal(predict(unet), expected)


def test_memory_that_runs_out_in_the_trial_is_not_its_fault(unet, xformers):
    """It is told as such, so that a smaller plan is tried, and not the same with another attention."""
    xformers.error = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    with pytest.raises(RuntimeError, match="out of memory"):
        choose_attention(unet, "auto", CUDA)


def test_pytorchs_own_is_set_where_it_is_chosen(unet, xformers):
    """diffusers lets a network that made no choice follow the last one that any network made."""
    unet.set_attention_backend("xformers")
    assert choose_attention(unet, "sdpa", CPU) == "sdpa"
    predict(unet)
    assert xformers.calls == 0


@torch.no_grad()
def test_blocks_are_compiled_where_a_compiler_works(unet, caplog):
    """Where it does, the blocks are compiled and the output stays, with more variants than PyTorch's own limit allows;
    where it does not, a word in the log, and the network as it was. Memory that runs out is no want of a compiler."""
    expected = predict(unet)

    def broken(*_):
        raise RuntimeError("Failed to find C compiler.\nMore.")

    def full(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    assert not compile_blocks(unet, broken) and "nothing is compiled" in caplog.text and "More" not in caplog.text
    assert not any(module._compiled_call_impl for module in unet.modules())
    torch.testing.assert_close(predict(unet), expected)
    assert compile_blocks(unet, "eager") and any(module._compiled_call_impl for module in unet.modules())
    torch.testing.assert_close(predict(unet), expected, atol=1e-5, rtol=1e-4)
    assert torch._dynamo.config.recompile_limit >= 64
    with pytest.raises(RuntimeError, match="out of memory"):
        compile_blocks(unet, full)
