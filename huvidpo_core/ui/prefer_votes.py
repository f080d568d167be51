"""What the votes say, as short HTML. Pure functions, no gradio."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from types import MappingProxyType

from huvidpo_core.config import Action
from huvidpo_core.preferences.records import DECIDED_NEEDED, SHARED_NEEDED, Estimate, Standing, VotesReport

NOT_YET = "not yet"  # in place of a figure
NONE_YET = '<p class="hv-nothing">No votes yet. Rate a few pairs, then look here again.</p>'


def votes_words(
    report: VotesReport, actions: Mapping[str, Action], models: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The whole panel; `models` are titles by id."""
    if not report.votes:
        return NONE_YET
    counted = ", ".join(f"{_title(actions, name)} {count}" for name, count in report.per_action.items())
    raters = ", ".join(f"{escape(name)} {count}" for name, count in report.per_rater.items())
    warning = report.motion.warning if report.motion else ""
    figures = (_left(report), _repeats(report), _agreement(report), _by_the_second(report), _motion(report))
    parts = [
        f'<p class="hv-message hv-notice" role="alert">{escape(warning)}</p>' if warning else "",
        f"<p><b>{_many(report.votes, 'vote')}.</b> {counted}.<br>By {raters}.</p>",
        _models([replace(model, name=models.get(model.name, model.name)) for model in report.models]),
        f'<div class="hv-figures">{"".join(figures)}</div>',
    ]
    return f'<div class="hv-votes">{"".join(parts)}</div>'


def _models(models: Sequence[Standing]) -> str:
    """A row per model, strengths drawn on one scale."""
    if not models:
        return "<p>Models are ranked as soon as votes compare two of them.</p>"
    strengths = [model.strength for model in models if model.strength]
    low = min((strength.low for strength in strengths), default=0.0)
    span = max((strength.high for strength in strengths), default=1.0) - low or 1.0
    rows = "".join(
        f"<tr><td>{escape(model.name)}</td>{_told(model, low, span)}"
        f"<td>{model.wins} / {model.ties} / {model.losses}</td></tr>"
        for model in models
    )
    heads = "<th>Strength</th><th>with 95 % interval</th><th>Win rate</th>" if strengths else ""
    missing = DECIDED_NEEDED - sum(model.wins for model in models)
    wait = "" if strengths else f"<p>Strengths are told after {_many(missing, 'more decided vote')} between models.</p>"
    return (
        f"<div><h3>Models</h3><div class='hv-wide-table'><table><thead><tr><th>Model</th>{heads}"
        f"<th>Won / tie / lost</th></tr></thead><tbody>{rows}</tbody></table></div>{wait}</div>"
    )


def _told(model: Standing, low: float, span: float) -> str:
    """Three cells: the strength's interval drawn and in figures, the win rate; none where votes are too few."""
    strength = model.strength
    if strength is None:
        return ""
    figures = f"{strength.value:+z.2f} ({strength.low:+z.2f} to {strength.high:+z.2f})"
    return f"<td>{_range(strength, low, span)}</td><td>{figures}</td><td>{model.win_rate:.0%}</td>"


def _range(strength: Estimate, low: float, span: float) -> str:
    """An interval with its value, as a drawing that screen readers pass over."""
    start, value, end = (100 * (x - low) / span for x in (strength.low, strength.value, strength.high))
    return (
        f'<span class="hv-range" aria-hidden="true"><i style="left:{start:.1f}%;width:{end - start:.1f}%"></i>'
        f'<b style="left:{value:.1f}%"></b></span>'
    )


def _left(report: VotesReport) -> str:
    share = report.left_share
    if share is None:
        return _figure("Left side", NOT_YET, _needed(report))
    biased = "" if share.low <= 0.5 <= share.high else " One side is favoured whatever it shows."
    interval = f"95 % interval {share.low:.0%} to {share.high:.0%}"
    return _figure("Left side", f"{share.value:.0%}", f"goes left between equals; {interval}, 50 % is no bias.{biased}")


def _repeats(report: VotesReport) -> str:
    if not report.repeats:
        return _figure("Consistency", NOT_YET, "No pair has come back yet; about one in ten does, sides swapped.")
    same = f"{report.repeats_same} of {report.repeats}"
    return _figure("Consistency", same, "answered the same when they came back with sides swapped.")


def _agreement(report: VotesReport) -> str:
    said = "Krippendorff's alpha over {pairs} that two raters or more have answered; 1 is full, 0 is chance."
    return _alpha("Agreement", report.alpha, report.shared_pairs, "answered", said)


def _by_the_second(report: VotesReport) -> str:
    said = "the same of the timeline's marks, frame by frame, in {pairs} that two raters or more have marked."
    return _alpha("Agreement by the second", report.segment_alpha, report.segment_pairs, "marked", said)


def _alpha(name: str, alpha: float | None, pairs: int, done: str, said: str) -> str:
    if alpha is not None:
        return _figure(name, f"{alpha:.2f}", said.format(pairs=_many(pairs, "pair")))
    missing = SHARED_NEEDED - pairs
    if missing > 0:
        return _figure(name, NOT_YET, f"Needs {_many(missing, 'more pair')} that two raters have {done}.")
    return _figure(
        name, NOT_YET, f"Raters have {done} all {_many(pairs, 'common pair')} in one way: that tells nothing."
    )


def _motion(report: VotesReport) -> str:
    audit = report.motion
    if audit is None:
        return _figure("Motion", NOT_YET, _needed(report))
    correlation = audit.correlation
    said = (
        f"of {_many(audit.votes, 'decided vote')} went to the stiller clip; correlation of vote and motion "
        f"{correlation.value:+z.2f} ({correlation.low:+z.2f} to {correlation.high:+z.2f})."
    )
    return _figure("Motion", f"{audit.still_wins:.0%}", said)


def _needed(report: VotesReport) -> str:
    """How many votes are missing before a figure means something."""
    missing = DECIDED_NEEDED - report.decided
    if missing <= 0:
        return "There is too little to tell it from, though the votes are many."
    return f"{_many(missing, 'more decided vote')} will tell; with fewer, any figure is luck."


def _figure(name: str, figure: str, said: str) -> str:
    return f"<div><span>{name}</span><b>{figure}</b><span>{said}</span></div>"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _title(actions: Mapping[str, Action], name: str) -> str:
    return escape(actions[name].title if name in actions else name)
