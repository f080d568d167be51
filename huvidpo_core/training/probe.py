"""The short pass that beta is calibrated on; `calibrate.py` says why it is made like this."""

from collections.abc import Generator

import torch
from torch import Tensor, nn

from huvidpo_core.errors import UserError
from huvidpo_core.training import lora
from huvidpo_core.training.calibrate import Calibration, calibrate
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.draws import Draws
from huvidpo_core.training.objective import Objective
from huvidpo_core.training.settings import AlignSettings

STEPS, LOOKS = 12, 24
FAR = 1 << 20  # steps from here on are the pass's own: none that training sees


def measure_beta(
    parameters: dict[str, nn.Parameter],
    draws: Draws,
    objective: Objective,
    settings: AlignSettings,
    crew: Crew,
) -> Generator[int, None, Calibration | None]:
    """Train a little on the bare margin, look at what margins that makes, and put the LoRA back as it was.

    A generator that pauses after every step and look, and says how many of both are left; it returns a `Calibration`,
    or None where the pass met no label or moved nothing. Closed before its end it leaves the LoRA as it was, too.

    Raises:
        UserError: the pass has diverged, in this process or another.
    """
    before = {name: value.detach().clone() for name, value in parameters.items()}
    optimizer = torch.optim.AdamW(parameters.values(), lr=settings.lr, weight_decay=0.0)

    def found(step: int) -> Tensor:
        drawn = draws.at(FAR + step, fresh=True)
        policy, reference = objective.errors(drawn, False), objective.errors(drawn, True)
        return objective.margins(policy, reference, drawn.batch.mask)

    try:
        for step in range(STEPS):
            torch.manual_seed(draws.dropout_seed(FAR + step))
            optimizer.zero_grad(set_to_none=True)
            here = found(step)
            # A part without a label still meets the others.
            loss = -here.mean() if here.numel() else sum(0 * value.sum() for value in parameters.values())
            loss.backward()
            crew.average(parameters.values())
            optimizer.step()
            yield STEPS - step - 1 + LOOKS
        looks = []
        for look in range(LOOKS):
            torch.manual_seed(draws.dropout_seed(FAR + STEPS + look))
            with torch.no_grad():
                looks.append(found(STEPS + look))
            yield LOOKS - look - 1
    finally:
        lora.load_values(parameters, before)
        for value in parameters.values():
            value.grad = None
    all_margins = torch.cat(looks)
    if not all(crew.all_told(bool(all_margins.isfinite().all()))):
        raise UserError(
            "The training has diverged while beta was measured: the clips' errors are no finite numbers. Start anew "
            "with a smaller learning rate."
        )
    if not all_margins.count_nonzero() * 2 > all_margins.numel():
        return None
    mask = [sum(value != 0 for value in pair.mask[: draws.frames]) for pair in draws.pairs]
    frames = sum(mask) / len(mask)
    return calibrate(all_margins.float(), kind=settings.loss, frames=frames, target=settings.gradient_factor)
