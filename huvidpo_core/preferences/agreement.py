"""How far raters agree, with each other and with themselves."""

from collections.abc import Iterable

import numpy as np

from huvidpo_core.preferences.records import Answer

_LABELS = {"first": 0, "second": 1, "tie": 2, "both_bad": 3}


def label(answer: Answer) -> str:
    """The answer with sides turned into clips: "first" is the one with the smaller id; else "tie" or "both_bad"."""
    side = answer.ballot.choice
    if side not in ("left", "right"):
        return side
    return "first" if (answer.left < answer.right) == (side == "left") else "second"


def krippendorff_alpha(units: np.ndarray, labels: np.ndarray) -> float | None:
    """Krippendorff's alpha for nominal data (2011, "Computing Krippendorff's alpha-reliability"): 1 - D_o / D_e.

    Units with a single label are left out, as the method has it; raters may miss units.

    Args:
        units: int (n,), which unit each label is about.
        labels: int (n,), 0 or more.

    Returns:
        1 for full agreement, 0 as by chance, below 0 for contradiction; None where no unit has two labels, or all
        labels are the same, so that nothing can be said.
    """
    if not len(units):
        return None
    kinds = int(labels.max()) + 1
    _, unit = np.unique(units, return_inverse=True)
    counts = np.bincount(unit * kinds + labels, minlength=(unit.max() + 1) * kinds).reshape(-1, kinds).astype(float)
    sizes = counts.sum(axis=1)
    counts, sizes = counts[sizes > 1], sizes[sizes > 1]
    n = sizes.sum()
    totals = counts.sum(axis=0)
    expected = (n * n - (totals**2).sum()) / (n - 1) if n else 0.0
    if not expected:
        return None
    observed = ((sizes**2 - (counts**2).sum(axis=1)) / (sizes - 1)).sum()
    return float(1 - observed / expected)


def between_raters(answers: Iterable[Answer]) -> tuple[float | None, int]:
    """Alpha of whole-clip answers (one clip, the other, tie, both bad), and how many pairs two raters or more judged.

    Skipped pairs and repeats are left out.
    """
    judged = [answer for answer in answers if answer.ballot.choice != "skip" and answer.repeat_of is None]
    pairs = {pair: number for number, pair in enumerate({answer.pair for answer in judged})}
    units = np.array([pairs[answer.pair] for answer in judged], int)
    labels = np.array([_LABELS[label(answer)] for answer in judged], int)
    shared = int((np.bincount(units) > 1).sum()) if len(units) else 0
    return krippendorff_alpha(units, labels), shared


def with_themselves(answers: Iterable[Answer]) -> tuple[int, int]:
    """How many pairs were answered again with swapped sides, and how many of those alike, tie and both bad being so."""
    answers = list(answers)
    by_showing = {answer.showing: answer for answer in answers if answer.ballot.choice != "skip"}
    both = [
        (_preferred(by_showing[answer.repeat_of]), _preferred(answer))
        for answer in by_showing.values()
        if answer.repeat_of in by_showing
    ]
    return len(both), sum(one == other for one, other in both)


def _preferred(answer: Answer) -> str:
    return {"both_bad": "tie"}.get(found := label(answer), found)
