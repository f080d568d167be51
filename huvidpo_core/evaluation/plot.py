"""An evaluation as a picture: a panel for each measure, a dot for each clip."""

from pathlib import Path

from matplotlib.figure import Figure

from huvidpo_core.evaluation.report import FROZEN, Evaluation, measure
from huvidpo_core.files import whole_file

COLUMNS = 4  # panels side by side
MOST_GROUPS = 12  # more lines than this cannot be read


def write_plot(evaluation: Evaluation, path: Path) -> None:
    """Write a PNG: a line for each group of clips, the mean of all with its interval, the frozen frame's as dashes.

    Raises:
        UserError: the file cannot be written.
    """
    keys = evaluation.measures()
    groups = sorted(evaluation.groups())
    if not 1 < len(groups) <= MOST_GROUPS:
        groups = []
    lines = {group: index for index, group in enumerate(groups)}
    total, frozen = evaluation.total(), evaluation.frozen()

    columns = min(COLUMNS, len(keys))
    rows = -(-len(keys) // columns)
    # A figure of its own, not pyplot's: nothing global, so any thread may draw.
    figure = Figure(figsize=(1.6 + 2.6 * columns, rows * (1.3 + 0.22 * max(1, len(groups)))), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for key, panel in zip(keys, panels, strict=False):
        scale = measure(key).scale
        measured = [clip for clip in evaluation.clips if key in clip.values]
        across, down = [clip.values[key] * scale for clip in measured], [lines.get(clip.group, 0) for clip in measured]
        panel.scatter(across, down, s=14, color="#2a6f6b", alpha=0.6, linewidths=0)
        mean, low, high, _ = total[key]
        panel.axvline(mean * scale, color="#c2571a", label="mean of all, 95 % interval")
        if low is not None:
            panel.axvspan(low * scale, high * scale, color="#c2571a", alpha=0.15, linewidth=0)
        if key in frozen:
            panel.axvline(frozen[key].mean * scale, color="#555555", linestyle="--", label=FROZEN)
        panel.set_title(measure(key).title, fontsize=9)
        panel.tick_params(labelsize=8)
    for panel in panels[len(keys) :]:
        panel.set_visible(False)
    panels[0].set_yticks(range(max(1, len(groups))), groups or ["clips"])
    panels[0].set_ylim(max(1, len(groups)) - 0.5, -0.5)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=8, frameon=False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
