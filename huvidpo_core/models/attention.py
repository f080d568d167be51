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
SCORES = 2**28  # numbers: Apple's GPUs write down how much each query looks at each key, at Stable Diffusion's widths


class _Processor:
    """What the processors share. Keys are never masked, so there is one way through.

    `_attention_backend` is set by `model.set_attention_backend(name)`; None is PyTorch's scaled_dot_product_attention.
    """

    _attention_backend = None

    def attend(self, attn: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries (m, q, heads, dim), keys and values (m, k, heads, dim) -> (m, q, heads * dim)."""
        sequences, queries = _at_once(query, key)
        if query.shape[1] > queries:
            return torch.cat([self.attend(attn, part, key, value) for part in query.split(queries, 1)], dim=1)
        if len(query) > sequences:
            parts = zip(*(tokens.split(sequences) for tokens in (query, key, value)), strict=True)
            return torch.cat([self.attend(attn, *part) for part in parts])
        out = dispatch_attention_fn(query, key, value, scale=attn.scale, backend=self._attention_backend)
        return out.flatten(-2)

    def attend_by_clip(self, attn: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries (n, q, heads, dim) of all frames of b clips, to keys and values that a clip has once (b, k, heads,
        dim) -> (n, q, heads * dim): the frames ask one after the other, and nothing is repeated for each of them."""
        together = query.reshape(len(key), -1, *query.shape[2:])  # (b, f * q, heads, dim)
        return self.attend(attn, together, key, value).view(*query.shape[:2], -1)


def _at_once(query: Tensor, key: Tensor) -> tuple[int, int]:
    """How many sequences, and how many queries of each, a device computes in one call."""
    _, queries, heads, _ = query.shape
    if query.device.type != "mps":
        return AT_ONCE, queries
    rows = max(1, SCORES // (heads * key.shape[1]))
    return max(1, rows // queries), min(rows, queries)


def _heads(attn: Attention, tokens: Tensor) -> Tensor:
    return tokens.unflatten(-1, (attn.heads, -1))


def _output(attn: Attention, tokens: Tensor) -> Tensor:
    return attn.to_out[1](attn.to_out[0](tokens))


class SparseCausalProcessor(_Processor):
    """Self-attention whose keys and values are tokens of earlier frames (paper Eq. 10-11).

    For "first+previous", frame i attends to the tokens of frame 0 and of frame i-1; frame 0 to its own.
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
        if self.key_frames == "own" or self.frames.value == 1:  # the same tokens twice attend like the tokens once
            return _output(attn, self.attend(attn, query, key, value))
        if self.key_frames == "first":  # all frames of a clip ask the same tokens
            first = slice(None, None, self.frames.value)
            return _output(attn, self.attend_by_clip(attn, query, key[first], value[first]))
        return _output(attn, self.attend_in_turn(attn, query, key, value))

    def attend_in_turn(self, attn: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries, keys and values (n, d, heads, dim) -> (n, d, heads * dim), frame by frame: tokens lie side by side
        for the one that asks, never for all. Frame 1, whose predecessor is frame 0, asks with frame 0."""
        query, key, value = (  # taken apart at once: each frame's gradient is its own, not a clip of zeros around it
            tokens.unflatten(0, (-1, self.frames.value)).unbind(1) for tokens in (query, key, value)
        )
        heard = [*self.attend(attn, torch.cat(query[:2], dim=1), key[0], value[0]).chunk(2, dim=1)]
        for asking, *former in zip(query[2:], key[1:], value[1:], strict=False):
            seen = (torch.cat([tokens[0], last], dim=1) for tokens, last in zip((key, value), former, strict=True))
            heard.append(self.attend(attn, asking, *seen))
        return torch.cat([tokens[:, None] for tokens in heard], dim=1).flatten(0, 1)


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
        return _output(attn, self.attend_by_clip(attn, query, key, value))


class TemporalProcessor(_Processor):
    """Plain self-attention, for `attn_temp`: the few tokens of one position over the frames."""

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: None) -> Tensor:
        """(b * d, f, c) -> (b * d, f, c)."""
        query, key, value = (_heads(attn, to(hidden_states)) for to in (attn.to_q, attn.to_k, attn.to_v))
        return _output(attn, self.attend(attn, query, key, value))
