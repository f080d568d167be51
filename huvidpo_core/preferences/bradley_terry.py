"""Strengths from paired comparisons with ties, and intervals that know that votes hang together.

The model is Davidson's (1970, "On extending the Bradley-Terry model to accommodate ties in paired comparison
experiments"): with worths w = exp(strength), left wins, ties and loses as w_l : nu sqrt(w_l w_r) : w_r. The left side
counts as if its worth were exp(delta) times as large, which is the raters' habit and not the clip's merit. All of it is
log-linear, hence concave in (strengths, delta, log nu). A weak normal prior of deviation 10 on each keeps what has won
every vote finite, and makes the mean strength of all that hang together through comparisons exactly 0.

Intervals: votes by one rater and votes on one clip are not independent. The variance is taken from three bootstraps,
V(clips) + V(raters) - V(votes of one rater on one set of clips), each refitting the model on resampled clusters
(Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering"), and the interval is the estimate
+- 1.96 of its root. Votes that all say the same leave a bootstrap nothing to vary, and 20 of 20 is not certainty: with
few items the interval is made to hold the one for independent votes after two more for either side (Agresti and Coull
1998, "Approximate is better than exact").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

REPLICATES = 200  # of each bootstrap; the deviation is then known to 5 %
CHUNK = 50  # replicates at a time, to bound memory
PRIOR = 0.01  # 1 / 10^2
FEW = 40  # items for which every replicate is fitted to the end; more items: one Newton step from the estimate
HANDS = 1000  # groups to which the smallest clusters are dealt at random: together they vary as each alone
NORMAL_95 = 1.959964


@dataclass(frozen=True, eq=False)
class Fit:
    """`strength` (m,), natural log-odds; `left` and `tie`: delta and log nu; `low` and `high` (m + 2,): the ends of the
    95 % intervals of all, in this order."""

    strength: np.ndarray
    left: float
    tie: float
    low: np.ndarray
    high: np.ndarray


def fit(
    left: np.ndarray, right: np.ndarray, outcome: np.ndarray, items: int, clusters: Sequence[np.ndarray], seed: int = 0
) -> Fit:
    """Fit the model to n votes.

    Args:
        left, right: int (n,), the items compared, 0 .. items - 1; the same item twice tells of delta and ties only.
        outcome: int (n,), 0 left, 1 tie, 2 right.
        items: m, how many there are.
        clusters: two int (n,) arrays: the cluster of clips and the rater of each vote.
        seed: of the bootstrap.
    """
    keys, cell = np.unique(left.astype(np.int64) * items + right, return_inverse=True)
    design = _design(keys // items, keys % items, items)
    votes = len(outcome)
    table = sparse.csr_array((np.ones(votes), (np.arange(votes), cell * 3 + outcome)), shape=(votes, 3 * len(keys)))
    counts = np.asarray(table.sum(axis=0)).reshape(1, -1)
    if items <= FEW:
        estimate = _newton(design.toarray(), counts, np.zeros((1, items + 2)))
        low, high = _cautious(design.toarray(), counts, estimate)

        def refit(resampled: np.ndarray) -> np.ndarray:
            return _newton(design.toarray(), resampled, np.repeat(estimate, len(resampled), axis=0))

    else:
        estimate, solve = _newton_sparse(design, counts)
        low, high = estimate[0], estimate[0]

        def refit(resampled: np.ndarray) -> np.ndarray:
            start = np.repeat(estimate, len(resampled), axis=0)
            slope, _ = _derivatives(design, resampled, start)
            return start + solve(slope)

    margin = NORMAL_95 * clustered_deviation(table, clusters, refit, seed)
    low, high = np.minimum(low, estimate[0] - margin), np.maximum(high, estimate[0] + margin)
    return Fit(estimate[0, :items], estimate[0, -2], estimate[0, -1], low, high)


def clustered_deviation(
    table: sparse.csr_array,
    clusters: Sequence[np.ndarray],
    statistic: Callable[[np.ndarray], np.ndarray],
    seed: int = 0,
) -> np.ndarray:
    """Standard deviation (p,) of a statistic of sums over votes, votes being clustered in two ways at once.

    Args:
        table: (n, k), what each vote adds to the k sums.
        clusters: two int (n,) arrays.
        statistic: sums (b, k) -> (b, p).
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    _, both = np.unique(np.stack(clusters), axis=1, return_inverse=True)
    dealt = rng.permutation(both.max() + 1)[both] % HANDS
    one, other, within = (_variance(table, groups, statistic, rng) for groups in (*clusters, dealt))
    # A difference of estimates may fall below each of them by chance, or when there is a single cluster.
    return np.sqrt(np.max([one + other - within, one, other, within], axis=0))


def _variance(
    table: sparse.csr_array,
    groups: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    names, group = np.unique(groups, return_inverse=True)
    members = sparse.csr_array((np.ones(len(group)), (group, np.arange(len(group)))))
    sums = members @ table  # (groups, k)
    drawn = []
    for _ in range(0, REPLICATES, CHUNK):
        times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=CHUNK)
        drawn.append(statistic((sums.T @ times.T.astype(float)).T))
    return np.concatenate(drawn).var(axis=0, ddof=1)


def _design(left: np.ndarray, right: np.ndarray, items: int) -> sparse.csr_array:
    """(cells, m + 1): how strengths and delta make the left side's log-odds over the right side."""
    cells = np.arange(len(left))
    rows, columns = np.concatenate([cells] * 3), np.concatenate([left, right, np.full(len(left), items)])
    values = np.repeat([1.0, -1.0, 1.0], len(left))
    return sparse.csr_array((values, (rows, columns)), shape=(len(left), items + 1))  # one item twice: adds up to 0


def _derivatives(design: np.ndarray | sparse.csr_array, counts: np.ndarray, parameters: np.ndarray):
    """Slope (b, m + 2) of the log posterior, and per cell the curvatures (b, cells) in (s, s), (s, nu), (nu, nu)."""
    log_odds = (design @ parameters[:, :-1].T).T  # (b, cells)
    scores = np.stack([log_odds / 2, np.broadcast_to(parameters[:, -1:], log_odds.shape), -log_odds / 2])
    scores = np.exp(scores - scores.max(axis=0))
    win, tie, lose = scores / scores.sum(axis=0)
    won, tied, lost = np.moveaxis(counts.reshape(len(counts), -1, 3), -1, 0)
    total = won + tied + lost
    by_odds = ((won - lost) - total * (win - lose)) / 2
    slope = np.concatenate([(design.T @ by_odds.T).T, (tied - total * tie).sum(axis=1, keepdims=True)], axis=1)
    curvatures = (
        total * (win + lose - (win - lose) ** 2) / 4,
        -total * (win - lose) * tie / 2,
        total * tie * (1 - tie),
    )
    return slope - PRIOR * parameters, curvatures


def _newton(design: np.ndarray, counts: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """The posterior's peak (b, m + 2) for each row of counts (b, 3 cells), all rows at once."""
    squares = _squares(design)
    for _ in range(50):
        slope, curvatures = _derivatives(design, counts, parameters)
        curvature = _curvature(design, squares, curvatures)
        step = np.linalg.solve(curvature + PRIOR * np.eye(len(slope[0])), slope[..., None])[..., 0]
        parameters = parameters + _bounded(step)
        if np.abs(step).max() < 1e-7:
            break
    return parameters


def _squares(design: np.ndarray) -> np.ndarray:
    return np.einsum("ci,cj->cij", design, design).reshape(len(design), -1)  # (cells, (m + 1)^2)


def _curvature(design: np.ndarray, squares: np.ndarray, curvatures: tuple[np.ndarray, ...]) -> np.ndarray:
    """Minus the log likelihood's second derivatives (b, m + 2, m + 2), the prior left out."""
    odds, mixed, tie = curvatures
    size = design.shape[1] + 1
    curvature = np.empty((len(odds), size, size))
    curvature[:, :-1, :-1] = (odds @ squares).reshape(-1, size - 1, size - 1)
    curvature[:, :-1, -1] = curvature[:, -1, :-1] = mixed @ design
    curvature[:, -1, -1] = tie.sum(axis=1)
    return curvature


def _cautious(design: np.ndarray, counts: np.ndarray, estimate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends (m + 2,) of the intervals if all votes were independent and two more had gone to either side.

    Directions of which no vote tells, the common level of strengths, have no width: the prior fixes them.
    """
    of_cell = counts.reshape(-1, 3).sum(axis=1, keepdims=True)
    counts = counts + (of_cell / of_cell.sum() * np.array([2, 0, 2])).reshape(1, -1)
    peak = _newton(design, counts, estimate)
    _, curvatures = _derivatives(design, counts, peak)
    told, directions = np.linalg.eigh(_curvature(design, _squares(design), curvatures)[0])
    seen = told > 1e-9
    margin = NORMAL_95 * np.sqrt((directions[:, seen] ** 2 / (told[seen] + PRIOR)).sum(axis=1))
    return peak[0] - margin, peak[0] + margin


def _newton_sparse(
    design: sparse.csr_array, counts: np.ndarray
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """As `_newton` for one row (1, 3 cells) and many items; also what turns slopes (b, m + 2) into Newton steps."""
    parameters = np.zeros((1, design.shape[1] + 1))
    for _ in range(50):
        slope, (odds, mixed, tie) = _derivatives(design, counts, parameters)
        border = sparse.csr_array(design.T @ mixed.T)
        square = design.T @ sparse.diags_array(odds[0]) @ design
        curvature = sparse.block_array([[square, border], [border.T, sparse.csr_array([[tie.sum()]])]])
        # Delta and nu touch every cell: an order that leaves such rows for last keeps the factors sparse.
        curvature = (curvature + PRIOR * sparse.eye_array(curvature.shape[0])).tocsc()
        factors = splu(curvature, "MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True})
        step = factors.solve(slope.T).T
        parameters = parameters + _bounded(step)
        if np.abs(step).max() < 1e-7:
            break
    return parameters, lambda slope: factors.solve(np.ascontiguousarray(slope.T)).T


def _bounded(step: np.ndarray) -> np.ndarray:
    """No parameter moves by more than 2 at once: far from the peak a Newton step may overshoot."""
    return step / np.maximum(1, np.abs(step).max(axis=1, keepdims=True) / 2)
