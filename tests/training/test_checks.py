"""Held-out pairs are looked at alike every time; a training ends for three reasons, with the right LoRA kept."""

import pytest
import torch

from huvidpo_core.training.checks import DRAWS, CheckRecord, HeldOut, Judgement
from tests.training.made import draws, lessons


class Measured:
    """Errors that say which pair, level and side they are of; counts the reference's looks."""

    def __init__(self, made):
        self.number = {made.latents[f"w{i}"][:, :2].numpy().tobytes(): i for i in range(len(made.pairs))}
        self.references, self.gain = 0, 0.0

    def __call__(self, drawn, reference):
        self.references += reference
        number = self.number[drawn.batch.clean[0, :, :2].numpy().tobytes()]
        errors = torch.full((2, 1, drawn.batch.clean.shape[2]), 10.0 * number + float(drawn.timestep) / 1000)
        return errors if reference else errors + torch.tensor([-self.gain, self.gain])[:, None, None]


def test_a_look_is_the_mean_over_the_same_levels_of_every_pair():
    """Pairs of different length side by side, padded without labels; the reference is measured once; frame 0 and
    labels behind the window do not count."""
    made = lessons((1, 1, -1, 0), (1, -1, 1), (0, 0, 0, 0, 0, 1))
    measure = Measured(made)
    held_out = HeldOut(made.pairs, draws(made), measure)
    policy, reference, mask = held_out.look()
    assert mask.tolist() == [[0, 1, -1, 0], [0, -1, 1, 0]]
    torch.testing.assert_close(reference[:, 0], torch.full((2, 4), 0.5))  # levels 125, 375, 625, 875
    torch.testing.assert_close(reference[:, 1, :3], torch.full((2, 3), 10.5))
    assert torch.equal(policy, reference)
    measure.gain = 0.25
    policy, again, _ = held_out.look()
    assert torch.equal(again, reference) and measure.references == 2 * DRAWS
    torch.testing.assert_close(policy[:, 0, 1], torch.tensor([0.25, 0.75]))


def test_without_pairs_there_is_nothing_to_look_at():
    """None; also where all labels lie behind the window."""
    made = lessons((0, 0, 0, 0, 0, 1))
    assert HeldOut(made.pairs, draws(made), Measured(made)).look() is None
    assert HeldOut([], draws(made), Measured(made)).look() is None


def check(
    step: int, loss: float | None, *, motion: float = 1.0, winner: float | None = 0.0, accuracy: float = 0.5
) -> CheckRecord:
    return CheckRecord(step, None if loss is None else accuracy, loss, winner, 0.0, motion)


def judged(*checks: CheckRecord, least_motion: float = 0.9, winner_rise: float = 0.0) -> tuple[list[str], dict]:
    """What is said after each check, and what is remembered; the LoRA of a step holds its number."""
    judgement = Judgement(least_motion, winner_rise, 2)
    words = [judgement.of(each, {"lora": torch.tensor(each.step)}) for each in checks]
    state = judgement.state
    assert int(state["lora"]["lora"]) == state["step"]
    return words, state


def test_the_highest_accuracy_is_the_best_whatever_the_loss():
    """The loss of a few pairs that are far off says less than how many are in order; among equals that are worse than
    the start it decides."""
    checks = [check(0, 0.69), check(1, 0.9, accuracy=0.75), check(2, 0.3, accuracy=0.6), check(3, 0.8, accuracy=0.75)]
    words, best = judged(*checks)
    assert words == [""] * 4
    assert (best["step"], best["accuracy"], best["loss"]) == (3, 0.75, 0.8)


def test_among_equal_accuracies_the_last_that_beats_the_start_is_the_best():
    """Though one before had a lower loss, from which patience counts; not one whose loss is the start's or higher, nor
    one of a lower accuracy."""
    words, best = judged(*(check(step, loss) for step, loss in enumerate([0.69, 0.6, 0.65, 0.5, 0.55])))
    assert words == [""] * 5
    assert best["step"] == 4 and best["loss"] == 0.55
    words, best = judged(check(0, 0.69), check(1, 0.6), check(2, 0.65), check(3, 0.69))
    assert words[:3] == [""] * 3 and "2 checks" in words[3]
    assert best["step"] == 2
    _, best = judged(check(0, 0.69), check(1, 0.6, accuracy=0.8), check(2, 0.1, accuracy=0.7))
    assert best["step"] == 1


def test_it_ends_when_the_held_out_pairs_are_no_longer_understood_better():
    """After as many checks in a row as patience says; one without improvement is not enough; equal is none."""
    words, best = judged(check(0, 0.69), check(1, 0.6), check(2, 0.61), check(3, 0.6))
    assert words[:3] == [""] * 3 and "2 checks" in words[3]
    assert best["step"] == 3


def test_it_ends_when_the_sample_clips_stand_still():
    """At a loss of more than a tenth of the motion, though the loss is the lowest; exactly nine tenths may be."""
    words, best = judged(check(0, 0.69), check(1, 0.6, motion=0.9), check(2, 0.1, motion=0.89))
    assert words[1] == "" and "move 11% less" in words[2]
    assert best["step"] == 1


def test_it_ends_when_the_winners_become_less_likely():
    """When their error rises above the reference's at all, or by more than the settings allow; no such LoRA is kept."""
    for allowed in (0.0, 0.02):
        checks = check(0, 0.69), check(1, 0.6, winner=allowed), check(2, 0.1, winner=allowed + 1e-4)
        words, best = judged(*checks, winner_rise=allowed)
        assert words[1] == "" and "better clips rose" in words[2] and ("more than" in words[2]) == bool(allowed)
        assert best["step"] == 1
    words, _ = judged(check(0, 0.69), check(1, 0.6, winner=0.04), check(2, 0.1, winner=0.293), winner_rise=0.2)
    assert words[1:] == ["", "the error on the better clips rose above the base model's by more than 20%: by 29.3%"]


def test_without_held_out_pairs_the_latest_that_moves_is_the_best():
    """There is no accuracy to run out of patience with; motion still counts."""
    words, best = judged(
        *(check(step, None, winner=None) for step in range(6)), check(6, None, motion=0.1, winner=None)
    )
    assert words[:6] == [""] * 6 and "less" in words[6]
    assert best["step"] == 5


def test_a_loss_that_is_no_number_is_no_improvement():
    """It uses up patience instead of becoming the best, however many pairs seem to be in order."""
    words, best = judged(check(0, 0.69), check(1, float("nan"), accuracy=0.75), check(2, float("nan")))
    assert words[1] == "" and words[2]
    assert best["step"] == 0


def test_the_start_ends_nothing():
    """It is the reference, so a winner's error that is larger, by rounding, says nothing; it is the best so far."""
    words, best = judged(check(0, 0.69, winner=1e-9), check(1, 0.6))
    assert words == ["", ""] and best["step"] == 1
    assert judged(check(0, 0.69, winner=1e-9))[1]["step"] == 0


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_the_least_motion_is_the_settings(least):
    """Half the motion is enough for who asks for half; none for who asks for none."""
    words, _ = judged(check(0, 0.69), check(1, 0.6, motion=least), least_motion=least)
    assert words == ["", ""]
