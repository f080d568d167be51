"""What the measuring commands share: rows that are measured once and kept, and numbers with their 95 % intervals."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from huvidpo_core.config import ASSETS, PACKS
from huvidpo_core.evaluation.report import bootstrap
from huvidpo_core.files import whole_file

Row = dict[str, float | str]
Z = 1.96


def weights_digest() -> str:
    """A name for the miniature's present weights and settings, so that rows measured with others are never mixed in."""
    digest = hashlib.sha256((ASSETS / "profiles" / "miniature.toml").read_bytes())
    for folder in (ASSETS / "miniature", PACKS / "miniature"):
        for file in sorted([*folder.rglob("*.safetensors"), *folder.rglob("pack.json")]):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def kept_rows(folder: Path, indices: Iterable[int], measure: Callable[[int], Row]) -> list[Row]:
    """`measure(index)` for every index, each kept as `folder/0007.json` and read from there when it is there."""
    rows = []
    for index in indices:
        file = folder / f"{index:04d}.json"
        if not file.exists():
            row = measure(index)
            with whole_file(file) as temporary:
                temporary.write_text(json.dumps(row))
        rows.append(json.loads(file.read_text()))
    return rows


def share(answers: Sequence[float]) -> tuple[float, float, float]:
    """Percentage of yes (1) among yes and no (0), and Wilson's interval (1927), which is right near 100 % too."""
    n, p = len(answers), float(np.mean(answers))
    middle, half = p + Z**2 / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + Z**2 / n) for sign in (-1, 1))
    return 100 * p, 100 * max(0.0, low), 100 * min(1.0, high)


def mean(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and bootstrap interval over clips."""
    interval = bootstrap(values)
    return interval.mean, *(interval.mean if end is None else end for end in interval[1:3])


def ratio(over: Sequence[float], under: Sequence[float]) -> tuple[float, float, float]:
    """Ratio of two sums and its bootstrap interval over pairs."""
    pairs = np.array([over, under], float)
    draws = np.random.default_rng(0).integers(pairs.shape[1], size=(2000, pairs.shape[1]))
    above, below = pairs[:, draws].sum(2)
    return float(pairs[0].sum() / pairs[1].sum()), *(float(end) for end in np.percentile(above / below, [2.5, 97.5]))


def written(value: tuple[float, float, float], digits: int) -> str:
    """ "97 (94 to 99)"."""
    middle, low, high = (f"{part:.{digits}f}" for part in value)
    return middle if low == high else f"{middle} ({low} to {high})"
