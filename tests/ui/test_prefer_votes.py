"""What the panel says to given numbers."""

from dataclasses import replace

from huvidpo_core.config import load_actions
from huvidpo_core.preferences.records import Estimate, MotionAudit, Standing, VotesReport
from huvidpo_core.ui.prefer_votes import NONE_YET, votes_words

ACTIONS = load_actions()
MODELS = (
    Standing("horse_run/liked", Estimate(0.8, 0.2, 1.4), 0.75, 6, 0, 2),
    Standing("<script>", Estimate(-0.8, -1.4, -0.2), 0.25, 2, 0, 6),
)
AUDIT = MotionAudit(Estimate(-0.4, -0.7, -0.1), 0.7, 8, "Still clips win: rate motion first.")
REPORT = VotesReport(
    8, {"horse_run": 5, "rain": 3}, {"Anna": 8}, MODELS, Estimate(0.52, 0.4, 0.64), 10, 9, 0.41, 6, AUDIT, 8, 0.33, 4
)  # fmt: skip


def test_every_number_is_said():
    """Votes by action, strengths with intervals, win rates, bias, repeats, agreement, motion and its warning."""
    words = votes_words(REPORT, ACTIONS)
    for said in (
        "8 votes", "Horse run 5, Rain 3", "Anna 8", "+0.80 (+0.20 to +1.40)", "75%", "6 / 0 / 2", "52%",
        "40% to 64%", "9 of 10", "0.41", "6 pairs", "0.33", "4 pairs", "70%",
        "-0.40 (-0.70 to -0.10)", "Still clips win",
    ):  # fmt: skip
        assert said in words
    assert words.index("Still clips win") < words.index("8 votes")  # a warning comes first
    assert "<td>Rain + calm</td>" in votes_words(REPORT, ACTIONS, {MODELS[0].name: "Rain + calm"})


def test_names_are_escaped():
    """A model's or a rater's name is text, not HTML."""
    words = votes_words(replace(REPORT, per_rater={"<b>": 8}), ACTIONS)
    assert "<script>" not in words
    assert "&lt;script&gt;" in words
    assert "&lt;b&gt; 8" in words


def test_too_few_votes_are_said_to_be_too_few():
    """No number is made up: without votes, and where an estimate is missing, a sentence says how many more it needs."""
    assert votes_words(VotesReport(0, {}, {}, (), None, 0, 0, None, 0, None), ACTIONS) == NONE_YET
    words = votes_words(VotesReport(1, {"gone": 1}, {"Anna": 1}, (), None, 0, 0, None, 3, None, 1), ACTIONS)
    assert words.count("not yet") == 5
    assert words.count("19 more decided votes") == 2 and "7 more pairs that two raters have answered" in words
    assert "10 more pairs that two raters have marked" in words
    assert "gone 1" in words
    assert "as soon as votes compare two" in words


def test_models_without_strengths_are_counted_only():
    """Eight decided votes between models: wins, ties and losses stand there, and that twelve more are needed."""
    few = replace(REPORT, models=tuple(replace(standing, strength=None) for standing in MODELS))
    words = votes_words(few, ACTIONS)
    assert "6 / 0 / 2" in words and "12 more decided votes between models" in words
    assert "75%" not in words and "Strength</th>" not in words


def test_many_votes_that_tell_nothing():
    """Enough votes, and still no figure, as when all raters always say the same: the panel does not ask for fewer."""
    words = votes_words(replace(REPORT, left_share=None, alpha=None, shared_pairs=12, decided=30), ACTIONS)
    assert "the votes are many" in words and "all 12 common pairs in one way" in words


def test_a_favoured_side_is_named():
    """Where the interval leaves out one half, the panel says so."""
    assert "favoured" not in votes_words(REPORT, ACTIONS)
    assert "favoured" in votes_words(replace(REPORT, left_share=Estimate(0.7, 0.6, 0.8)), ACTIONS)
