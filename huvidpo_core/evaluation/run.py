"""The evaluation of a folder of clips: one clip in memory at a time, a generator of its progress."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from huvidpo_core import media
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.evaluation.clips import Source, find_clips
from huvidpo_core.evaluation.metrics import MIN_SIDE, measure_pairs
from huvidpo_core.evaluation.report import ClipReport, Evaluation
from huvidpo_core.evaluation.semantic import ClipScorer, Judge, accuracies, clip_score, subject_consistency
from huvidpo_core.progress import Progress, Stopwatch

_BATCH = 16  # frames the scorer sees at once


def evaluate(
    clips: Path | Sequence[Path],
    stop: threading.Event | None = None,
    *,
    prompts: str = "",
    scorer: ClipScorer | None = None,
    judge: Judge | None = None,
    truth: Mapping[str, Mapping[str, str]] | None = None,
    share: slice = slice(None),
) -> Iterator[Progress | Evaluation]:
    """Measure clips; the last item is the Evaluation.

    A measure that cannot be taken is left out, never guessed: CLIPScore and subject consistency without a scorer, the
    judge's accuracies without a judge or a truth, CLIPScore without a prompt, flicker of two frames.

    Args:
        clips: a folder, with the folders in it, or files; MP4 and GIF, of any lengths, rates and sizes.
        stop: set from another thread, it ends the work at the next frame.
        prompts: as `clips.find_clips` takes them, before those in the clips' recipes.
        truth: clip name -> attribute -> label, before the action and style in the clip's recipe.
        share: which of the clips, in the order of their names, are measured; `Evaluation.joined` puts shares together.

    Raises:
        UserError: the clips or prompts are at fault: none there, damaged, of a single frame, smaller than 7 pixels.
        Stopped: `stop` was set.
    """
    stop = stop or threading.Event()
    yield Progress("looking through the clips", 0, 1)
    sources = find_clips(clips, prompts)[share]
    watch = Stopwatch("measuring the clips", len(sources))
    reports = []
    for number, source in enumerate(sources):
        progress = watch.at(number)
        yield progress
        frames, fps = _read(source)
        frozen = np.broadcast_to(frames[:1], frames.shape)  # the control, without the memory
        values = yield from _pixels(frames, progress, stop)
        # Every measure is a mean over alike frames there, so three tell as much as all.
        control = yield from _pixels(frozen[:3], progress, stop)
        if scorer:
            features = np.concatenate([scorer.image(frames[i : i + _BATCH]) for i in range(0, len(frames), _BATCH)])
            values |= _meaning(features, scorer, source.prompt)
            control |= _meaning(features[:1].repeat(2, axis=0), scorer, source.prompt)
        if judge:
            known = {**source.truth, **(truth or {}).get(source.name, {})}
            values |= accuracies(judge, frames, known)
            control |= accuracies(judge, frozen, known)
        f, h, w, _ = frames.shape
        reports.append(ClipReport(source.name, source.group, source.prompt, f, fps, w, h, values, control))
    yield Evaluation(tuple(reports))


def _read(source: Source) -> media.Clip:
    clip = media.read_video(source.path)
    f, h, w, _ = clip.frames.shape
    if f < 2:
        raise UserError(f"{source.name} has a single frame; a clip to be measured needs at least two.")
    if min(h, w) < MIN_SIDE:
        raise UserError(f"{source.name} is {w} x {h}; each side needs at least {MIN_SIDE} pixels.")
    return clip


def _pixels(frames: np.ndarray, progress: Progress, stop: threading.Event) -> Iterator[Progress]:
    """The means of the pixel measures, with a chance to show progress and to stop at every frame."""
    collected: dict[str, list[float]] = defaultdict(list)
    for values in measure_pairs(frames):
        if stop.is_set():
            raise Stopped
        yield progress
        for name, value in values.items():
            collected[name].append(value)
    return {name: fmean(values) for name, values in collected.items()}


def _meaning(features: np.ndarray, scorer: ClipScorer, prompt: str | None) -> dict[str, float]:
    """What a scorer tells, from its vectors (f, d) of the frames."""
    values = {"subject_consistency": subject_consistency(features)}
    if prompt:
        values["clip_score"] = clip_score(features, scorer.text([prompt])[0])
    return values
