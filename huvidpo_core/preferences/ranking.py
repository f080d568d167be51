"""What the votes say of models and clips, of the raters, and of motion. No database, no torch; pure functions.

Repeats, which ask about the rater, are left out of everything but `repeats`; skipped pairs out of everything. Answers
that were not blind are left out where models are compared. Both bad is a tie here: neither is better.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from huvidpo_core.preferences import agreement
from huvidpo_core.preferences.bradley_terry import NORMAL_95, clustered_deviation, fit
from huvidpo_core.preferences.records import (
    DECIDED_NEEDED,
    SHARED_NEEDED,
    Answer,
    Estimate,
    MotionAudit,
    Standing,
    VotesReport,
)

MANY = 20  # sets of clips; with fewer the bootstrap over them says little, and the single pairs are its clusters
STILL = 0.05  # levels, added to both motions: two clips that hardly move are alike, whatever their ratio

_OUTCOME = {"left": 0, "tie": 1, "both_bad": 1, "right": 2}


def report(answers: Sequence[Answer], models: Mapping[str, str], motions: Mapping[str, float]) -> VotesReport:
    """All numbers of the panel; those that stand on too few votes are left out, as `records` says how many that is.

    Args:
        answers: standing votes.
        models: clip id -> the model that made it; a clip that is not there counts as its own.
        motions: clip id -> how much moves in it, in any unit that is 0 for a frozen clip; clips may be missing.
    """
    said = [answer for answer in answers if answer.ballot.choice != "skip"]
    judged = [answer for answer in said if answer.repeat_of is None]
    blind = [answer for answer in judged if answer.blind]
    standings, left = strengths(blind, lambda clip: models.get(clip, clip))
    decided = sum(_OUTCOME[answer.ballot.choice] != 1 for answer in judged)
    if sum(standing.wins for standing in standings) < DECIDED_NEEDED:
        standings = tuple(replace(standing, strength=None) for standing in standings)
    alpha, shared = agreement.between_raters(judged)
    segment_alpha, segment_pairs = agreement.by_frame(judged)
    repeats, alike = agreement.with_themselves(said)
    return VotesReport(
        votes=len(said),
        per_action=dict(Counter(answer.action for answer in said).most_common()),
        per_rater=dict(Counter(answer.rater for answer in said).most_common()),
        models=standings,
        left_share=left if decided >= DECIDED_NEEDED else None,
        repeats=repeats,
        repeats_same=alike,
        alpha=alpha if shared >= SHARED_NEEDED else None,
        shared_pairs=shared,
        motion=motion_audit(judged, motions),
        decided=decided,
        segment_alpha=segment_alpha if segment_pairs >= SHARED_NEEDED else None,
        segment_pairs=segment_pairs,
    )


def strengths(answers: Sequence[Answer], name) -> tuple[tuple[Standing, ...], Estimate | None]:
    """Standings, the strongest first, and the share that left would win between equals.

    Args:
        answers: votes that count.
        name: clip id -> what competes: its model, or the clip itself. What met only itself does not stand.
    """
    if not answers:
        return (), None
    names: dict[str, int] = {}
    left = np.array([names.setdefault(name(answer.left), len(names)) for answer in answers])
    right = np.array([names.setdefault(name(answer.right), len(names)) for answer in answers])
    outcome = np.array([_OUTCOME[answer.ballot.choice] for answer in answers])
    found = fit(left, right, outcome, len(names), (clip_clusters(answers), _raters(answers)))

    others = left != right
    left, right, outcome = left[others], right[others], outcome[others]
    wins = np.bincount(np.where(outcome == 0, left, right)[outcome != 1], minlength=len(names))
    losses = np.bincount(np.where(outcome == 0, right, left)[outcome != 1], minlength=len(names))
    ties = np.bincount(np.concatenate([left, right])[np.tile(outcome == 1, 2)], minlength=len(names))
    total = wins + losses + ties
    standings = [
        Standing(
            name,
            Estimate(float(found.strength[i]), float(found.low[i]), float(found.high[i])),
            float((wins[i] + ties[i] / 2) / total[i]),
            int(wins[i]),
            int(ties[i]),
            int(losses[i]),
        )
        for name, i in names.items()
        if total[i]
    ]
    share = Estimate(*(float(1 / (1 + np.exp(-value))) for value in (found.left, found.low[-2], found.high[-2])))
    return tuple(sorted(standings, key=lambda standing: (-standing.strength.value, standing.name))), share


def motion_audit(answers: Sequence[Answer], motions: Mapping[str, float]) -> MotionAudit | None:
    """Whether votes go to the livelier or to the stiller clip; None with fewer than 20 decided votes.

    The correlation is of the vote (+1 left, -1 right, 0 neither) with the difference of log motions, left minus right,
    both about 0 and not about their means: so it does not depend on which clip stood left.
    """
    known = [answer for answer in answers if answer.left in motions and answer.right in motions]
    vote = np.array([1 - _OUTCOME[answer.ballot.choice] for answer in known], float)
    left = np.array([motions[answer.left] for answer in known], float)
    right = np.array([motions[answer.right] for answer in known], float)
    livelier = np.log(left + STILL) - np.log(right + STILL)
    decided = vote * livelier
    votes = np.count_nonzero(decided)
    if votes < DECIDED_NEEDED:
        return None
    table = sparse.csr_array(np.stack([decided, vote**2, livelier**2], axis=1))

    def correlation(sums: np.ndarray) -> np.ndarray:
        return (sums[:, 0] / np.sqrt(np.maximum(sums[:, 1] * sums[:, 2], 1e-300)))[:, None]

    value = float(correlation(np.asarray(table.sum(axis=0))[None])[0, 0])
    deviation = clustered_deviation(table, (clip_clusters(known), _raters(known)), correlation)
    margin = NORMAL_95 * float(deviation[0])
    found = Estimate(value, max(-1.0, value - margin), min(1.0, value + margin))
    still = float((decided < 0).sum() / votes)
    warning = ""
    if found.high < 0:
        warning = (
            f"The stiller clip won {still:.0%} of the votes that were decided. A model aligned with these votes will "
            "move less: look at motion when you rate, and mark the seconds in which something happens."
        )
    return MotionAudit(found, still, votes, warning)


def clip_clusters(answers: Sequence[Answer]) -> np.ndarray:
    """int (n,): the set of clips a vote belongs to, clips that were compared being in one set, directly or not.

    For pairs of two fresh clips that is the pair. Where comparisons tie all clips into fewer than `MANY` sets, it is
    the pair, too.
    """
    clips: dict[str, int] = {}
    left = np.array([clips.setdefault(answer.left, len(clips)) for answer in answers], int)
    right = np.array([clips.setdefault(answer.right, len(clips)) for answer in answers], int)
    edges = sparse.csr_array((np.ones(len(left)), (left, right)), shape=(len(clips), len(clips)))
    sets, member = connected_components(edges, directed=False)
    if sets >= MANY:
        return member[left]
    return np.minimum(left, right) * len(clips) + np.maximum(left, right)


def _raters(answers: Sequence[Answer]) -> np.ndarray:
    names: dict[str, int] = {}
    return np.array([names.setdefault(answer.rater, len(names)) for answer in answers], int)
