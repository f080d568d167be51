"""What each step draws: a function of the seed and the step alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from huvidpo_core.training.crew import Crew
from tests.training.made import FRAMES, SETTINGS, draws, lessons


def test_a_step_is_the_same_whenever_it_is_asked_for():
    """In any order, by another object, whatever the global generators do; another step or seed draws otherwise."""
    one, other = draws(lessons()), draws(lessons())
    torch.manual_seed(1)
    first = one.at(5)
    torch.manual_seed(2)
    [other.at(step) for step in (0, 9)]
    again = other.at(5)
    assert torch.equal(first.noise, again.noise) and torch.equal(first.timestep, again.timestep)
    assert torch.equal(first.batch.clean, again.batch.clean)
    assert one.dropout_seed(5) == other.dropout_seed(5) != one.dropout_seed(6)
    assert not torch.equal(first.noise, one.at(6).noise)
    assert not torch.equal(first.noise, draws(lessons(), replace(SETTINGS, seed=1)).at(5).noise)


def test_every_pass_has_every_pair_once_in_another_order():
    """Three passes over five pairs, a batch of three running over the ends of passes."""
    made = lessons()
    drawn = draws(made, replace(SETTINGS, batch=3))
    names = {made.latents[f"w{i}"].numpy().tobytes(): i for i in range(5)}
    seen = [names[clip.numpy().tobytes()] for step in range(5) for clip in drawn.at(step).batch.clean[:3]]
    passes = [seen[start : start + 5] for start in (0, 5, 10)]
    assert all(sorted(order) == list(range(5)) for order in passes)
    assert passes[0] != passes[1] != passes[2]


def test_looks_come_again_in_turn():
    """Two of each of five pairs: what a pair is seen with in one pass is what it is seen with two passes later, not one
    later, and no other pair's; a fresh step, and one without looks, is none of them. Windows too."""
    made = lessons(*[(0, *[1] * 6)] * 5)
    drawn = draws(made, replace(SETTINGS, looks=2))
    steps = [drawn.at(step) for step in range(20)]
    seen = {(step // 5, at.looks[0][0]): at for step, at in enumerate(steps)}
    for pair in range(5):
        first, second, third, fourth = (seen[turn, pair] for turn in range(4))
        for one, again in ((first, third), (second, fourth)):
            assert one.looks == again.looks and torch.equal(one.noise, again.noise)
            assert torch.equal(one.timestep, again.timestep) and torch.equal(one.batch.clean, again.batch.clean)
        assert first.looks != second.looks and not torch.equal(first.noise, second.noise)
    starts = set()
    for at in steps:
        winner = made.latents[f"w{at.looks[0][0]}"]
        starts |= {s for s in range(4) if torch.equal(at.batch.clean[0], winner[:, s : s + FRAMES])}
    assert len(starts) > 1
    assert len({at.looks for at in steps}) == len({at.noise.numpy().tobytes() for at in steps}) == 10
    fresh, never = drawn.at(3, fresh=True), draws(made).at(3)
    assert fresh.looks == never.looks == () and torch.equal(fresh.noise, never.noise)
    assert not any(torch.equal(fresh.noise, at.noise) for at in steps)


def test_noise_is_normal_and_correlated_and_levels_are_within_the_settings():
    """Frame 0's noise is a standard normal; later frames have a fifth of it; timesteps from the asked range."""
    made = lessons((0, 1, 1, 1))
    drawn = draws(made, replace(SETTINGS, timesteps=(300, 302)))
    steps = [drawn.at(step) for step in range(60)]
    assert {int(step.timestep) for step in steps} == {300, 301}
    noise = torch.cat([step.noise for step in steps])  # (n, c, f, h, w)
    assert abs(noise[:, :, 0].mean()) < 0.1 and abs(noise[:, :, 0].std() - 1) < 0.1
    later = noise[:, :, 1].flatten()
    assert abs(np.corrcoef(noise[:, :, 0].flatten(), later)[0, 1] - 0.2 / (0.2**2 + 0.8**2) ** 0.5) < 0.05


def test_windows_of_longer_clips_start_anywhere_they_fit():
    """Clips of seven frames and windows of four: starts 0 to 3 all occur, winner and loser have the same."""
    made = lessons((0, 1, 1, 1, 1, 1, 1))
    drawn, starts = draws(made), set()
    for step in range(40):
        winner, loser = drawn.at(step).batch.clean
        (start,) = [s for s in range(7) if torch.equal(winner, made.latents["w0"][:, s : s + FRAMES])]
        assert torch.equal(loser, made.latents["l0"][:, start : start + FRAMES])
        starts.add(start)
    assert starts == {0, 1, 2, 3}


def test_a_batch_of_a_long_and_a_short_clip_is_as_long_as_the_short_one():
    """Windows of three frames for both, anywhere in the long one."""
    made = lessons((0, 1, 1, 1, 1, 1), (0, 1, 1))
    for step in range(4):
        batch = draws(made, replace(SETTINGS, batch=2)).at(step).batch
        assert batch.clean.shape == (4, 4, 3, 4, 4) and batch.mask.tolist() == [[0, 1, 1]] * 2


MASKS = ((0, 1, 1, 1), (0, 0, 0, 0), (0, 0, -1, 0), (0, 0, 0, 0))


@pytest.mark.parametrize("loss", ["huvidpo", "dense", "dense-sum"])
@pytest.mark.parametrize("tie_threshold", [0.0, 0.5])
def test_parts_of_a_batch_are_the_batch_and_their_shares_make_its_mean(loss, tie_threshold):
    """Of two processes each has its half, with the noise it has in the whole; share times the mean over a half's own
    labels, averaged over both, is the mean over all labels, counted here by hand."""
    made = lessons(*MASKS)
    settings = replace(SETTINGS, batch=4, loss=loss, tie_threshold=tie_threshold)
    for step in range(6):
        whole = draws(made, settings).at(step)
        parts = [draws(made, settings, crew=Crew(rank, 2)).at(step) for rank in range(2)]
        assert torch.equal(torch.cat([part.noise for part in parts]), whole.noise)
        assert torch.equal(torch.cat([part.timestep for part in parts]), whole.timestep)
        winners, losers = zip(*(part.batch.clean.chunk(2) for part in parts), strict=True)
        assert torch.equal(torch.cat([*winners, *losers]), whole.batch.clean)
        assert torch.equal(torch.cat([part.batch.mask for part in parts]), whole.batch.mask)

        counts = []
        for part in parts:
            frames = (part.batch.mask != 0)[:, 1:] | (tie_threshold > 0)
            counts.append(int(frames.sum() if loss == "dense" else frames.any(1).sum()))
        for part, count in zip(parts, counts, strict=True):
            assert part.share == pytest.approx(2 * count / sum(counts))
        assert whole.share == pytest.approx(1)


def test_looks_for_checking_are_always_the_same():
    """The first window, one noise for each look, levels in the middle of equal parts of the range."""
    made = lessons((0, 1, 1, 1, 1, 1))
    looks = [draws(made).fixed(made.pairs[0], 0, draw, 4) for draw in range(4)]
    assert [int(look.timestep) for look in looks] == [125, 375, 625, 875]
    again = draws(made).fixed(made.pairs[0], 0, 2, 4)
    assert torch.equal(looks[2].noise, again.noise) and not torch.equal(looks[2].noise, looks[1].noise)
    assert torch.equal(again.batch.clean[0], made.latents["w0"][:, :FRAMES])
