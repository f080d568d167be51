"""A layer and its LoRA computed as one give what PEFT computes, and only where that is meant."""

import copy

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear

from huvidpo_core.training import frozen, lora
from huvidpo_core.training.adapted import _Adapted, as_one
from huvidpo_core.training.settings import LoraShape
from tests.training.made import draws, lessons, network

pytestmark = pytest.mark.skipif(not frozen.onednn(), reason="oneDNN's linear layers are not used on this CPU")


def adapted_network(rank: int = 2, dropout: float = 0.0):
    """The small network in training, with a LoRA that does something, and the LoRA's tensors."""
    unet = network()
    parameters = lora.attach(unet, LoraShape(rank=rank, alpha=3 * rank, dropout=dropout), seed=0)
    generator = torch.Generator().manual_seed(1)
    for value in parameters.values():
        value.data = 0.3 * torch.randn(value.shape, generator=generator)
    return unet.train(), parameters


def computed(unet, parameters) -> dict[str, torch.Tensor]:
    """What comes out, and the gradients of a weighted sum of it."""
    drawn = draws(lessons()).at(0)
    torch.manual_seed(5)
    out = unet(drawn.batch.clean, drawn.timestep.repeat(2), drawn.batch.text).sample
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    gradients = torch.autograd.grad((out * weights).sum(), list(parameters.values()))
    return {"out": out.detach(), **dict(zip(parameters, gradients, strict=True))}


@pytest.fixture
def calls(monkeypatch):
    """Counts the layers that are computed as one."""
    made, apply = [], _Adapted.apply
    monkeypatch.setattr(_Adapted, "apply", lambda *given: made.append(1) or apply(*given))
    return made


def test_it_is_what_peft_computes(calls):
    """Output and all gradients, of every layer, in a copy as well; a step of the weights is seen by the next pass."""
    unet, parameters = adapted_network()
    wanted = computed(unet, parameters)
    assert not calls
    as_one(unet)
    twin = copy.deepcopy(unet)
    for _ in range(2):
        found = computed(unet, parameters)
        assert len(calls) == sum(isinstance(layer, Linear) for layer in unet.modules())
        calls.clear()
        for name, value in wanted.items():
            assert (found[name] - value).norm() < 1e-4 * value.norm(), name
        for value in parameters.values():
            value.data *= 1.1
        other, others = adapted_network()
        for name, value in others.items():
            value.data = parameters[name].data
        wanted = computed(other, others)
    mine = {name: value for name, value in twin.named_parameters() if name in parameters}
    assert not torch.allclose(computed(twin, dict(sorted(mine.items())))["out"], found["out"])  # its own weights


def test_where_something_lies_between_it_is_left_to_peft(calls):
    """With dropout in training, though not outside of it; switched off, which is the reference."""
    unet, parameters = adapted_network(dropout=0.5)
    as_one(unet)
    computed(unet, parameters)
    assert not calls
    computed(unet.eval(), parameters)
    assert calls
    calls.clear()
    drawn = draws(lessons()).at(0)
    with lora.switched_off(unet), torch.no_grad():
        base = unet(drawn.batch.clean, drawn.timestep.repeat(2), drawn.batch.text).sample
    assert not calls
    with torch.no_grad():
        plain = network()(drawn.batch.clean, drawn.timestep.repeat(2), drawn.batch.text).sample
    torch.testing.assert_close(base, plain)


def test_wide_layers_and_those_of_another_adapter_are_left_to_peft():
    """Where W has more than four times the numbers of A and B together, its gradient would cost more than it saves."""
    config = LoraConfig(r=2, target_modules=["to_q"])
    other = inject_adapter_in_model(config, torch.nn.ModuleDict({"to_q": torch.nn.Linear(8, 8)}), "another")
    as_one(other)
    assert "forward" not in vars(other["to_q"])
    for width, whole in ((16, True), (17, False)):  # 256 of 4 x 64 numbers, 289 of 4 x 68
        one = torch.nn.ModuleDict({"to_q": torch.nn.Linear(width, width)})
        as_one(inject_adapter_in_model(config, one, lora.NAME))
        assert ("forward" in vars(one["to_q"])) == whole
