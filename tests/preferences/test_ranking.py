"""What the votes say, against closed forms, a general optimiser, a textbook and truths that votes were drawn from."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binomtest

from huvidpo_core.preferences import agreement, bradley_terry
from huvidpo_core.preferences.ranking import clip_clusters, motion_audit, report, strengths
from huvidpo_core.preferences.records import Answer, Ballot, Mark
from tests.benchmarks.ranking import draw_votes


def answer(number: int, choice: str, left: str, right: str, rater: str = "ann", repeat_of: str | None = None) -> Answer:
    pair = "-".join(sorted((left, right)))
    ballot = Ballot(choice)
    return Answer(f"{number}", f"{number}", pair, rater, left, right, "p", "rain", "seeds", 16, repeat_of, 0, 1, ballot)


def votes(*counted: tuple[int, str, str, str]) -> list[Answer]:
    """(how often, choice, left, right) as answers about fresh clips, whose first letter is the model."""
    flat = [values for times, *values in counted for _ in range(times)]
    return [answer(i, choice, f"{left}{i}", f"{right}{i}l") for i, (choice, left, right) in enumerate(flat)]


def model(clip: str) -> str:
    return clip[0]


def test_two_items_have_the_odds_as_strength():
    """60 wins, 30 losses, 10 ties, sides balanced: the difference is log(60 / 30) in Davidson's model, by hand."""
    half = [(30, "left", "a", "b"), (15, "right", "a", "b"), (5, "tie", "a", "b")]
    other = [(30, "right", "b", "a"), (15, "left", "b", "a"), (5, "both_bad", "b", "a")]
    (a, b), left = strengths(votes(*half, *other), model)
    assert (a.name, a.wins, a.ties, a.losses, a.win_rate) == ("a", 60, 10, 30, 0.65)
    assert a.strength.value - b.strength.value == pytest.approx(np.log(2), abs=1e-3)
    assert a.strength.value == pytest.approx(-b.strength.value)
    assert left.value == pytest.approx(0.5, abs=1e-3) and left.low < 0.5 < left.high


def test_the_left_side_s_share_is_a_closed_form():
    """One model against itself: left won 300 of 400 decided votes, so the share is 3/4; the model does not stand."""
    given = votes((300, "left", "a", "a"), (100, "right", "a", "a"))
    standings, left = strengths(given, model)
    assert standings == () and left.value == pytest.approx(0.75, abs=1e-3)


def likelihood(parameters: np.ndarray, answers: list[Answer], names: list[str]) -> float:
    """Davidson's minus log posterior, vote by vote, from his formula and the prior."""
    *strength, delta, log_nu = parameters
    total = bradley_terry.PRIOR / 2 * np.square(parameters).sum()
    for vote in answers:
        left = np.exp(strength[names.index(vote.left)] + delta)
        right = np.exp(strength[names.index(vote.right)])
        tie = np.exp(log_nu) * np.sqrt(left * right)
        total -= np.log({"left": left, "right": right, "tie": tie}[vote.ballot.choice] / (left + right + tie))
    return total


@pytest.mark.parametrize("few", [40, 0], ids=["dense", "sparse"])
def test_the_fit_is_the_peak_that_a_general_optimiser_finds(monkeypatch, few):
    """scipy's BFGS on the formula, 120 votes among four items, one of which wins every vote; both ways to solve."""
    monkeypatch.setattr(bradley_terry, "FEW", few)
    rng = np.random.default_rng(3)
    names = list("abcd")
    given = []
    for number in range(120):
        left, right = rng.permutation(4)[:2]
        choice = (
            "left" if left == 3 else "right" if right == 3 else rng.choice(["left", "right", "tie"], p=(0.5, 0.3, 0.2))
        )
        given.append(answer(number, str(choice), names[left], names[right]))
    best = minimize(likelihood, np.zeros(6), (given, names), method="BFGS", options={"gtol": 1e-8})
    standings, left = strengths(given, str)
    assert standings[0].name == "d"
    assert {s.name: s.strength.value for s in standings} == pytest.approx(
        dict(zip(names, best.x, strict=False)), abs=1e-4
    )
    assert np.log(left.value / (1 - left.value)) == pytest.approx(best.x[-2], abs=1e-4)


def test_intervals_hold_the_truth_and_are_not_too_wide():
    """Votes drawn from known strengths and a left bias, 50 times 400: 43 or more intervals hold the truth.

    And their width is within a third of 2 x 1.96 deviations of the estimates over the draws.
    """
    inside, widths, estimates, shares = [], [], [], []
    for seed in range(50):
        answers, made, truth = draw_votes(400, models=3, raters=10, per_pair=2, left=0.4, seed=seed)
        standings, left = strengths(answers, made.__getitem__)
        shares.append(left.low <= 1 / (1 + np.exp(-0.4)) <= left.high)
        for standing in standings:
            true = truth[int(standing.name.split()[1])]
            inside.append(standing.strength.low <= true <= standing.strength.high)
            widths.append(standing.strength.high - standing.strength.low)
            estimates.append(standing.strength.value - true)
    assert np.mean(inside) >= 0.86 and np.mean(shares) >= 0.86
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(estimates), rel=1 / 3)


def test_votes_that_say_the_same_again_add_no_certainty():
    """Each vote five times, by the same rater on the same clips: the intervals stay as wide."""
    answers, made, _ = draw_votes(300, models=2, per_pair=1, raters=300, seed=1)
    for fewer, more in zip(strengths(answers, made.get)[0], strengths(answers * 5, made.get)[0], strict=True):
        assert more.strength.value == pytest.approx(fewer.strength.value, abs=0.01)
        width = fewer.strength.high - fewer.strength.low
        assert more.strength.high - more.strength.low == pytest.approx(width, rel=0.2)


@pytest.mark.parametrize("count", [20, 100])
def test_votes_that_all_go_one_way_are_not_taken_for_certainty(count):
    """Every vote goes left, or to one model: the interval reaches down to what the exact binomial one says, or lower.

    And it still leaves out even odds, which 20 of 20 does.
    """
    exact = binomtest(count, count).proportion_ci().low
    _, left = strengths(votes((count, "left", "a", "a")), model)
    assert 0.5 < left.low <= exact
    half = (count // 2, "left", "a", "b"), (count // 2, "right", "b", "a")
    (best, _), _ = strengths(votes(*half), model)
    assert 0 < 2 * best.strength.low <= np.log(exact / (1 - exact))


def test_one_rater_s_habit_widens_the_interval():
    """Four raters who disagree strongly about two models: 400 votes lean one way and are not enough."""
    lean = {"ann": 0.95, "bob": 0.9, "cem": 0.6, "dan": 0.1}
    rng = np.random.default_rng(0)
    given = [
        answer(i, "left" if rng.random() < lean[rater] else "right", f"a{i}", f"b{i}", rater)
        for i, rater in enumerate([*lean] * 100)
    ]
    (best, _), _ = strengths(given, model)
    assert best.strength.low < 0 < best.strength.value


def test_clips_that_were_compared_form_one_cluster():
    """Twenty separate pairs and a chain of three clips are 21 sets; with few sets each pair is a cluster."""
    given = [answer(i, "tie", f"a{i}", f"b{i}") for i in range(20)]
    chain = [answer(20, "tie", "x", "y"), answer(21, "tie", "z", "y"), answer(22, "tie", "y", "x")]
    assert len(set(clip_clusters([*given, *chain]).tolist())) == 21
    clusters = clip_clusters(chain).tolist()
    assert clusters[0] == clusters[2] != clusters[1]


# Krippendorff (2011), section C: four observers, twelve units, "." where one said nothing; nominal alpha is 0.743.
TEXTBOOK = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def test_alpha_is_the_textbook_s():
    """The published example, and its value to three digits."""
    said = [(unit, int(value)) for row in TEXTBOOK for unit, value in enumerate(row) if value != "."]
    assert all(len(row) == 12 for row in TEXTBOOK)
    units, labels = np.array(said).T
    assert agreement.krippendorff_alpha(units, labels) == pytest.approx(0.743, abs=5e-4)


def test_alpha_says_nothing_where_nothing_can_be_said():
    """No votes, no pair with two raters, or one label throughout; full agreement on two labels is 1."""
    for units, labels in (([], []), ([0, 1], [0, 1]), ([0, 0, 1, 1], [2, 2, 2, 2])):
        assert agreement.krippendorff_alpha(np.array(units, int), np.array(labels, int)) is None
    assert agreement.krippendorff_alpha(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])) == 1


def test_raters_agree_about_clips_and_not_about_sides():
    """Two raters prefer the same clips, seen on opposite sides: alpha 1; the pair only one has judged is not shared."""
    given = [answer(0, "left", "a", "b"), answer(1, "right", "b", "a", "bob"), answer(2, "left", "d", "c")]
    given += [answer(3, "right", "c", "d", "bob"), answer(4, "tie", "e", "f"), answer(5, "skip", "f", "e", "bob")]
    assert agreement.between_raters(given) == (1.0, 2)


def marked(number: int, left: str, right: str, rater: str, *marks: Mark) -> Answer:
    given = answer(number, "tie", left, right, rater)
    return replace(given, frames=4, ballot=Ballot("tie", marks))


def test_marks_agree_frame_by_frame():
    """By hand: of two raters' marks on opposite sides, frames 0 to 2 overlap; they agree on the clip in 0 and 1.

    Alpha is that of these six labels; what only one of them marked, and who did not mark, does not count.
    """
    given = [
        marked(0, "a", "b", "ann", Mark(0, 3, "left")),
        marked(1, "b", "a", "bob", Mark(0, 2, "right"), Mark(2, 4, "left")),
        marked(2, "a", "b", "cem"),
        marked(3, "c", "d", "ann", Mark(0, 4, "tie")),
        marked(4, "c", "d", "bob"),
    ]
    alpha, pairs = agreement.by_frame(given)
    units, labels = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 0, 1])
    assert pairs == 1 and alpha == pytest.approx(agreement.krippendorff_alpha(units, labels))
    assert agreement.by_frame(given[2:]) == (None, 0) == agreement.by_frame([])
    ties = [marked(number, "a", "b", rater, Mark(0, 1, "left"), Mark(1, 4, "tie")) for number, rater in enumerate("xy")]
    assert agreement.by_frame(ties) == (1.0, 1)


def test_figures_wait_for_enough_votes():
    """19 decided votes and 9 shared pairs are too few for any figure but counts; one more of each is enough."""
    decided = [answer(i, "right" if i % 3 else "left", f"a{i}", f"b{i}") for i in range(19)]
    ballot = Ballot("tie", (Mark(0, 8, "left"), Mark(8, 16, "right")))
    shared = [
        replace(answer(100 + i, "tie", f"a{i}s", f"b{i}s", rater), ballot=ballot)
        for i in range(9)
        for rater in ("ann", "bob")
    ]
    last = replace(answer(200, "left", "a0", "b0", "bob"), ballot=replace(ballot, choice="left"))
    decided[0] = replace(decided[0], ballot=last.ballot)
    made = {clip: clip[0] for vote in (*decided, *shared) for clip in (vote.left, vote.right)}
    few = report([*decided, *shared], made, {})
    assert (few.decided, few.shared_pairs, few.segment_pairs) == (19, 9, 9)
    assert (few.left_share, few.alpha, few.segment_alpha) == (None, None, None)
    assert [(standing.strength, standing.wins + standing.losses) for standing in few.models] == [(None, 19)] * 2
    enough = report([*decided, *shared, last], made, {})
    assert (enough.decided, enough.shared_pairs, enough.alpha, enough.segment_alpha) == (20, 10, 1, 1)
    assert enough.left_share and all(standing.strength for standing in enough.models)


def test_repeats_are_compared_by_clip():
    """Same clip again, another clip, tie and both bad, a repeat of a skipped pair: two of three alike."""
    given = [answer(i, choice, "a", "b") for i, choice in enumerate(("left", "left", "tie", "skip"))]
    again = [
        answer(i + 4, choice, "b", "a", repeat_of=f"{i}")
        for i, choice in enumerate(("right", "left", "both_bad", "tie"))
    ]
    assert agreement.with_themselves(given + again) == (3, 2)


def test_still_clips_that_win_are_warned_of():
    """Livelier clips lose 80 of 100 votes: the correlation is -0.6 by hand, the warning says 80 %; and the reverse."""
    motions = {f"{kind}{i}": 10.0 if kind == "lively" else 1.0 for i in range(100) for kind in ("lively", "still")}
    given = []
    for i in range(100):
        sides = (f"lively{i}", f"still{i}")[:: -1 if i % 2 else 1]
        still_wins = i % 10 < 8
        given.append(answer(i, "left" if still_wins == sides[0].startswith("still") else "right", *sides))
    given += [answer(100 + i, "tie", f"tied{i}", f"alike{i}") for i in range(5)]  # ties are no decided votes
    motions |= {f"{kind}{i}": 5.0 for i in range(5) for kind in ("tied", "alike")}
    found = motion_audit(given, motions)
    assert found.correlation.value == pytest.approx(-0.6) and found.still_wins == 0.8 and found.votes == 100
    assert -1 <= found.correlation.low < -0.6 < found.correlation.high < 0 and "80%" in found.warning
    reverse = motion_audit(given, {clip: 11 - motion for clip, motion in motions.items()})
    assert reverse.correlation.value == pytest.approx(0.6) and reverse.warning == "" and reverse.still_wins == 0.2


def test_motion_is_not_judged_without_votes_or_motions():
    """19 decided votes, or clips of unknown motion: nothing is said."""
    given = [answer(i, "left", f"a{i}", f"b{i}") for i in range(20)]
    motions = {f"{side}{i}": float(i + (side == "a")) for i in range(20) for side in "ab"}
    assert motion_audit(given[1:], motions) is None and motion_audit(given, motions) is not None
    assert motion_audit(given, {}) is None


def test_the_report_counts_what_it_says():
    """Skipped pairs count nowhere, repeats for the rater only; without votes there is nothing, and no error."""
    given = [answer(0, "left", "a", "b"), answer(1, "skip", "c", "d"), answer(2, "tie", "a", "b", "bob")]
    said = report([*given, answer(3, "right", "b", "a", repeat_of="0")], {"a": "one", "b": "two"}, {})
    assert (said.votes, said.per_action, said.per_rater) == (3, {"rain": 3}, {"ann": 2, "bob": 1})
    assert (said.repeats, said.repeats_same, said.shared_pairs, said.motion) == (1, 1, 1, None)
    assert [(s.name, s.wins, s.ties, s.losses) for s in said.models] == [("one", 1, 1, 0), ("two", 0, 1, 1)]
    empty = report([], {}, {})
    assert (empty.votes, empty.models, empty.left_share, empty.alpha) == (0, (), None, None)
