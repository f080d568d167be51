"""What is computed frugally is what PyTorch computes, and what need not be kept is not."""

import weakref
from contextlib import nullcontext

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from huvidpo_core.models.attention import SparseCausalProcessor
from huvidpo_core.models.counting import LiveBytes
from huvidpo_core.models.frames import FrameCount
from huvidpo_core.training import frozen, lora
from huvidpo_core.training.frugal import Frugal, channels_last
from huvidpo_core.training.settings import LoraShape
from tests.training.made import draws, lessons, network


class Plain(TorchFunctionMode):
    """PyTorch by itself, but for what a seed makes dropout leave."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.dropout and kwargs["p"]:
            _, (x, left, _) = frozen.thinning(*args, **(kwargs or {}))
            return x * left / (1 - kwargs["p"])
        return func(*args, **(kwargs or {}))


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
    wanted = gradients(Plain() if dropout else nullcontext(), dtype=torch.float64, last=last, dropout=dropout)
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
FRAMES = FrameCount()
BY_FRAMES = SparseCausalProcessor("first+previous", FRAMES)
KEPT_BY_PYTORCH = {
    "what a frozen convolution is given": (lambda x: x * 2, lambda y: F.conv2d(y, CONVOLVED)),
    "silu": (F.silu, torch.square),
    "gelu": (lambda x: F.gelu(x, approximate="tanh"), torch.square),
    "group norm": (lambda x: F.group_norm(x, 2), torch.square),
    "layer norm": (lambda x: F.layer_norm(x, (6,)), torch.square),
    "a cat": (lambda x: torch.cat([x, x]), torch.square),
    "what frames hear of others": (lambda x: _attended(x), torch.square),
    "dropout": (lambda x: F.dropout(x, 0.5), torch.square),
    "a linear layer that widens": (lambda x: F.linear(x, torch.ones(24, 6)), torch.square),
    "a part of one": (lambda x: F.linear(x, torch.ones(24, 6)).chunk(2, -1)[1], torch.square),
}


def _attended(x):
    with FRAMES.of(2):
        return BY_FRAMES.attend_in_turn(Attention(36, heads=6, dim_head=6), x, x, x)


@pytest.mark.parametrize("what", KEPT_BY_PYTORCH)
def test_what_need_not_be_kept_is_not(what):
    """Its storage is gone after the forward pass, PyTorch by itself would have it still; and the gradient is right."""
    make, use = KEPT_BY_PYTORCH[what]
    there, found = [], []
    for mode in (Plain(), Frugal()):
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


def _one_more(x):
    made = F.silu(x)
    made += 1
    return made.square()


def _a_part_gone(x):
    made = F.silu(x)
    made[:, :4] = 0
    return made.square()


IN_PLACE = {
    "what was made cheaply": _one_more,
    "a part of it": _a_part_gone,
    "what a layer is given, by itself": lambda x: F.silu(x * 2, inplace=True).square(),
    "what a copy is given": lambda x: F.silu(torch.cat([x, x]), inplace=True).square(),
}


@pytest.mark.parametrize("what", IN_PLACE)
def test_what_is_changed_in_place_is_kept_as_it_became(what):
    """It cannot be made again from what it was made from."""
    x = torch.linspace(-2, 3, 96).view(2, 48).requires_grad_()
    with Frugal():
        found = IN_PLACE[what](x).sum()
    wanted = IN_PLACE[what](x).sum()
    torch.testing.assert_close(torch.autograd.grad(found, x)[0], torch.autograd.grad(wanted, x)[0])


@pytest.mark.parametrize("then", [torch.square, torch.sum], ids=["to be made again", "kept by PyTorch"])
def test_a_change_that_spoils_the_backward_pass_is_an_error(then):
    """As it is in PyTorch, which leaves looking for it to who says what is kept."""
    for mode in (nullcontext(), Frugal()):
        x = torch.linspace(-2, 3, 96).view(2, 48).requires_grad_()
        with mode:
            given = x * 2
            out = then(F.layer_norm(given, (48,))).sum()
        given.detach().mul_(3)
        with pytest.raises(RuntimeError, match=r"in-?\s?place"):
            out.backward()


def test_a_group_norm_of_a_whole_clip_keeps_its_input_once():
    """On a GPU, as on `meta`, PyTorch copies an input that does not lie in order, and would keep the copy beside it."""
    kept = []
    for swapped in (False, True):
        x = torch.zeros(8, 8, 6, 6, device="meta", requires_grad=True)
        counter = LiveBytes([x])
        with counter, Frugal():
            given = (x * 2).transpose(0, 1) if swapped else x * 2
            out = F.silu(F.group_norm(given, 2)).sum()
            del given
        kept.append(counter._live)
        out.backward()
    assert kept[0] == kept[1] < 2 * x.nbytes


def test_a_single_picture_is_convolved_too():
    """Without a batch, as PyTorch allows."""
    found = []
    for mode in (nullcontext(), Frugal()):
        x = torch.linspace(-2, 3, 8 * 6 * 6).view(8, 6, 6).requires_grad_()
        with mode:
            F.conv2d(x * 2, CONVOLVED, padding=1).square().sum().backward()
        found.append(x.grad)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-3)


def _another_call(*_):
    raise TypeError("forward() takes 5 positional arguments but 6 were given")


@pytest.mark.parametrize("other", [_another_call, lambda x, *_: 2 * x[:, :3]], ids=["signature", "result"])
def test_a_library_that_computes_otherwise_is_not_used(monkeypatch, other):
    """An operation of PyTorch's that is nobody's to rely on: it is tried out once, and PyTorch's own is there."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(frozen, "by_onednn", other)
    frozen.onednn.cache_clear()
    try:
        x, weight = torch.randn(5, 4), torch.randn(3, 4)
        with Frugal():
            assert torch.equal(F.linear(x, weight), x @ weight.t())
    finally:
        monkeypatch.undo()
        frozen.onednn.cache_clear()
