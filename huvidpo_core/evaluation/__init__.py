"""How good clips are: per clip and in total, with intervals, and always beside a frozen first frame.

`metrics` measures pixels, `semantic` what a text-image model and a judge see, `clips` finds files and prompts, `run`
does the work, `report` and `plot` write it down. Knows no model: a scorer and a judge are handed in.
"""

from huvidpo_core.evaluation.metrics import Consistency, clip_consistency
from huvidpo_core.evaluation.report import ClipReport, Evaluation, Interval
from huvidpo_core.evaluation.run import evaluate
from huvidpo_core.evaluation.semantic import ClipScorer, Judge

__all__ = [
    "ClipReport",
    "ClipScorer",
    "Consistency",
    "Evaluation",
    "Interval",
    "Judge",
    "clip_consistency",
    "evaluate",
]
