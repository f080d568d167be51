"""The adapter, and the reference that is the same network without it."""

import copy

import pytest
import torch
from torch import nn

from huvidpo_core.training import frugal, lora
from huvidpo_core.training.errors import per_frame, residuals
from huvidpo_core.training.settings import LoraShape
from tests.training.made import draws, lessons, network, scheduler

SHAPE = LoraShape(rank=2, alpha=4, dropout=0.0)
PER_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@pytest.fixture
def drawn():
    return draws(lessons()).at(0)


@torch.no_grad()
def stir(parameters) -> None:
    """As if it had been trained."""
    generator = torch.Generator().manual_seed(1)
    for value in parameters.values():
        value.copy_(0.3 * torch.randn(value.shape, generator=generator))


def test_it_sits_on_every_attention_and_is_all_that_is_trained():
    """Two matrices for each of to_q, to_k, to_v, to_out of every attention, found by walking through the network."""
    unet = network()
    attentions = [name for name, module in unet.named_modules() if type(module).__name__ == "Attention"]
    assert {name.rpartition(".")[2] for name in attentions} == {"attn1", "attn2", "attn_temp"}
    parameters = lora.attach(unet, SHAPE, seed=0)
    wanted = {
        f"{name}.{part}.lora_{side}.{lora.NAME}.weight"
        for name in attentions
        for part in PER_ATTENTION
        for side in "AB"
    }
    assert set(parameters) == wanted and list(parameters) == sorted(parameters)
    trained = {name for name, value in unet.named_parameters() if value.requires_grad}
    assert trained == wanted


def test_a_fresh_one_changes_nothing_and_its_seed_decides_it(drawn):
    """The output is the base's; B is zero; A is another for another seed; drawing it leaves the global generator."""
    unet = network()
    before = residuals(unet, scheduler(), drawn)
    state = torch.get_rng_state()
    first = {name: value.clone() for name, value in lora.attach(unet, SHAPE, seed=4).items()}
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(residuals(unet, scheduler(), drawn), before, rtol=0, atol=1e-6)
    assert all(not value.any() for name, value in first.items() if "lora_B" in name)
    again, other = lora.attach(network(), SHAPE, seed=4), lora.attach(network(), SHAPE, seed=5)
    assert all(torch.equal(again[name], value) for name, value in first.items())
    assert not any(torch.equal(other[name], value) for name, value in first.items() if "lora_A" in name)


def test_the_reference_is_a_copy_taken_before_but_no_copy_is_kept(drawn):
    """With a trained LoRA in, the reference's errors are those of a deep copy from before, and the network holds no
    tensor more than the base's own and the LoRA's."""
    unet = network()
    before = copy.deepcopy(unet)
    numbers = sum(value.numel() for value in unet.state_dict().values())
    parameters = lora.attach(unet, SHAPE, seed=0)
    stir(parameters)
    reference = per_frame(residuals(unet, scheduler(), drawn, reference=True))
    assert not reference.requires_grad
    torch.testing.assert_close(reference, per_frame(residuals(before, scheduler(), drawn)), rtol=0, atol=1e-6)
    policy = per_frame(residuals(unet, scheduler(), drawn))
    assert (policy - reference).abs()[:, :, 1:].min() > 1e-3 and policy.requires_grad
    held = {value.data_ptr(): value.numel() for value in (*unet.parameters(), *unet.buffers())}
    assert sum(held.values()) == numbers + sum(value.numel() for value in parameters.values())


def test_it_goes_without_a_trace(drawn):
    """Names and tensors are the base's again."""
    unet, base = network(), network()
    stir(lora.attach(unet, SHAPE, seed=0))
    lora.detach(unet)
    tensors, wanted = unet.state_dict(), base.state_dict()
    assert tensors.keys() == wanted.keys() and all(torch.equal(tensors[name], wanted[name]) for name in wanted)
    torch.testing.assert_close(residuals(unet, scheduler(), drawn), residuals(base, scheduler(), drawn))


def gradients(checkpointing: bool, drawn) -> dict[str, torch.Tensor]:
    """Of the mean error, by tensor."""
    unet = network()
    parameters = lora.attach(unet, SHAPE, seed=0)
    stir(parameters)
    if checkpointing:
        frugal.checkpointing(unet)
    unet.train()
    error = per_frame(residuals(unet, scheduler(), drawn))[:, :, 1:].mean()
    error.backward()
    return {name: value.grad for name, value in parameters.items()}


def test_every_tensor_has_a_gradient_with_and_without_checkpointing(drawn):
    """The published trap: with re-entrant checkpointing nothing in the down blocks learns."""
    plain, recomputed = gradients(False, drawn), gradients(True, drawn)
    assert any(name.startswith("down_blocks") for name in plain)
    for name, gradient in plain.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-4, atol=1e-7, msg=name)


def test_winner_and_loser_in_one_batch_are_as_if_alone(drawn, monkeypatch):
    """The one forward pass (of one core, or a GPU) gives what two do, each with the same noise and timestep; frame 0 is
    given clean."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    unet = network()
    stir(lora.attach(unet, SHAPE, seed=0))
    given, batch = [], drawn.batch
    unet.register_forward_pre_hook(lambda module, args: given.append(args[0]))
    both = residuals(unet, scheduler(), drawn)
    (whole,) = given
    for side, clean in enumerate(batch.clean.chunk(2)):
        noisy = scheduler().add_noise(clean, drawn.noise, drawn.timestep)
        noisy[:, :, 0] = clean[:, :, 0]
        torch.testing.assert_close(whole.chunk(2)[side], noisy)
        wanted = scheduler().get_velocity(clean, drawn.noise, drawn.timestep)
        alone = unet(noisy, drawn.timestep, batch.text.chunk(2)[side]).sample - wanted
        torch.testing.assert_close(both.chunk(2)[side], alone, rtol=1e-4, atol=1e-5)


def test_dropout_works_in_training_alone(drawn):
    """Twice the same in evaluation and for the reference, different in training."""
    unet = network()
    stir(lora.attach(unet, LoraShape(rank=2, alpha=4, dropout=0.5), seed=0))
    unet.eval()
    assert torch.equal(residuals(unet, scheduler(), drawn), residuals(unet, scheduler(), drawn))
    unet.train()
    assert not torch.equal(residuals(unet, scheduler(), drawn), residuals(unet, scheduler(), drawn))
    pair = [residuals(unet, scheduler(), drawn, reference=True) for _ in range(2)]
    assert torch.equal(*pair)


def test_a_network_in_half_precision_has_a_whole_lora(drawn):
    """bfloat16 below, float32 in the LoRA and its gradient, and about the same errors."""
    exact, unet = network(), network().to(torch.bfloat16)
    parameters = lora.attach(unet, SHAPE, seed=0)
    stir(parameters)
    stir(lora.attach(exact, SHAPE, seed=0))
    found = per_frame(residuals(unet, scheduler(), drawn, precision="bfloat16"))
    found.mean().backward()
    assert all(value.dtype == value.grad.dtype == torch.float32 for value in parameters.values())
    assert isinstance(unet, nn.Module) and next(unet.parameters()).dtype == torch.bfloat16
    torch.testing.assert_close(found, per_frame(residuals(exact, scheduler(), drawn)), rtol=0.05, atol=0.02)
