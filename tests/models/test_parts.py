"""The parts of the inflated network, each against a plain loop or its formula."""

from types import SimpleNamespace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from huvidpo_core.config import KeyFrames
from huvidpo_core.models import attention
from huvidpo_core.models.attention import SharedTextProcessor, SparseCausalProcessor, TemporalProcessor
from huvidpo_core.models.frames import FrameCount, fold, from_planes, to_planes, unfold
from huvidpo_core.models.temporal import CausalConv1d, ClipGroupNorm, GatedTemporalConv
from tests.models.conftest import stir


def frame_count(value: int) -> FrameCount:
    frames = FrameCount()
    frames.value = value
    return frames


def test_folding_is_clip_major() -> None:
    """Row j * f + i is frame i of clip j, and both pairs of functions are inverses in either memory layout."""
    clips = torch.randn(2, 3, 4, 5, 6)
    rows = fold(clips)
    assert torch.equal(rows[1 * 4 + 2], clips[1, :, 2])
    assert torch.equal(unfold(rows, 4), clips)
    for layout in (torch.contiguous_format, torch.channels_last):
        rows = rows.contiguous(memory_format=layout)
        planes = to_planes(rows, 4)
        assert torch.equal(planes[1, :, 2], clips[1, :, 2].flatten(1))
        assert planes.data_ptr() == rows.data_ptr()
        assert torch.equal(from_planes(planes, 5, 6), rows)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2])
@torch.no_grad()
def test_temporal_conv_is_the_published_convolution(count: int, frames: int, layout: torch.memory_format) -> None:
    """Frame i is W2 x_i + W1 x_(i-1) + W0 x_(i-2) + bias, zeros before the clip, whatever the memory layout and however
    many the clips."""
    conv = CausalConv1d(6, frame_count(frames))
    nn.init.normal_(conv.weight)
    nn.init.normal_(conv.bias)
    clips = torch.randn(count, 6, frames, 3, 4)
    expected = torch.zeros_like(clips) + conv.bias.view(1, -1, 1, 1, 1)
    for i in range(frames):
        for tap, past in ((2, 0), (1, 1), (0, 2)):
            if i >= past:
                expected[:, :, i] += torch.einsum("oc,bchw->bohw", conv.weight[..., tap], clips[:, :, i - past])
    found = unfold(conv(fold(clips).contiguous(memory_format=layout)), frames)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_temporal_conv_ignores_the_future() -> None:
    """Changing frames from i on leaves the layer's earlier frames as they are, bit by bit; and clips do not mix."""
    layer = stir(GatedTemporalConv(nn.Conv2d(4, 6, 3, padding=1), frame_count(5)))
    clips = torch.randn(2, 4, 5, 8, 8)
    before = unfold(layer(fold(clips)), 5)
    for i in range(5):
        changed = clips.clone()
        changed[0, :, i:] += 1
        after = unfold(layer(fold(changed)), 5)
        assert torch.equal(after[0, :, :i], before[0, :, :i]) and torch.equal(after[1], before[1])
        assert (after[0, :, i] - before[0, :, i]).abs().max() > 0.01


@torch.no_grad()
def test_gate_formula() -> None:
    """out = y + sigmoid(gate(y)) * conv1d(y) with y = conv2d(x): the paper's Fig. 2."""
    layer = stir(GatedTemporalConv(nn.Conv2d(4, 6, 3, padding=1, stride=2), frame_count(3)))
    rows = torch.randn(6, 4, 8, 8)
    y = layer.conv2d(rows)
    gate = torch.sigmoid(F.conv2d(y, layer.conv_gate.weight, layer.conv_gate.bias, padding=1))
    torch.testing.assert_close(layer(rows), y + gate * layer.conv1d(y))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_clip_group_norm_by_hand(layout: torch.memory_format) -> None:
    """Mean and variance are over a group's channels, all frames, h and w of one clip."""
    stock = nn.GroupNorm(2, 6, eps=1e-5)
    nn.init.normal_(stock.weight)
    nn.init.normal_(stock.bias)
    clips = torch.randn(2, 6, 4, 3, 5) * torch.arange(1, 5).view(1, 1, 4, 1, 1)
    groups = clips.unflatten(1, (2, 3))
    mean, var = groups.mean((2, 3, 4, 5), keepdim=True), groups.var((2, 3, 4, 5), correction=0, keepdim=True)
    shape = (1, 6, 1, 1, 1)
    expected = ((groups - mean) / (var + 1e-5).sqrt()).flatten(1, 2) * stock.weight.view(shape) + stock.bias.view(shape)
    rows = fold(clips).contiguous(memory_format=layout)
    found = unfold(ClipGroupNorm(stock, frame_count(4))(rows), 4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def plain_attention(attn: Attention, query: Tensor, source: Tensor) -> Tensor:
    """One frame (d, c) attending to tokens (k, c), head by head, by the definition."""
    width = attn.inner_dim // attn.heads
    heads = []
    for h in range(attn.heads):
        part = slice(h * width, (h + 1) * width)
        q, k, v = attn.to_q(query)[:, part], attn.to_k(source)[:, part], attn.to_v(source)[:, part]
        heads.append((q @ k.T / width**0.5).softmax(-1) @ v)
    return attn.to_out[0](torch.cat(heads, dim=-1))


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("key_frames", ["first+previous", "first", "own"])
def test_sparse_causal_attention_is_a_loop_over_frames(key_frames: str, frames: int) -> None:
    """Frame i of each clip attends to frames 0 and i-1 (or 0, or i) of that clip: Eq. 10-11 as a plain loop, and so do
    the gradients."""
    attn = Attention(8, heads=2, dim_head=4)
    attn.processor = SparseCausalProcessor(key_frames, frame_count(frames))
    tokens = torch.randn(2, frames, 6, 8, requires_grad=True)
    expected = torch.empty_like(tokens)
    for j in range(2):
        for i in range(frames):
            sources = {"first+previous": (0, max(i - 1, 0)), "first": (0,), "own": (i,)}[key_frames]
            expected[j, i] = plain_attention(attn, tokens[j, i], torch.cat([tokens[j, s] for s in sources]))
    found = attn(tokens.flatten(0, 1)).view_as(tokens)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    asked = torch.randn_like(tokens)
    gradients = (torch.autograd.grad(made, tokens, asked)[0] for made in (found, expected))
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("key_frames", ["first+previous", "first"])
def test_no_keys_are_repeated_for_each_frame(monkeypatch, key_frames: str) -> None:
    """No call is given more keys than one frame looks at, however many there are: two frames' tokens, or one's."""
    attn, given = Attention(8, heads=2, dim_head=4), []
    attn.processor = SparseCausalProcessor(key_frames, frame_count(7))
    call = attention.dispatch_attention_fn
    monkeypatch.setattr(
        attention,
        "dispatch_attention_fn",
        lambda query, key, value, **how: given.append(key.shape[:2].numel()) or call(query, key, value, **how),
    )
    attn(torch.randn(2 * 7, 6, 8))
    assert max(given) == 2 * 6 * (2 if key_frames == "first+previous" else 1)


@torch.no_grad()
def test_shared_text_is_stock_cross_attention() -> None:
    """Projecting the text once per clip changes nothing: diffusers' own processor gives the same."""
    attn = Attention(8, cross_attention_dim=5, heads=2, dim_head=4)
    rows, text = torch.randn(6, 7, 8), torch.randn(2, 4, 5).repeat_interleave(3, dim=0)
    attn.processor = AttnProcessor()
    expected = attn(rows, encoder_hidden_states=text)
    attn.processor = SharedTextProcessor(frame_count(3))
    torch.testing.assert_close(attn(rows, encoder_hidden_states=text), expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_more_sequences_than_a_gpu_counts_are_attended_to_in_turns(monkeypatch) -> None:
    """CUDA's kernels count sequences up to 65,535, which is 26 clips of 40 x 64 latents: no call is given more, and the
    result is that of one call."""
    assert attention.AT_ONCE == 65_535 < 26 * 40 * 64
    attn = Attention(8, heads=2, dim_head=4)
    attn.processor = TemporalProcessor()
    tokens, given = torch.randn(10, 3, 8), []
    expected = attn(tokens)
    call = attention.dispatch_attention_fn
    monkeypatch.setattr(
        attention,
        "dispatch_attention_fn",
        lambda query, *rest, **how: given.append(len(query)) or call(query, *rest, **how),
    )
    monkeypatch.setattr(attention, "AT_ONCE", 4)
    torch.testing.assert_close(attn(tokens), expected)
    assert given == [4, 4, 2]


@torch.no_grad()
@pytest.mark.parametrize("key_frames", get_args(KeyFrames))
def test_what_an_apple_gpu_writes_down_at_once_is_bounded(monkeypatch, key_frames) -> None:
    """Heads times queries times keys of a call stay below the bound, sequences being taken apart and, where one alone
    is too much, its queries; the result is that of one call."""
    attn = Attention(8, heads=2, dim_head=4)
    attn.processor = SparseCausalProcessor(key_frames, frame_count(4))
    tokens, given = torch.randn(8, 6, 8), []
    expected = attn(tokens)
    call, bound = attention.dispatch_attention_fn, attention._at_once

    def counted(query, key, value, **how):
        given.append(query.shape[0] * query.shape[1] * query.shape[2] * key.shape[1])
        return call(query, key, value, **how)

    def on_apple(query, key):
        shape = SimpleNamespace(shape=query.shape, device=torch.device("mps"))
        return bound(shape, key)

    monkeypatch.setattr(attention, "dispatch_attention_fn", counted)
    monkeypatch.setattr(attention, "_at_once", on_apple)
    for scores in (300, 100):
        monkeypatch.setattr(attention, "SCORES", scores)
        given.clear()
        torch.testing.assert_close(attn(tokens), expected)
        assert len(given) > 1 and max(given) <= scores
