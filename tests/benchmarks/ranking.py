"""How long the ranking of many votes takes, on one core: `python -m tests.benchmarks.ranking [--votes 100000]`.

Votes of 20 raters on pairs of clips by eight models, drawn from known strengths; prints a table and one JSON line.
"""

import argparse
import json
import sys
import time

import numpy as np

from huvidpo_core.preferences.ranking import report, strengths
from huvidpo_core.preferences.records import Answer, Ballot


def draw_votes(
    votes: int, *, models: int = 8, raters: int = 20, per_pair: int = 10, left: float = 0.0, seed: int = 0
) -> tuple[list[Answer], dict[str, str], np.ndarray]:
    """Answers by Davidson's model with nu = 0.5; the clips' models; the true strengths (models,), mean 0."""
    rng = np.random.default_rng(seed)
    truth = np.linspace(-1, 1, models)
    pairs = max(1, votes // per_pair)
    sides = np.stack([rng.permutation(models)[:2] for _ in range(pairs)])
    made = {f"{pair}-{side}": f"model {sides[pair, side]}" for pair in range(pairs) for side in (0, 1)}
    answers = []
    for number in range(votes):
        pair, swapped = number % pairs, rng.random() < 0.5
        clips = (f"{pair}-0", f"{pair}-1")[:: -1 if swapped else 1]
        one, other = truth[sides[pair]][:: -1 if swapped else 1]
        one += left
        worth = np.array([np.exp(one), 0.5 * np.exp((one + other) / 2), np.exp(other)])
        choice = ("left", "tie", "right")[np.searchsorted(np.cumsum(worth / worth.sum()), rng.random())]
        name, rater = str(number), f"rater {(number // pairs + pair) % raters}"
        answers.append(Answer(name, name, str(pair), rater, *clips, "p", "rain", "models", 16, None, 0.0, 1.0,
                              Ballot(choice)))  # fmt: skip
    return answers, made, truth


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--votes", type=int, default=100_000)
    votes = parser.parse_args().votes
    answers, made, _ = draw_votes(votes)
    motions = {clip: float(number % 17) for number, clip in enumerate(made)}
    seconds = {}
    began = time.perf_counter()
    report(answers, made, motions)
    seconds["panel, 8 models"] = time.perf_counter() - began
    began = time.perf_counter()
    strengths(answers, lambda clip: clip)
    seconds[f"strengths of {len(made)} clips"] = time.perf_counter() - began
    for name, taken in seconds.items():
        sys.stdout.write(f"{name:40} {taken:8.2f} s\n")
    sys.stdout.write(json.dumps({"votes": votes, **{name: round(taken, 3) for name, taken in seconds.items()}}) + "\n")


if __name__ == "__main__":
    main()
