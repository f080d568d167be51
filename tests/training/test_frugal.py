"""What is computed frugally is what PyTorch computes, and what need not be kept is not."""

import weakref
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F

from huvidpo_core.training import lora
from huvidpo_core.training.frugal import Frugal, channels_last
from huvidpo_core.training.lora import LoraShape
from tests.training.made import draws, lessons, network


def gradients(mode, *, dtype=torch.float32, last=False, dropout=0.0, low=False) -> dict[str, torch.Tensor]:
    """Of a weighted sum of the small network's output, by the LoRA's tensors, and the output; `mode` is around the
    forward pass."""
    unet = network().to(dtype)
    parameters = lora.attach(unet, LoraShape(rank=2, alpha=4, dropout=dropout), seed=0)
    generator = torch.Generator().manual_seed(1)
    for value in parameters.values():
        value.data = 0.3 * torch.randn(value.shape, generator=generator, dtype=dtype)
    if last:
        channels_last(unet)
    drawn = draws(lessons()).at(0)
    clean, text = drawn.batch.clean.to(dtype), drawn.batch.text.to(dtype)
    torch.manual_seed(5)
    with mode, torch.autocast("cpu", torch.bfloat16, enabled=low):
        out = unet.train()(clean, drawn.timestep.repeat(2), text).sample
    torch.manual_seed(6)  # whatever is drawn in between must not matter
    (out.double() * torch.randn(out.shape, generator=generator, dtype=torch.float64)).sum().backward()
    return {"out": out.detach(), **{name: value.grad for name, value in parameters.items()}}


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gradients_are_pytorchs_own(last, dropout):
    """In double precision, where an error could not hide; with dropout, drawn from the same seed."""
    wanted = gradients(nullcontext(), dtype=torch.float64, last=last, dropout=dropout)
    found = gradients(Frugal(), dtype=torch.float64, last=last, dropout=dropout)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10, msg=name)
    if dropout:
        without = gradients(Frugal(), dtype=torch.float64, last=last)
        assert not torch.allclose(without["out"], wanted["out"])


@pytest.mark.parametrize("low", [False, True], ids=["float32", "bfloat16"])
def test_gradients_are_the_same_in_the_precisions_used(low):
    """By another library's linear layers in float32; under autocast what is made again is made in the same precision,
    so there the gradients are the same bit by bit."""
    wanted, found = gradients(nullcontext(), low=low), gradients(Frugal(), low=low)
    tolerance = 0.0 if low else 1e-5
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance, msg=name)


CONVOLVED = torch.ones(3, 8, 3, 3)
KEPT_BY_PYTORCH = {
    "what a frozen convolution is given": (lambda x: x * 2, lambda y: F.conv2d(y, CONVOLVED)),
    "silu": (F.silu, torch.square),
    "gelu": (lambda x: F.gelu(x, approximate="tanh"), torch.square),
    "group norm": (lambda x: F.group_norm(x, 2), torch.square),
    "layer norm": (lambda x: F.layer_norm(x, (6,)), torch.square),
    "a cat": (lambda x: torch.cat([x, x]), torch.square),
    "dropout": (lambda x: F.dropout(x, 0.5), torch.square),
    "a linear layer that widens": (lambda x: F.linear(x, torch.ones(24, 6)), torch.square),
    "a part of one": (lambda x: F.linear(x, torch.ones(24, 6)).chunk(2, -1)[1], torch.square),
}


@pytest.mark.parametrize("what", KEPT_BY_PYTORCH)
def test_what_need_not_be_kept_is_not(what):
    """Its storage is gone after the forward pass, PyTorch by itself would have it still; and the gradient is right."""
    make, use = KEPT_BY_PYTORCH[what]
    there, found = [], []
    for mode in (nullcontext(), Frugal()):
        x = torch.linspace(-2, 3, 2 * 8 * 6 * 6).view(2, 8, 6, 6).requires_grad_()
        torch.manual_seed(0)
        with mode:
            made = make(x)
            alive = weakref.ref(made.untyped_storage())
            out = use(made).sum()
        del made
        there.append(alive() is not None)
        found.append(torch.autograd.grad(out, x)[0])
    assert there == [True, False]
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-5)


def test_a_trained_convolution_keeps_what_it_needs():
    """Its weight's gradient is that of PyTorch."""
    x, weight = torch.randn(2, 8, 6, 6, requires_grad=True), torch.randn(3, 8, 3, 3, requires_grad=True)
    with Frugal():
        out = F.conv2d(x * 2, weight).square().sum()
    wanted = torch.autograd.grad(F.conv2d(x * 2, weight).square().sum(), [x, weight])
    for found, value in zip(torch.autograd.grad(out, [x, weight]), wanted, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-4)


def test_a_place_in_memory_that_is_used_again_is_not_mistaken():
    """What is made cheaply is let go of and its storage's address given to others, again and again."""
    x = torch.randn(64, requires_grad=True)
    with Frugal():
        total = x.sum()
        for number in range(200):
            made = F.silu(x + number) if number % 2 else (x + number).cos()
            total = total + made.square().sum()
    plain = x.sum()
    for number in range(200):
        made = F.silu(x + number) if number % 2 else (x + number).cos()
        plain = plain + made.square().sum()
    torch.testing.assert_close(*(torch.autograd.grad(each, x)[0] for each in (total, plain)))
