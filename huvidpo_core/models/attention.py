"""The attention processors of the inflated network. Weights are diffusers' own `Attention`; only which tokens are keys
and values is decided here. Shapes are explained in `frames.py`.
"""

from typing import get_args

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.attention_processor import Attention
from torch import Tensor

from huvidpo_core.config import KeyFrames
from huvidpo_core.models.frames import FrameCount

AT_ONCE = 65_535  # sequences: the most blocks that CUDA has room for along the dimension where kernels count them


class _Processor:
    """What the processors share. Keys are never masked, so there is one way through.

    `_attention_backend` is set by `model.set_attention_backend(name)`; None is PyTorch's scaled_dot_product_attention.
    """

    _attention_backend = None

    def attend(self, attn: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries (m, q, heads, dim), keys and values (m, k, heads, dim) -> (m, q, heads * dim)."""
        if len(query) > AT_ONCE:
            parts = zip(*(tokens.split(AT_ONCE) for tokens in (query, key, value)), strict=True)
            return torch.cat([self.attend(attn, *part) for part in parts])
        out = dispatch_attention_fn(query, key, value, scale=attn.scale, backend=self._attention_backend)
        return out.flatten(-2)


def _heads(attn: Attention, tokens: Tensor) -> Tensor:
    return tokens.unflatten(-1, (attn.heads, -1))


def _output(attn: Attention, tokens: Tensor) -> Tensor:
    return attn.to_out[1](attn.to_out[0](tokens))


class SparseCausalProcessor(_Processor):
    """Self-attention whose keys and values are tokens of earlier frames (paper Eq. 10-11).

    For "first+previous", frame i attends to the tokens of frame 0 and of frame i-1, side by side; frame 0 to its own.
    """

    def __init__(self, key_frames: KeyFrames, frames: FrameCount) -> None:
        self.frames = frames
        self.look_at(key_frames)

    def look_at(self, key_frames: KeyFrames) -> None:
        """Choose the frames whose tokens are keys and values. Raises ValueError for an unknown choice."""
        if key_frames not in get_args(KeyFrames):
            raise ValueError(f"key_frames is {key_frames!r}; it must be one of {', '.join(get_args(KeyFrames))}.")
        self.key_frames = key_frames

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """(n, d, c) -> (n, d, c). There is no other source of keys and no mask: both must be None."""
        assert encoder_hidden_states is None and attention_mask is None, "sparse-causal attention is self-attention"
        query, key, value = (_heads(attn, to(hidden_states)) for to in (attn.to_q, attn.to_k, attn.to_v))
        return _output(attn, self.attend(attn, query, self.seen(key), self.seen(value)))

    def seen(self, tokens: Tensor) -> Tensor:
        """(n, d, heads, dim) -> (n, k, heads, dim): for each frame the tokens it may look at; k is d or 2 d."""
        frames = self.frames.value
        if self.key_frames == "own" or frames == 1:  # the same tokens twice attend like the tokens once
            return tokens
        clips = tokens.unflatten(0, (-1, frames))  # (b, f, d, heads, dim)
        first = clips[:, :1].expand_as(clips)
        if self.key_frames == "first":
            return first.flatten(0, 1)
        previous = torch.cat([clips[:, :1], clips[:, :-1]], dim=1)
        return torch.cat([first, previous], dim=2).flatten(0, 1)


class SharedTextProcessor(_Processor):
    """Cross-attention to a text that all frames of a clip share: projected once, attended to by all frames' queries."""

    def __init__(self, frames: FrameCount) -> None:
        self.frames = frames

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """(n, d, c) with text (n, l, c_text), whose f rows of a clip are equal -> (n, d, c). The mask must be None."""
        assert attention_mask is None, "the text is attended to as a whole"
        text = encoder_hidden_states[:: self.frames.value]  # (b, l, c_text)
        query = _heads(attn, attn.to_q(hidden_states))  # (n, d, heads, dim)
        key, value = (_heads(attn, to(text)) for to in (attn.to_k, attn.to_v))
        per_clip = query.reshape(text.shape[0], -1, *query.shape[2:])  # (b, f * d, heads, dim)
        return _output(attn, self.attend(attn, per_clip, key, value).view(*query.shape[:2], -1))


class TemporalProcessor(_Processor):
    """Plain self-attention, for `attn_temp`: the few tokens of one position over the frames."""

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: None) -> Tensor:
        """(b * d, f, c) -> (b * d, f, c)."""
        query, key, value = (_heads(attn, to(hidden_states)) for to in (attn.to_q, attn.to_k, attn.to_v))
        return _output(attn, self.attend(attn, query, key, value))
