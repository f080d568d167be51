"""Frozen layers, and dropout, as they are computed here."""

import pytest
import torch
from torch.nn import functional as F

from huvidpo_core.training import frozen
from huvidpo_core.training.frugal import Frugal


def rounded(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """To bfloat16, in double precision, where sums are as good as exact."""
    return [tensor.bfloat16().double() for tensor in tensors]


@pytest.mark.parametrize("layer", [F.conv2d, F.linear])
def test_frozen_layers_multiply_in_the_low_precision_and_give_the_whole_one(layer):
    """By hand: what is multiplied is rounded to bfloat16, forwards and backwards, and so is what comes out."""
    x, weight = torch.randn(2, 8, 6, 6), torch.randn(5, 8, 3, 3) if layer is F.conv2d else torch.randn(5, 6)
    bias = torch.randn(5)
    x.requires_grad_()
    with Frugal(torch.bfloat16):
        out = layer(x, weight, bias)
    gradient = torch.randn_like(out)
    out.backward(gradient)
    exact = rounded(x.detach(), weight, bias)
    exact[0].requires_grad_()
    wanted = layer(*exact)
    wanted.backward(rounded(gradient)[0])
    assert out.dtype == x.grad.dtype == torch.float32
    torch.testing.assert_close(out.double(), wanted, rtol=2**-8, atol=2**-8)
    torch.testing.assert_close(x.grad.double(), exact[0].grad, rtol=2**-8, atol=2**-8)
    assert not torch.allclose(out, layer(x, weight, bias), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("low", [None, torch.bfloat16])
@pytest.mark.parametrize(
    ("kernel", "how"),
    [((3, 1), {"padding": (2, 0)}), ((3, 1), {"stride": (2, 1)}), ((1, 1), {"groups": 2}), ((3, 3), {"dilation": 2})],
    ids=str,
)
def test_the_gradient_of_what_a_frozen_convolution_is_given(kernel, how, low, layout):
    """PyTorch's own, in either order of memory."""
    x = torch.randn(2, 4, 9, 7).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(6, 4 // how.get("groups", 1), *kernel)
    if low:
        weight = weight.to(low).float()
    wanted = F.conv2d(x, weight, **how)
    asked = torch.randn_like(wanted).to(low).float()
    with Frugal(low):
        found = F.conv2d(x, weight, **how)
    near = {"rtol": 2**-8, "atol": 2**-8} if low else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(
        torch.autograd.grad(found, x, asked)[0], torch.autograd.grad(wanted, x, asked)[0], **near
    )


def test_layers_that_are_trained_and_norms_stay_whole():
    """To the bit as without."""
    x, weight = torch.randn(2, 6, requires_grad=True), torch.randn(5, 6, requires_grad=True)
    with Frugal(torch.bfloat16):
        assert torch.equal(F.linear(x, weight), x @ weight.T)
        assert torch.equal(F.layer_norm(x, (6,)), torch.layer_norm(x, (6,)))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.999995])
def test_dropout_leaves_each_number_by_itself(p):
    """As many as it should, to five standard deviations and the rounding of p, and so of the numbers that come one to
    eight later: those of one draw know nothing of each other. Of any count of numbers; a seed gives the same again. A p
    that rounds to 1 leaves next to nothing, not all."""
    many = 200_003

    def draw():
        return frozen.thinning(torch.ones(many), p, generator=torch.Generator().manual_seed(3))[1][1]

    left = draw()
    assert left.shape == (many,) and torch.equal(left, draw())
    for later in range(9):
        both = (left[: many - later] & left[later:]).double().mean()
        share = 1 - p if later == 0 else (1 - p) ** 2
        assert abs(both - share) < 5 * (share * (1 - share) / many) ** 0.5 + 2**-16
    assert frozen.thinning(torch.ones(3, 1), p)[1][1].shape == (3, 1)
