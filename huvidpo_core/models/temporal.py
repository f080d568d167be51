"""The parts of the network that mix frames by weights of their own: temporal convolution, temporal attention, and the
group norm over a whole clip. What replaces self-attention is in `attention.py`; shapes are explained in `frames.py`.
"""

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from huvidpo_core.models.frames import FrameCount, from_planes, to_planes


class CausalConv1d(nn.Conv1d):
    """A convolution over frames, kernel 3: frame i sees frames i-2, i-1 and i; before the clip there are zeros.

    It runs as a 2D convolution with kernel (3, 1) over the picture (frames, positions), the fastest of the
    formulations measured. Weight (c, c, 3); zero at the start, so that a fresh inflation is the image model.
    """

    def __init__(self, channels: int, frames: FrameCount) -> None:
        super().__init__(channels, channels, kernel_size=3)
        self.frames = frames

    def reset_parameters(self) -> None:
        """Zero, where PyTorch's own start is random."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w)."""
        past_padded = F.pad(to_planes(x, self.frames.value), (0, 0, 2, 0))
        return from_planes(F.conv2d(past_padded, self.weight.unsqueeze(-1), self.bias), *x.shape[-2:])


class GatedTemporalConv(nn.Module):
    """The temporal-spatial layer of the paper's Fig. 2, around an existing convolution:

        y = conv2d(x);   out = y + sigmoid(conv_gate(y)) * conv1d(y)

    with `conv_gate` a 3x3 convolution to one channel (zero at the start: the gate is one half) and `conv1d` causal
    over frames. The three children carry the published names.
    """

    def __init__(self, conv: nn.Conv2d, frames: FrameCount) -> None:
        super().__init__()
        self.conv2d = conv
        self.conv1d = CausalConv1d(conv.out_channels, frames)
        self.conv_gate = nn.Conv2d(conv.out_channels, 1, 3, padding=1)
        self.start_as_image_model()

    def start_as_image_model(self) -> None:
        """New temporal weights, beside the spatial ones: conv1d and gate zero."""
        for new in (self.conv1d, self.conv_gate):
            _beside(new, self.conv2d.weight)
            nn.init.zeros_(new.weight)
            nn.init.zeros_(new.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) -> (n, c_out, h', w'), h' and w' as the wrapped convolution makes them."""
        y = self.conv2d(x)
        return torch.addcmul(y, self._gate(y), self.conv1d(y))

    def _gate(self, y: Tensor) -> Tensor:
        """sigmoid(conv_gate(y)), (n, 1, h, w): nine 1x1 convolutions, shifted and added. Kernels for 3x3 convolutions
        are slow where there is but one channel to make."""
        weight, (h, w) = self.conv_gate.weight, y.shape[-2:]
        parts = F.pad(F.conv2d(y, weight[0].flatten(1).t()[..., None, None]), (1, 1, 1, 1))  # (n, 9, h + 2, w + 2)
        gate = self.conv_gate.bias.view(1, 1, 1, 1)
        for number in range(9):
            row, column = divmod(number, 3)
            gate = gate + parts[:, number : number + 1, row : row + h, column : column + w]
        return gate.sigmoid()


class ClipGroupNorm(nn.GroupNorm):
    """Group norm over (channels of a group, all frames of the clip, h, w); takes over the weights of `norm`."""

    def __init__(self, norm: nn.GroupNorm, frames: FrameCount) -> None:
        super().__init__(norm.num_groups, norm.num_channels, norm.eps, norm.affine)
        self.weight, self.bias = norm.weight, norm.bias
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w)."""
        return from_planes(super().forward(to_planes(x, self.frames.value)), *x.shape[-2:])


class SpatioTemporalBlock(BasicTransformerBlock):
    """A stock transformer block (attn1, attn2, feed-forward) and, after it, attention over frames at each position:

        x = block(x);   x = x + attn_temp(norm_temp(x))

    `attn_temp` sees past and future. Its output projection starts at zero, so that a fresh block is the stock one;
    its queries, keys and values start as those of `attn1`, so that inflating the same model twice gives the same.
    """

    def __init__(self, block: BasicTransformerBlock, frames: FrameCount) -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(block))  # the block's own children and settings, not a copy of them
        spatial = block.attn1
        self.frames = frames
        self.norm_temp = nn.LayerNorm(spatial.query_dim)
        self.attn_temp = Attention(
            spatial.query_dim,
            heads=spatial.heads,
            dim_head=spatial.inner_dim // spatial.heads,
            bias=spatial.to_q.bias is not None,
        )
        self.start_as_image_model()

    def start_as_image_model(self) -> None:
        """New temporal weights, beside the spatial ones: the output projection zero, the others attn1's."""
        for new in (self.norm_temp, self.attn_temp):
            _beside(new, self.attn1.to_q.weight)
        self.norm_temp.reset_parameters()
        self.attn_temp.load_state_dict(self.attn1.state_dict())
        nn.init.zeros_(self.attn_temp.to_out[0].weight)
        nn.init.zeros_(self.attn_temp.to_out[0].bias)

    def forward(self, hidden_states: Tensor, *args: object, **kwargs: object) -> Tensor:
        """(n, d, c) -> (n, d, c); the other arguments are `BasicTransformerBlock.forward`'s."""
        x = super().forward(hidden_states, *args, **kwargs).unflatten(0, (-1, self.frames.value))  # (b, f, d, c)
        b, f, d, c = x.shape
        over_frames = self.attn_temp(self.norm_temp(x.transpose(1, 2).reshape(b * d, f, c)))  # (b * d, f, c)
        return (x + over_frames.view(b, d, f, c).transpose(1, 2)).flatten(0, 1)


def _beside(module: nn.Module, weight: Tensor) -> None:
    """Give the module uninitialised storage on the device, and of the dtype, of `weight`."""
    module.to_empty(device=weight.device).to(weight.dtype)
