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
    8, {"horse_run": 5, "rain": 3}, {"Anna": 8}, MODELS, Estimate(0.52, 0.4, 0.64), 10, 9, 0.41, 6, AUDIT
)  # fmt: skip


def test_every_number_is_said():
    """Votes by action, strengths with intervals, win rates, bias, repeats, agreement, motion and its warning."""
    words = votes_words(REPORT, ACTIONS)
    for said in (
        "8 votes", "Horse run 5, Rain 3", "Anna 8", "+0.80 (+0.20 to +1.40)", "75%", "6 / 0 / 2", "52%",
        "40% to 64%", "9 of 10", "0.41", "6 pairs", "70%", "-0.40 (-0.70 to -0.10)", "Still clips win",
    ):  # fmt: skip
        assert said in words
    assert words.index("Still clips win") < words.index("8 votes")  # a warning comes first


def test_names_are_escaped():
    """A model's or a rater's name is text, not HTML."""
    words = votes_words(replace(REPORT, per_rater={"<b>": 8}), ACTIONS)
    assert "<script>" not in words
    assert "&lt;script&gt;" in words
    assert "&lt;b&gt; 8" in words


def test_too_few_votes_are_said_to_be_too_few():
    """No number is made up: without votes, and where an estimate is missing, a sentence stands in its place."""
    assert votes_words(VotesReport(0, {}, {}, (), None, 0, 0, None, 0, None), ACTIONS) == NONE_YET
    words = votes_words(VotesReport(1, {"gone": 1}, {"Anna": 1}, (), None, 0, 0, None, 0, None), ACTIONS)
    assert words.count("not yet") == 4
    assert "gone 1" in words
    assert "as soon as votes compare two" in words


def test_a_favoured_side_is_named():
    """Where the interval leaves out one half, the panel says so."""
    assert "favoured" not in votes_words(REPORT, ACTIONS)
    assert "favoured" in votes_words(replace(REPORT, left_share=Estimate(0.7, 0.6, 0.8)), ACTIONS)
