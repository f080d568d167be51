"""What `tests.benchmarks.quality` prints of its rows: every figure beside its controls, by action, and bar by bar."""

from collections.abc import Iterator

import numpy as np
import torch

from huvidpo_core.miniature.world import ACTIONS, COLORS, PLACES, STYLES
from tests.benchmarks.rows import Row, mean, ratio, share, written

ATTRIBUTES = {"action": ACTIONS, "style": STYLES, "color": COLORS, "place": PLACES}
SAID = {"action": "action", "style": "style", "color": "colour", "place": "place"}
COLUMNS = {
    "made": "made",
    "rendered": "rendered",
    "coded": "rendered, as MP4",
    "frozen": "frame 0 repeated",
    "chance": "by chance",
}
FIGURES = {  # key: title, digits; the first ones are shares of clips
    **{what: (f"first frame: {said} recognised, %", 0) for what, said in SAID.items()},
    "motion": ("clip: action from motion alone, %", 0),
    "energy": ("motion energy, levels", 2),
    "ssim": ("SSIM of consecutive frames", 3),
    "flicker": ("flicker of what stands still, levels", 2),
    "clip": ("CLIPScore of the judge", 1),
    "kept": ("frame 0 against the picture given, PSNR dB", 1),
    "vae": ("VAE, PSNR dB", 1),
    "seconds": ("prompt to MP4, s", 1),
}
SHARES = (*ATTRIBUTES, "motion")
NOTE = (
    "By chance: for what is recognised, the share of the most frequent answer; for the rest, another of the scenes in "
    "this one's place: its picture, or its sentence. Flicker: mean absolute change where the renderer's clip does not "
    "change at all, nor within 8 pixels of it; clips made from the renderer's own first frame. The VAE's `made` are "
    "first frames that were drawn by the miniature. Intervals: 95 %, Wilson's for shares, else bootstrap over clips."
)


def overall(rows: list[Row]) -> Iterator[str]:
    """Every figure, with every control that it has."""
    yield f"| {len(rows)} prompts | {' | '.join(COLUMNS.values())} |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for figure, (title, digits) in FIGURES.items():
        cells = [_cell(rows, column, figure, digits) for column in COLUMNS]
        yield f"| {title} | {' | '.join(cells)} |"
    yield ""
    yield NOTE


def _cell(rows: list[Row], column: str, figure: str, digits: int) -> str:
    if column == "chance" and figure in SHARES:
        return f"{_base_rate(rows, 'action' if figure == 'motion' else figure):.0f}"
    values = [row[f"{column} {figure}"] for row in rows if f"{column} {figure}" in row]
    if not values:
        return "-"
    return written(share(values) if figure in SHARES else mean(values), digits)


def _base_rate(rows: list[Row], attribute: str) -> float:
    """Percentage that always giving the most frequent answer would get."""
    asked = [row[attribute] for row in rows]
    return 100 * max(map(asked.count, asked)) / len(asked)


def by_action(rows: list[Row]) -> Iterator[str]:
    """Motion, by action; three figures in a cell are made / rendered / frame 0 repeated."""
    yield (
        "| made / rendered / frame 0 repeated | from motion, % | energy, levels | energy, made / rendered "
        "| the same, both as MP4 | SSIM | flicker |"
    )
    yield "|---|---|---|---|---|---|---|"
    for action, own in _actions(rows):
        cells = [
            f"{_trio(own, 'motion', 0, 100)} | {_trio(own, 'energy', 2)}",
            f"{written(_energy(own, 'rendered'), 2)} | {written(_energy(own, 'coded'), 2)}",
            f"{_trio(own, 'ssim', 3)} | {_trio([row for row in own if 'made flicker' in row], 'flicker', 2)}",
        ]
        yield f"| {action} ({len(own)}) | {' | '.join(cells)} |"


def _trio(rows: list[Row], figure: str, digits: int, scale: float = 1) -> str:
    columns = ("made", "rendered", "frozen")
    means = [scale * np.mean([row[f"{column} {figure}"] for row in rows]) for column in columns] if rows else []
    return " / ".join(f"{value:.{digits}f}" for value in means) or "-"


def _actions(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    for action in ACTIONS:
        own = [row for row in rows if row["action"] == action]
        if own:
            yield action, own


def _energy(rows: list[Row], control: str) -> tuple[float, float, float]:
    return ratio([row["made energy"] for row in rows], [row[f"{control} energy"] for row in rows])


def bars(rows: list[Row]) -> Iterator[str]:
    """A sentence for each bar that was set for training on two CPU cores: met or missed, by how much."""

    def column(key: str) -> list[float]:
        return [row[key] for row in rows]

    def at_least(what: str, value: tuple[float, float, float], bar: float, unit: str, digits: int) -> str:
        return _verdict(value[0] >= bar, f"{what}, at least {bar:g} {unit}", written(value, digits))

    yield at_least("VAE reconstruction of unseen renders", mean(column("rendered vae")), 27, "dB", 1)
    for what, bar in {"action": 90, "style": 90, "color": 80, "place": 80}.items():
        yield at_least(f"first frame: {SAID[what]} recognised", share(column(f"made {what}")), bar, "%", 0)
    yield at_least("clip: action from motion alone", share(column("made motion")), 80, "%", 0)
    energies = {action: _energy(own, "rendered") for action, own in _actions(rows)}
    yield _by_action("motion energy / rendered, of each action, 0.6 to 1.5", energies, 0.6, 1.5, 2)
    apart = mean([row["made ssim"] - row["rendered ssim"] for row in rows])
    met = abs(apart[0]) <= 0.05
    yield _verdict(met, "SSIM of consecutive frames less rendered clips', within 0.05", written(apart, 3))
    yield at_least("first frame kept", mean(column("made kept")), 27, "dB", 1)
    seconds = column("made seconds")
    typical = float(np.median(seconds))
    figure = f"median {typical:.1f}, longest {max(seconds):.1f}, on {torch.get_num_threads()} threads"
    yield _verdict(typical <= 10, "prompt to MP4, at most 10 s", figure)
    least = min((share(column(f"rendered {what}")) for what in SHARES), key=lambda value: value[0])
    yield at_least("the judge on rendered clips, each attribute and motion", least, 98, "%", 1)


def _by_action(what: str, values: dict[str, tuple[float, float, float]], low: float, high: float, digits: int) -> str:
    outside = {action: value for action, value in values.items() if not low <= value[0] <= high}
    shown = outside or {action: values[action] for action in (min(values, key=values.get), max(values, key=values.get))}
    figures = "; ".join(f"{action} {written(value, digits)}" for action, value in shown.items())
    return _verdict(not outside, what, figures if outside else f"from {figures.replace('; ', ' to ')}")


def _verdict(met: bool, what: str, figure: str) -> str:
    return f"- {'met' if met else 'MISSED'}: {what}: {figure}"
