"""The options of the preference loss, each against its formula written out in numpy, and off when it should be."""

import math

import numpy as np
import pytest
import torch

from huvidpo_core.training.kinds import KINDS, LOSS_TYPES
from huvidpo_core.training.losses import preference_loss

LOG_K = math.log(5)
MASK = torch.tensor([[0.0, 1, 1, -1], [0, -1, 0, -1], [0, 0, 0, 0], [0, 1, 1, 1]])
TIES = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]).bool()


@pytest.fixture
def errors():
    """Policy and reference (2, 4, 4), far enough from each other that every reward differs."""
    return torch.rand(2, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).unbind()


def one(reward: float, **options) -> float:
    """The loss of a single pair of one frame whose reward is the one given (beta 2: half of it times the margin)."""
    policy = torch.tensor([[[1.0 - reward]], [[1.0]]], dtype=torch.float64)
    given, mask = torch.ones(2, 1, 1, dtype=torch.float64), torch.ones(1, 1)
    return preference_loss(policy, given, mask, beta=2.0, **options).loss.item()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("reward", [-3.0, -0.2, 0.0, 0.7, 4.0])
def test_each_type_is_its_formula(reward):
    """Sigmoid, cDPO, robust, hinge and IPO of one reward."""
    right, wrong = -np.log(sigmoid(reward)), -np.log(sigmoid(-reward))
    assert one(reward) == pytest.approx(right)
    assert one(reward, label_smoothing=0.1) == pytest.approx(0.9 * right + 0.1 * wrong)
    assert one(reward, loss_type="robust", label_smoothing=0.1) == pytest.approx((0.9 * right - 0.1 * wrong) / 0.8)
    assert one(reward, loss_type="hinge") == pytest.approx(max(0, 1 - reward))
    assert one(reward, loss_type="ipo") == pytest.approx((reward - 0.5) ** 2)


def test_smoothing_turns_back_where_the_label_is_as_sure_as_labels_are():
    """With 10 % of the labels taken to be wrong, cDPO is least where sigmoid(reward) is 0.9; without it, never."""
    least = math.log(0.9 / 0.1)
    assert one(least, label_smoothing=0.1) < min(one(least + d, label_smoothing=0.1) for d in (-0.05, 0.05))
    assert one(least + 1) < one(least)


def test_the_robust_loss_is_unbiased():
    """Over labels of which a share is flipped, its mean is the plain loss of the true label."""
    flipped = 0.2 * one(-1.3, loss_type="robust", label_smoothing=0.2)
    assert 0.8 * one(1.3, loss_type="robust", label_smoothing=0.2) + flipped == pytest.approx(one(1.3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("loss_type", "smoothing", "start", "pull"),
    [
        ("sigmoid", 0, math.log(2), 0.5),
        ("sigmoid", 0.1, math.log(2), 0.4),
        ("robust", 0.1, math.log(2), 0.625),
        ("hinge", 0, 1, 1),
        ("ipo", 0, 0.25, 1),
    ],
)
def test_how_every_type_starts(kind, loss_type, smoothing, start, pull):
    """Policy equal to reference: the documented loss and gradient; descending helps the winner and not the loser."""
    policy = torch.rand(2, 4, 4).requires_grad_()
    options = {"kind": kind, "beta": 8.0, "loss_type": loss_type, "label_smoothing": smoothing}
    loss = preference_loss(policy, policy.detach(), MASK, **options).loss
    assert loss.item() == pytest.approx(start, rel=1e-6)
    loss.backward()
    labels = {"huvidpo": 3 * 3, "dense": 8, "dense-sum": 3}[kind]  # the fourth pair has three labelled frames
    beta = 8.0 if kind == "dense-sum" else 4.0
    torch.testing.assert_close(policy.grad[0, 3], MASK[3] * beta * pull / labels)
    assert torch.equal(policy.grad[0].sign(), MASK) and torch.equal(policy.grad[1].sign(), -MASK)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_off_is_off(errors, kind, loss_type):
    """Each option at its neutral value gives the same loss and gradient as none, to the last bit."""
    neutral = (
        {"label_smoothing": 0.0},
        {"tie_threshold": 0.0, "ties": TIES},
        {"winner_anchor": 0.0},
        {"loser_scale": torch.ones(4, 4)},
        {"weight": torch.ones(4)},
    )
    found = []
    for options in ({}, *neutral):
        policy = errors[0].clone().requires_grad_()
        result = preference_loss(policy, errors[1], MASK, kind=kind, beta=3.0, loss_type=loss_type, **options)
        result.loss.backward()
        found.append((result.loss.detach(), result.implicit_reward_margin, result.count, policy.grad))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_win_tie_and_loss_have_probabilities_that_sum_to_one():
    """Rao and Kupper's three outcomes at any reward: exp(-loss) of each label, together 1; k^2 - 1 is in its place."""
    for reward in (-2.0, 0.0, 0.4, 3.0):
        given, no_label = torch.ones(2, 1, 1, dtype=torch.float64), torch.zeros(1, 1)
        policy = torch.tensor([[[1.0 - reward]], [[1.0]]], dtype=torch.float64)
        tie = preference_loss(
            policy, given, no_label, beta=2.0, tie_threshold=LOG_K, ties=torch.ones(1, 1).bool()
        ).loss.item()
        chances = [math.exp(-one(r, tie_threshold=LOG_K)) for r in (reward, -reward)] + [math.exp(-tie)]
        assert sum(chances) == pytest.approx(1)
        strong = math.exp(reward)  # strengths exp(reward) and 1: P(better) = a / (a + k b)
        assert chances[0] == pytest.approx(strong / (strong + 5)) and chances[1] == pytest.approx(1 / (1 + 5 * strong))


def test_ties_by_kind(errors):
    """Dense: tied frames are terms. Clip-wise: a pair is a tie only if no frame of it has a winner."""
    policy, given = (value.numpy() for value in errors)
    gain = (policy - given)[1] - (policy - given)[0]
    win = lambda r: -np.log(sigmoid(r - LOG_K))  # noqa: E731
    tie = lambda r: win(r) + win(-r) - np.log(24)  # noqa: E731
    m, t = MASK.numpy(), TIES.numpy()
    better = m * gain
    by_hand = {
        "dense": (win(2 * better[m != 0]).sum() + tie(2 * gain[t]).sum()) / (8 + 3),
        "huvidpo": np.mean(
            [win(2 * better[i][m[i] != 0].mean()) for i in (0, 1, 3)] + [tie(2 * gain[2, [1, 3]].mean())]
        ),
        "dense-sum": np.mean([win(4 * better[i].sum()) for i in (0, 1, 3)] + [tie(4 * gain[2, [1, 3]].sum())]),
    }
    for kind, wanted in by_hand.items():
        result = preference_loss(*errors, MASK, kind=kind, beta=4.0, ties=TIES, tie_threshold=LOG_K)
        assert result.loss.item() == pytest.approx(wanted), kind
        assert result.count == (11 if kind == "dense" else 4)
        assert result.implicit_reward_margin[2] == 0  # nobody said which is better


@pytest.mark.parametrize("loss_type", ["sigmoid", "robust"])
def test_the_options_compose(errors, loss_type):
    """Smoothing, ties, anchor and weights together, for "dense": a label that is wrong is one of the tie model too."""
    policy, given = (value.numpy() for value in errors)
    gain, m, t = (policy - given)[1] - (policy - given)[0], MASK.numpy(), TIES.numpy()
    chance = lambda r: 1 / (1 + 5 * np.exp(-r))  # noqa: E731  (of the better side)
    sign, scale = (-1, 0.6) if loss_type == "robust" else (1, 1)
    reward = 2 * m * gain
    decided = (-0.8 * np.log(chance(reward)) - sign * 0.2 * np.log(chance(-reward))) / scale
    decided = decided + 0.3 * np.where(m > 0, policy[0], policy[1])
    tied = -np.log(24 * chance(2 * gain) * chance(-2 * gain))
    weight = np.array([0.5, 2.0, 1.0, 0.5])
    wanted = (weight[:, None] * np.where(m != 0, decided, np.where(t, tied, 0))).sum() / 11
    options = {"ties": TIES, "tie_threshold": LOG_K, "winner_anchor": 0.3, "weight": torch.from_numpy(weight)}
    result = preference_loss(*errors, MASK, kind="dense", beta=4.0, loss_type=loss_type, label_smoothing=0.2, **options)
    assert result.loss.item() == pytest.approx(wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tie_pulls_the_margin_to_zero(kind):
    """Whichever side has gained more, a step against the gradient makes the gains more alike; at 0 nothing pulls."""
    ties, mask = torch.tensor([[False, True]]), torch.zeros(1, 2)
    for gained in (-0.3, 0.0, 0.3):
        policy = torch.tensor([[[1.0, 1.0 - gained]], [[1.0, 1.0]]]).requires_grad_()
        options = {"kind": kind, "beta": 5.0, "ties": ties, "tie_threshold": LOG_K}
        preference_loss(policy, torch.ones(2, 1, 2), mask, **options).loss.backward()
        assert policy.grad[0, 0, 0] == 0
        assert torch.sign(policy.grad[0, 0, 1]) == -np.sign(gained) and torch.sign(policy.grad[1, 0, 1]) == np.sign(
            gained
        )


def test_the_winner_anchor_is_the_winners_error(errors):
    """Added to the loss: its mean over labelled frames, by pair or (dense) by frame; a tie has none."""
    policy, m = errors[0].numpy(), MASK.numpy()
    winner = np.where(m > 0, policy[0], policy[1])
    by_pair = np.mean([winner[i][m[i] != 0].mean() for i in (0, 1, 3)])
    for kind, wanted in (("dense", winner[m != 0].mean()), ("huvidpo", by_pair), ("dense-sum", by_pair)):
        plain, anchored = (
            preference_loss(*errors, MASK, kind=kind, beta=4.0, winner_anchor=anchor).loss for anchor in (0.0, 0.3)
        )
        assert (anchored - plain).item() == pytest.approx(0.3 * wanted), kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_losers_gradient_is_scaled_and_nothing_else(errors, kind):
    """With a scale for each frame: same value, same gradient of the winner, the loser's times the scale."""
    scale = torch.rand(4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = []
    for options in ({}, {"loser_scale": scale}):
        policy = errors[0].clone().requires_grad_()
        loss = preference_loss(policy, errors[1], MASK, kind=kind, beta=4.0, **options).loss
        loss.backward()
        found.append((loss.item(), policy.grad))
    assert found[0][0] == found[1][0]
    loses = torch.stack([MASK < 0, MASK > 0])
    torch.testing.assert_close(found[1][1], torch.where(loses, scale * found[0][1], found[0][1]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pairs_weight_is_how_often_it_counts(errors, kind):
    """Weights 2, 0 and 1 (mean 1) are the loss of a batch with the first pair twice, without the second."""
    first, again = [0, 1, 3], [0, 0, 3]
    mask = MASK.clone()
    mask[1] = torch.tensor([0.0, -1, 1, -1])  # three labels in each, so that dense has the same count
    weighted, repeated = (
        preference_loss(errors[0][:, which], errors[1][:, which], mask[which], kind=kind, beta=4.0, weight=weight)
        for which, weight in ((first, torch.tensor([2.0, 0.0, 1.0])), (again, None))
    )
    torch.testing.assert_close(weighted.loss, repeated.loss)
    alone = preference_loss(errors[0][:, :1], errors[1][:, :1], mask[:1], kind=kind, beta=4.0)
    half = preference_loss(
        errors[0][:, :1], errors[1][:, :1], mask[:1], kind=kind, beta=4.0, weight=torch.tensor([0.5])
    )
    torch.testing.assert_close(half.loss, alone.loss / 2)  # also in a batch of one


@pytest.mark.parametrize("kind", KINDS)
def test_only_ties(errors, kind):
    """They are a lesson if the loss makes something of ties, and none if it does not: then it says so."""
    mask, ties = torch.zeros(4, 4), torch.ones(4, 4).bool()
    with pytest.raises(ValueError, match="label"):
        preference_loss(*errors, mask, kind=kind, beta=1.0, ties=ties)
    untrained = preference_loss(errors[1], errors[1], mask, kind=kind, beta=1.0, ties=ties, tie_threshold=LOG_K)
    assert untrained.loss.item() == pytest.approx(-math.log(24 / 36))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss_type": "apo"}, "unknown loss type"),
        ({"label_smoothing": 0.5}, "label_smoothing"),
        ({"label_smoothing": math.nan}, "label_smoothing"),
        ({"tie_threshold": -1.0}, "tie_threshold"),
        ({"winner_anchor": math.inf}, "anchor"),
        ({"loss_type": "ipo", "label_smoothing": 0.1}, "no likelihood"),
        ({"loss_type": "hinge", "tie_threshold": 1.0}, "no likelihood"),
        ({"weight": torch.ones(3)}, "weight"),
        ({"weight": torch.tensor([1.0, 1, 1, math.nan])}, "weight"),
        ({"tie_threshold": 1.0, "ties": MASK != 0}, "ties"),
        ({"tie_threshold": 1.0, "ties": torch.zeros(4, 3).bool()}, "ties"),
    ],
)
def test_options_that_cannot_be_are_refused(errors, options, words):
    """Rather than trained with in silence."""
    with pytest.raises(ValueError, match=words):
        preference_loss(*errors, MASK, beta=1.0, **options)
