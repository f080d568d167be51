"""Settings drawn by lot for the two sides of a pair."""

import pytest

from huvidpo_core.generation.exploring import GUIDANCE, STEPS, draw_settings


@pytest.mark.parametrize("steps", [2, 4, 20, 50, 200])
def test_both_sides_stay_around_ones_own_settings(steps):
    """Whatever the seed: different numbers of steps within half and three times one's own, never one, at most 200; and
    no number is left out for good."""
    seen = set()
    for seed in range(300):
        (one, strong), (two, weak) = draw_settings(seed, steps, 10.0)
        assert one != two
        assert all(max(2, steps // 2) <= number <= min(200, 3 * steps) for number in (one, two))
        assert all(10 * GUIDANCE[0] <= value <= 10 * GUIDANCE[1] for value in (strong, weak)) and strong != weak
        seen |= {one, two}
    assert seen == {min(200, max(2, round(steps * factor))) for factor in STEPS}


def test_without_guidance_there_stays_none_and_a_seed_fixes_all():
    """Guidance that does nothing costs nothing; a pair can be made again."""
    assert {draw_settings(seed, 4, 1.0)[side][1] for seed in range(20) for side in range(2)} == {1.0}
    assert draw_settings(7, 20, 8.0) == draw_settings(7, 20, 8.0) != draw_settings(8, 20, 8.0)


def test_no_guidance_beyond_what_a_recipe_may_have():
    """30 is the most."""
    assert max(draw_settings(seed, 20, 30.0)[side][1] for seed in range(20) for side in range(2)) == 30
