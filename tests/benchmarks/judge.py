"""How right the judge itself is: renders that no training used, named by it, against what the renderer was asked for.

    python -m tests.benchmarks.judge [--count 192] [--json F]

Actions and styles take turns, everything else is drawn by lot. Prints, for every attribute and for the action from
motion alone, the share of right answers with Wilson's 95 % interval, and what is taken for what; one JSON line.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from huvidpo_core.config import load_profile, resolve
from huvidpo_core.evaluation.judge import Judge
from huvidpo_core.miniature.judging import own_answers
from huvidpo_core.miniature.world import ACTIONS, STYLES, Scene
from tests.benchmarks.rows import share, written

SEED = 7001  # odd: training uses even ones
BAR = 98


def scenes(count: int) -> list[Scene]:
    """Every action in every style, as evenly as `count` allows."""
    kinds = [(action, style) for style in STYLES for action in ACTIONS]
    return [
        Scene.sample(np.random.default_rng([SEED, index]), action=action, style=style)
        for index, (action, style) in enumerate(kinds[index % len(kinds)] for index in range(count))
    ]


def main() -> None:
    """Ask and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=192)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    judge = Judge.load(Path(resolve(load_profile("miniature").judge)), torch.device("cpu"))
    answers = own_answers(judge, scenes(options.count))
    right = {name: [float(said == true) for said, true in pairs] for name, pairs in answers.items()}
    out = sys.stdout.write
    out(f"| {options.count} unseen renders | right, % | by chance | wrong |\n|---|---|---|---|\n")
    for name, pairs in answers.items():
        asked = Counter(true for _, true in pairs)
        wrong = Counter(f"{true} taken for {said}" for said, true in pairs if said != true)
        mistakes = "; ".join(f"{what} ({times})" for what, times in wrong.most_common()) or "-"
        base_rate = 100 * asked.most_common(1)[0][1] / len(pairs)
        out(f"| {name} | {written(share(right[name]), 1)} | {base_rate:.0f} | {mistakes} |\n")
    least = min(100 * np.mean(values) for values in right.values())
    out(f"\nat least {BAR} % of each: {'met' if least >= BAR else 'MISSED'}, the lowest {least:.1f}\n")
    line = json.dumps({"count": options.count, "right": {name: sum(values) for name, values in right.items()}})
    out(f"{line}\n")
    if options.json:
        options.json.write_text(line + "\n")


if __name__ == "__main__":
    main()
