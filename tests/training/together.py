"""What each of several processes runs in `test_crew.py`, and one alone: `python -m tests.training.together OUTPUT`."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from huvidpo_core.together import leave
from huvidpo_core.training import probe
from huvidpo_core.training.align import Aligner, StepRecord
from huvidpo_core.training.crew import Crew
from tests.training.launched import gradients_of
from tests.training.made import SETTINGS, aligner, lessons, rated

# Four pairs, so every batch has all of them, in some order: halves with as many labels, fewer, or none.
MASKS = ((0, 1, 1, 1), (0, 0, 0, 0, 0, 0, 1), (0, 0, -1, 0), (0, 0, 0, 0, 0, 0, 1))
WHOLE = replace(
    SETTINGS, batch=4, steps=3, check_every=2, held_out=0, weight_decay=0.01, least_motion=0, seed=1, clip=1e9
)
KINDS = {
    "huvidpo": WHOLE,
    "looks": replace(WHOLE, looks=1),
    "dense": replace(WHOLE, loss="dense"),
    "measured": replace(WHOLE, loss="dense", beta=0.0),
    "kto": replace(WHOLE, loss="kto", beta=20.0),
}


def train(kind: str, folder: Path, crew: Crew) -> tuple[Aligner, list[dict[str, Any]], list[dict[str, torch.Tensor]]]:
    """Three steps, what was recorded of them, and their gradients."""
    learned = rated(1, 3) if kind == "kto" else lessons(*MASKS)
    training = aligner(folder / kind, KINDS[kind], learned=learned, crew=crew)
    gradients = gradients_of(training)
    return training, [asdict(record) for record in training.run() if isinstance(record, StepRecord)], gradients


if __name__ == "__main__":
    torch.set_num_threads(1)
    probe.STEPS, probe.LOOKS = 2, 4
    output = Path(sys.argv[1])
    crew, _ = Crew.gather("cpu")
    word = crew.told(f"from {crew.rank}")
    for kind in KINDS:
        training, steps, gradients = train(kind, output, crew)
        state = {"lora": training._lora(), "beta": training.beta, "size": crew.size, "word": word, "steps": steps}
        torch.save(state | {"ended": training.ended, "gradients": gradients}, output / f"{kind}-{crew.rank}.pt")
    leave(0)
