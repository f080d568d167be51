"""What the votes say, as short HTML. Pure functions, no gradio."""

from collections.abc import Mapping, Sequence
from html import escape

from huvidpo_core.config import Action
from huvidpo_core.preferences.records import Estimate, MotionAudit, Standing, VotesReport

NOT_YET = "not yet"  # in place of a figure
NONE_YET = '<p class="hv-nothing">No votes yet. Rate a few pairs, then look here again.</p>'


def votes_words(report: VotesReport, actions: Mapping[str, Action]) -> str:
    """The whole panel."""
    if not report.votes:
        return NONE_YET
    counted = ", ".join(f"{_title(actions, name)} {count}" for name, count in report.per_action.items())
    raters = ", ".join(f"{escape(name)} {count}" for name, count in report.per_rater.items())
    warning = report.motion.warning if report.motion else ""
    figures = (_left(report.left_share), _repeats(report), _agreement(report), _motion(report.motion))
    parts = [
        f'<p class="hv-message hv-notice" role="alert">{escape(warning)}</p>' if warning else "",
        f"<p><b>{_many(report.votes, 'vote')}.</b> {counted}.<br>By {raters}.</p>",
        _models(report.models),
        f'<div class="hv-figures">{"".join(figures)}</div>',
    ]
    return f'<div class="hv-votes">{"".join(parts)}</div>'


def _models(models: Sequence[Standing]) -> str:
    """A row per model, strengths drawn on one scale."""
    if not models:
        return "<p>Models are ranked as soon as votes compare two of them.</p>"
    low = min(model.strength.low for model in models)
    span = max(model.strength.high for model in models) - low or 1.0
    rows = "".join(
        f"<tr><td>{escape(model.name)}</td><td>{_range(model.strength, low, span)}</td>"
        f"<td>{model.strength.value:+z.2f} ({model.strength.low:+z.2f} to {model.strength.high:+z.2f})</td>"
        f"<td>{model.win_rate:.0%}</td><td>{model.wins} / {model.ties} / {model.losses}</td></tr>"
        for model in models
    )
    return (
        "<div><h3>Models</h3><div class='hv-wide-table'><table><thead><tr><th>Model</th><th>Strength</th>"
        "<th>with 95 % interval</th><th>Win rate</th><th>Won / tie / lost</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def _range(strength: Estimate, low: float, span: float) -> str:
    """An interval with its value, as a drawing that screen readers pass over."""
    start, value, end = (100 * (x - low) / span for x in (strength.low, strength.value, strength.high))
    return (
        f'<span class="hv-range" aria-hidden="true"><i style="left:{start:.1f}%;width:{end - start:.1f}%"></i>'
        f'<b style="left:{value:.1f}%"></b></span>'
    )


def _left(share: Estimate | None) -> str:
    if share is None:
        return _figure("Left side", NOT_YET, "Too few votes to see a bias.")
    biased = "" if share.low <= 0.5 <= share.high else " One side is favoured whatever it shows."
    interval = f"95 % interval {share.low:.0%} to {share.high:.0%}"
    return _figure("Left side", f"{share.value:.0%}", f"goes left between equals; {interval}, 50 % is no bias.{biased}")


def _repeats(report: VotesReport) -> str:
    if not report.repeats:
        return _figure("Consistency", NOT_YET, "No pair has come back yet; about one in ten does, sides swapped.")
    same = f"{report.repeats_same} of {report.repeats}"
    return _figure("Consistency", same, "pairs were answered the same when they came back with sides swapped.")


def _agreement(report: VotesReport) -> str:
    if report.alpha is None:
        return _figure("Agreement", NOT_YET, "Needs pairs that two raters have answered.")
    pairs = _many(report.shared_pairs, "pair")
    said = f"Krippendorff's alpha over {pairs} that two raters or more have answered; 1 is full, 0 is chance."
    return _figure("Agreement", f"{report.alpha:.2f}", said)


def _motion(audit: MotionAudit | None) -> str:
    if audit is None:
        return _figure("Motion", NOT_YET, "Too few votes to compare with the clips' motion.")
    correlation = audit.correlation
    said = (
        f"of {_many(audit.votes, 'decided vote')} went to the stiller clip; correlation of vote and motion "
        f"{correlation.value:+z.2f} ({correlation.low:+z.2f} to {correlation.high:+z.2f})."
    )
    return _figure("Motion", f"{audit.still_wins:.0%}", said)


def _figure(name: str, figure: str, said: str) -> str:
    return f"<div><span>{name}</span><b>{figure}</b><span>{said}</span></div>"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _title(actions: Mapping[str, Action], name: str) -> str:
    return escape(actions[name].title if name in actions else name)
