"""A training's course as small plots: SVG that takes its colours from the page, cheap to send anew. No gradio."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 320, 158  # px at scale 1
LEFT, RIGHT, TOP, BOTTOM = 46, 312, 10, 134  # of the field
MOST = 240  # points of a line
WAITING = '<p class="hv-nothing">The plots begin with the first step.</p>'
NOT_YET = '<p class="hv-nothing">Not measured yet.</p>'

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """`look` is a colour and how it is drawn: "a", "b" (lines), "a faint" (behind them), "a dots" (measured now and
    then)."""

    name: str
    points: Points
    look: str = "a"


@dataclass(frozen=True)
class Level:
    """A dashed line across, and what it means. One that is far off what was measured is told, not drawn."""

    name: str
    value: float


def grid(panels: Sequence[str]) -> str:
    """All panels of a run."""
    return f'<div class="hv-plots">{"".join(panels)}</div>'


def points(rows: Sequence[dict[str, Any]], key: str) -> Points:
    """(step, value) of the rows that have one."""
    found = [(row["step"], row.get(key)) for row in rows]
    return [(x, float(y)) for x, y in found if isinstance(y, int | float) and math.isfinite(y)]


def smooth(points: Points) -> Points:
    """Running means over a twelfth of the line: single steps are mostly noise."""
    width = max(1, len(points) // 12)
    sums = [0.0]
    for _, y in points:
        sums.append(sums[-1] + y)
    return [
        (x, (sums[index + 1] - sums[max(0, index + 1 - width)]) / min(width, index + 1))
        for index, (x, _) in enumerate(points)
    ]


def panel(title: str, lines: Sequence[Line], levels: Sequence[Level], until: int, *, percent: bool = False) -> str:
    """One plot of the steps up to `until`, with the last values in its head."""
    lines = [Line(line.name, line.points[:: -max(1, len(line.points) // MOST)][::-1], line.look) for line in lines]
    drawn = [point for line in lines for point in line.points]
    told = [line for line in lines if line.points and "faint" not in line.look]
    last = ", ".join(f"{line.name} {_figure(line.points[-1][1], percent)}".strip() for line in told) or "not yet"
    legend = "".join(
        f'<span class="hv-line-{line.look[0]}"><i></i>{escape(line.name)} '
        f"<b>{_figure(line.points[-1][1], percent)}</b></span>"
        for line in told
    )
    keys = "".join(
        f'<span class="hv-line-level"><i></i>{escape(level.name)} {_figure(level.value, percent)}</span>'
        for level in levels
    )
    field = _field(lines, _near(levels, drawn), until, percent) if drawn else NOT_YET
    return (
        f'<figure role="img" aria-label="{escape(title, quote=True)}: {escape(last, quote=True)}">'
        f"<figcaption><b>{escape(title)}</b><span>{legend}{keys if drawn else ''}</span></figcaption>{field}</figure>"
    )


def _near(levels: Sequence[Level], drawn: Points) -> list[Level]:
    """Those that leave what was measured a quarter of the field."""
    low, high = min(y for _, y in drawn), max(y for _, y in drawn)
    room = 3 * (high - low)
    return [level for level in levels if high == low or low - room <= level.value <= high + room]


def _field(lines: Sequence[Line], levels: Sequence[Level], until: int, percent: bool) -> str:
    ys = [y for line in lines for _, y in line.points] + [level.value for level in levels]
    across, up = ticks(0, max(until, 1), whole=True), ticks(min(ys), max(ys))
    span_x, span_y = across[-1], up[-1] - up[0]

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (RIGHT - LEFT) * x / span_x, BOTTOM - (BOTTOM - TOP) * (y - up[0]) / span_y

    parts = []
    for y in up:
        _, v = at(0, y)
        parts.append(f'<path class="hv-grid-line" d="M{LEFT} {v:.1f}H{RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{v + 3.5:.1f}" text-anchor="end">{_figure(y, percent, 6)}</text>')
    for x in across:
        u, _ = at(x, up[0])
        parts.append(f'<text x="{u:.1f}" y="{BOTTOM + 16}" text-anchor="middle">{x:g}</text>')
    for level in levels:
        _, v = at(0, level.value)
        parts.append(f'<path class="hv-level" d="M{LEFT} {v:.1f}H{RIGHT}"/>')
    for line in lines:
        places = [at(x, y) for x, y in line.points]
        if len(places) > 1:
            way = "L".join(f"{u:.1f} {v:.1f}" for u, v in places)
            parts.append(f'<path class="hv-way hv-{line.look.replace(" ", " hv-")}" d="M{way}"/>')
        if "dots" in line.look or len(places) == 1:
            for (u, v), (x, y) in zip(places, line.points, strict=True):
                told = f"step {x:g}: {_figure(y, percent)}"
                parts.append(
                    f'<circle class="hv-dot hv-{line.look[0]}" cx="{u:.1f}" cy="{v:.1f}" r="3">'
                    f"<title>{told}</title></circle>"
                )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(parts)}</svg>'


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Three to six round numbers around these two."""
    if high <= low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    if whole:
        step = max(1, round(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _figure(value: float, percent: bool, digits: int = 3) -> str:
    return f"{100 * value:.{digits}g} %" if percent else f"{value:.{digits}g}"
