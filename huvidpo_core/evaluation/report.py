"""What an evaluation found: per clip, per group and in total with intervals, as JSON and as Markdown."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from huvidpo_core import __version__
from huvidpo_core.files import whole_file

RESAMPLES = 2000
FROZEN = "frozen frame 0"

_OVERFLOWING = "differences and squares wrapped modulo 256, which the paper's column agrees with; it measures nothing"


@dataclass(frozen=True)
class Measure:
    """How a measure is shown: its column's title, what it is, the factor and digits of the tables (not of the JSON)."""

    title: str
    what: str
    scale: float = 1
    digits: int = 2


MEASURES = {
    "clip_score": Measure("CLIPScore", "100 x cosine of frame and prompt, mean over frames", digits=1),
    "ssim": Measure("SSIM x100", "consecutive frames; RGB, data range 255, uniform 7 x 7 window", 100, 1),
    "ssim_first": Measure("SSIM x100, frame 0", "the same, with frame 0", 100, 1),
    "mse": Measure("MSE", "consecutive frames, 8-bit levels squared", digits=1),
    "mse_first": Measure("MSE, frame 0", "the same, with frame 0", digits=1),
    "mse_overflowing_8bit": Measure("MSE overflowing 8 bits", _OVERFLOWING, digits=1),
    "motion_energy": Measure("motion", "mean absolute difference of consecutive frames, 8-bit levels"),
    "optical_flow": Measure("flow %", "mean optical flow (TV-L1) between frames, percent of the longer side"),
    "flicker": Measure("flicker", "change that is undone in the next frame, mean, 8-bit levels"),
    "subject_consistency": Measure("subject x100", "cosine of image features with frame 0 and frame before", 100, 1),
}


def measure(key: str) -> Measure:
    """The measure of a key; an `accuracy_<what>` is the share of clips in which the judge names the truth."""
    what = key.removeprefix("accuracy_")
    seen = "the action, from differences between frames alone" if what == "motion" else f"the {what}"
    return MEASURES.get(key) or Measure(f"{what} seen %", f"clips in which the judge recognises {seen}", 100, 0)


class Interval(NamedTuple):
    """A mean over `clips` clips and its 95 % interval; both ends are None for a single clip."""

    mean: float
    low: float | None
    high: float | None
    clips: int


def bootstrap(values: Sequence[float]) -> Interval:
    """Mean and percentile bootstrap interval (Efron 1979), 95 %, over clips.

    2000 resamples under a fixed seed, so that equal clips give an equal interval. It speaks for more clips of the same
    kind; of a handful of clips it is too narrow.
    """
    data = np.asarray(values, float)
    if len(data) < 2:
        return Interval(float(data.mean()), None, None, len(data))
    draw = np.random.default_rng(0)
    means = [data[draw.integers(len(data), size=len(data))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(data.mean()), float(low), float(high), len(data))


@dataclass(frozen=True)
class ClipReport:
    """One clip: `values` by measure (one that could not be taken is absent), `frozen` those of frame 0 repeated."""

    name: str
    group: str
    prompt: str | None
    frames: int
    fps: float
    width: int
    height: int
    values: dict[str, float]
    frozen: dict[str, float]


Totals = dict[str, Interval]


@dataclass(frozen=True)
class Evaluation:
    """All clips of an evaluation, at least one; none in a share that is empty."""

    clips: tuple[ClipReport, ...]

    @classmethod
    def joined(cls, parts: Sequence["Evaluation"]) -> "Evaluation":
        """One of several, whose clips were dealt out in turn: part i has those of `slice(i, None, len(parts))`."""
        rounds = zip_longest(*(part.clips for part in parts))
        return cls(tuple(clip for each in rounds for clip in each if clip))

    def total(self) -> Totals:
        """Over all clips that have the measure."""
        return _totals(clip.values for clip in self.clips)

    def frozen(self) -> Totals:
        """The control: what the clips would get if each stood still at its frame 0."""
        return _totals(clip.frozen for clip in self.clips)

    def groups(self) -> dict[str, Totals]:
        """Per group of clips, by name; empty if grouping says nothing: one group, or no two clips in any."""
        names = sorted({clip.group for clip in self.clips})
        if not 1 < len(names) < len(self.clips):
            return {}
        return {name: _totals(clip.values for clip in self.clips if clip.group == name) for name in names}

    def measures(self) -> list[str]:
        """The keys that any clip has, in the order of the tables."""
        found = dict.fromkeys(key for clip in self.clips for key in clip.values)
        return [key for key in MEASURES if key in found] + [key for key in found if key not in MEASURES]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; a measure that a clip lacks is null there. SSIM lies within 0..1, accuracies too."""
        keys = self.measures()

        def plain(totals: Totals) -> dict[str, dict[str, float | int | None]]:
            return {key: totals[key]._asdict() for key in keys if key in totals}

        return {
            "version": __version__,
            "measures": {key: measure(key).what for key in keys},
            "left_out": [key for key in MEASURES if key not in keys],
            "total": plain(self.total()),
            "frozen_frame": plain(self.frozen()),
            "groups": {name: plain(totals) for name, totals in self.groups().items()},
            "clips": [
                {
                    "name": clip.name, "group": clip.group, "prompt": clip.prompt, "frames": clip.frames,
                    "fps": clip.fps, "width": clip.width, "height": clip.height,
                } | {key: clip.values.get(key) for key in keys}
                for clip in self.clips
            ],
        }  # fmt: skip

    def summary(self) -> str:
        """A Markdown table: the groups, all clips with their intervals, the frozen frame."""
        rows = [(name, totals) for name, totals in self.groups().items()]
        all_clips = f"**all {len(self.clips)} clips**" if len(self.clips) > 1 else "**the clip**"
        return _table("", self.measures(), [*rows, (all_clips, self.total()), (f"*{FROZEN}*", self.frozen())])

    def markdown(self) -> str:
        """The whole report: summary, one row per clip, what each column is."""
        keys = self.measures()
        rows = [(clip.name, _totals([clip.values])) for clip in self.clips]
        legend = "".join(f"- {measure(key).title}: {measure(key).what}.\n" for key in keys)
        absent = ", ".join(measure(key).title for key in MEASURES if key not in keys)
        return (
            f"# Evaluation of {len(self.clips)} clips\n\n"
            "Means over clips, with 95 % bootstrap intervals. The last row is each clip's frame 0, repeated: what "
            f"standing still would get.\n\n{self.summary()}\n{_table('clip', keys, rows)}\n{legend}"
            + (f"\nNot measured, for want of a model or of prompts: {absent}.\n" if absent else "")
        )

    def write_json(self, path: Path) -> None:
        """Write `to_dict` to a file. Raises UserError when it cannot be written."""
        _write(path, json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def write_markdown(self, path: Path) -> None:
        """Write `markdown` to a file. Raises UserError when it cannot be written."""
        _write(path, self.markdown())


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _totals(rows: Iterable[dict[str, float]]) -> Totals:
    columns: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    return {key: bootstrap(values) for key, values in columns.items()}


def _table(corner: str, keys: list[str], rows: Sequence[tuple[str, Totals]]) -> str:
    lines = [[corner, *(measure(key).title for key in keys)], ["---"] * (len(keys) + 1)]
    lines += [
        [name.replace("|", r"\|"), *(_cell(totals.get(key), measure(key)) for key in keys)] for name, totals in rows
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Interval | None, shown: Measure) -> str:
    if value is None:
        return "-"
    mean, *ends = (f"{x * shown.scale:.{shown.digits}f}" for x in value[:3] if x is not None)
    return f"{mean} [{', '.join(ends)}]" if ends and not math.isclose(value.low, value.high) else mean
