"""Stand-ins for the network, so that the loop can be checked without one."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn

SD_SCHEDULE = {
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
}


class StandIn(nn.Module):
    """A network that answers by a rule `(sample, timestep, text) -> prediction` and remembers what it was asked."""

    def __init__(self, rule: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.rule = rule
        self.calls: list[SimpleNamespace] = []

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> SimpleNamespace:
        grad = torch.is_grad_enabled()
        self.calls.append(SimpleNamespace(sample=sample, timestep=timestep, text=encoder_hidden_states, grad=grad))
        return SimpleNamespace(sample=self.rule(sample, timestep, encoder_hidden_states))


def smooth_rule(sample: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
    """Some prediction that depends on everything: neighbouring frames, noise level, text."""
    mixed = 0.6 * sample + 0.3 * sample.roll(1, dims=2) + text.mean(dim=(1, 2)).view(-1, 1, 1, 1, 1)
    return torch.sin(mixed + timestep / 1000)
