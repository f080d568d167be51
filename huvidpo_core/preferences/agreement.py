"""How far raters agree, with each other and with themselves."""

from collections import defaultdict
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


def by_frame(answers: Iterable[Answer]) -> tuple[float | None, int]:
    """Alpha of the marks (one clip, the other, tie), frame by frame where two raters or more have marked it.

    What a whole-clip answer fills in does not count: nobody looked at it frame by frame. Long segments count by their
    frames. Also in how many pairs such frames are; skipped pairs and repeats are left out.
    """
    marked: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.ballot.marks and answer.ballot.choice != "skip" and answer.repeat_of is None:
            marked[answer.pair].append(answer)
    units, labels, start, pairs = [], [], 0, 0
    for group in marked.values():
        if len(group) < 2:
            continue
        said = np.stack([_frame_labels(answer) for answer in group])  # (raters, f)
        shared = (said >= 0) & ((said >= 0).sum(axis=0) > 1)
        units.append(start + np.nonzero(shared)[1])
        labels.append(said[shared])
        start += said.shape[1]
        pairs += bool(shared.any())
    if not pairs:
        return None, 0
    return krippendorff_alpha(np.concatenate(units), np.concatenate(labels)), pairs


def _frame_labels(answer: Answer) -> np.ndarray:
    """int (f,): what was marked, with sides turned into clips; -1 where nothing was."""
    frames = np.full(answer.frames, -1)
    swapped = answer.left > answer.right
    for mark in answer.ballot.marks:
        frames[mark.start : mark.end] = {"tie": 2, "left": int(swapped), "right": int(not swapped)}[mark.side]
    return frames


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
