"""Clips computed side by side are the clips computed in one batch."""

import threading

import pytest
import torch
from torch import Tensor

from huvidpo_core.training import lora
from huvidpo_core.training.abreast import abreast
from huvidpo_core.training.errors import residuals
from huvidpo_core.training.frugal import checkpointing
from huvidpo_core.training.settings import LoraShape
from tests.training.made import draws, lessons, network, scheduler


@pytest.fixture
def cores():
    """Sets how many cores PyTorch uses, for this test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def learner(dropout: float = 0.0):
    """The small network with a LoRA that does something, and the LoRA's tensors."""
    unet = network()
    parameters = lora.attach(unet, LoraShape(rank=2, alpha=4, dropout=dropout), seed=0)
    generator = torch.Generator().manual_seed(1)
    for value in parameters.values():
        value.data = 0.3 * torch.randn(value.shape, generator=generator)
    return unet.train(), parameters


def a_step(dropout: float = 0.0, recompute: bool = False, reference: bool = False) -> dict[str, Tensor]:
    """A pair's residuals, and the gradients of a weighted sum of them by the LoRA's tensors."""
    unet, parameters = learner(dropout)
    if recompute:
        checkpointing(unet)
    drawn = draws(lessons()).at(0)
    torch.manual_seed(5)
    found = residuals(unet, scheduler(), drawn, reference=reference)
    if not reference:
        generator = torch.Generator().manual_seed(2)
        (found * torch.randn(found.shape, generator=generator)).sum().backward()
    return {"residuals": found.detach(), **{name: value.grad for name, value in parameters.items()}}


@pytest.mark.parametrize("how", [{}, {"recompute": True}, {"reference": True}], ids=str)
def test_it_makes_no_difference_on_how_many_cores(cores, how):
    """One core takes the pair in one batch. Residuals and all gradients; recomputed, and the reference's, too."""
    cores(1)
    wanted = a_step(**how)
    cores(2)
    for name, value in a_step(**how).items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-4, atol=1e-4, msg=name)


def test_a_repetition_is_the_same_to_the_bit_with_dropout(cores):
    """Whichever thread comes first: thirty times."""
    cores(2)
    first, without = a_step(0.5), a_step()
    assert not torch.allclose(first["residuals"], without["residuals"])
    for _ in range(30):
        assert all(torch.equal(value, first[name]) for name, value in a_step(0.5).items())


def test_gradients_by_hand(cores):
    """Of the squares of 3 x and 4 x, weighted 1 and 10: 2 (9 + 160) x; a tensor that is not used gets none."""
    cores(2)
    x, unused = torch.tensor([2.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    made = abreast(lambda number: ((3 + number) * x) ** 2, 2, [x, unused])
    assert made.tolist() == [36.0, 64.0]
    (made * torch.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [2 * (9 + 160) * 2.0] and unused.grad is None


def test_parts_are_computed_at_once_with_a_share_of_the_cores_each(cores):
    """Each of two parts waits until the other has begun, and has two of four cores; the caller's number stays."""
    cores(4)
    both = threading.Barrier(2, timeout=30)

    def compute(number: int) -> Tensor:
        both.wait()
        return torch.tensor([torch.get_num_threads()])

    assert abreast(compute, 2, []).tolist() == [2, 2]
    assert torch.get_num_threads() == 4


def test_what_goes_wrong_in_a_part_is_told(cores):
    """And the threads can be used again."""
    cores(2)

    def compute(number: int) -> Tensor:
        if number:
            raise MemoryError("no room")
        return torch.zeros(1)

    with pytest.raises(MemoryError, match="no room"):
        abreast(compute, 2, [])
    assert abreast(lambda number: torch.tensor([number]), 5, []).tolist() == [0, 1, 2, 3, 4]
