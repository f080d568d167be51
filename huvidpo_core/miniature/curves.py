"""The loss curves of a training as one picture, for the model card."""

import json
from pathlib import Path

import numpy as np


def draw_curves(work: Path, target: Path) -> None:
    """Draw every `NAME.jsonl` that `loop.train` has left in `work` into the PNG `target`; nothing if there is none.

    A panel a stage: the mean loss of each half minute, pale, and its running mean over nine of them.
    """
    from matplotlib.figure import Figure  # not at the top: it takes a second, and only this needs it

    stages = [(path.stem, path.read_text().splitlines()) for path in sorted(work.glob("*.jsonl"))]
    stages = [(name, [json.loads(line) for line in lines]) for name, lines in stages if not name.startswith("pack-")]
    if not stages:
        return
    figure = Figure(figsize=(3.2 * len(stages), 2.6), layout="constrained")
    for axes, (name, points) in zip(np.atleast_1d(figure.subplots(1, len(stages))), stages, strict=True):
        steps, losses = [point["step"] for point in points], np.array([point["loss"] for point in points])
        axes.plot(steps, losses, color="#b9d3c0")
        window = min(9, len(losses))
        axes.plot(
            steps[window // 2 :][: len(steps) - window + 1],
            np.convolve(losses, np.ones(window) / window, "valid"),
            color="#1f6f43",
        )
        axes.set_title(name)
        axes.set_xlabel("step")
        if losses.min() > 0 and losses.max() > 20 * losses.min():
            axes.set_yscale("log")
    figure.savefig(target, dpi=110)
