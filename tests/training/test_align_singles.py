"""Stage 2 on clips that were rated alone: the same training, with Diffusion-KTO for its loss."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from huvidpo_core.errors import UserError
from huvidpo_core.training import probe
from huvidpo_core.training.align import StepRecord
from huvidpo_core.training.checks import CheckRecord
from huvidpo_core.training.settings import LoraShape
from tests.training.made import SETTINGS, aligner, draws, lessons, mean_errors, network, rated, same, values

KTO = replace(SETTINGS, loss="kto", beta=20.0, batch=2, steps=12, check_every=4, held_out=0.25, least_motion=0.0)


def test_good_clips_errors_fall_against_the_bad_ones(tmp_path):
    """On clips that were trained on and on those held out, measured by the base's own network: the good ones gain more
    than the bad ones, and the checks say so."""
    made = rated(8, 8)
    training = aligner(tmp_path, replace(KTO, steps=40, check_every=20), learned=made)
    assert {clip.first[0] for clip in training.held_out} == {"g", "b"} and len(training.held_out) == 4
    checks = [record for record in training.run() if isinstance(record, CheckRecord)]
    training._unet.eval()
    reference, looks = network().eval(), draws(made, KTO)
    changes: dict[bool, list[float]] = {True: [], False: []}
    with torch.no_grad():
        for number, clip in enumerate(made.pairs):
            drawn = looks.fixed(clip, number, 1, 4)
            now, before = (mean_errors(unet, drawn, 0)[0, 1:].mean().item() for unet in (training._unet, reference))
            changes[clip.good].append(now - before)
    good, bad = (sum(changes[kind]) / 8 for kind in (True, False))
    assert good < 0 and good < bad - 0.005
    first, last = checks[0], checks[-1]
    assert (first.accuracy, first.loss, first.winner_change) == (0.5, 0.5, 0)
    assert last.accuracy == 1.0 and last.winner_change < min(0, last.loser_change) and last.loss < 0.5


def test_a_step_is_the_losss_own_and_says_what_it_saw(tmp_path):
    """At the start 1/2 times the weights that were drawn, the good ones weighing as much as the bad ones; a step
    without good clips has nothing to say of them."""
    training = aligner(tmp_path, replace(KTO, batch=1, held_out=0.0), learned=rated(2, 6))
    weights = {clip.first: clip.weight for clip in training.train_pairs}
    assert sum(weight for name, weight in weights.items() if name[0] == "g") == pytest.approx(4)
    assert sum(weights.values()) == pytest.approx(8)
    records = [record for record in training.run() if isinstance(record, StepRecord)]
    assert records[0].loss == pytest.approx(training._draws.at(0).batch.weight.item() / 2)
    for number, record in enumerate(records):
        good = training._draws.at(number).batch.mask.sum() > 0
        assert (record.winner_change is not None, record.loser_change is not None) == (good, not good)
        assert record.accuracy is None and record.loser_scale == 1


@pytest.mark.parametrize("records", [0, 2, 5, 9])
def test_paused_anywhere_it_ends_as_one_left_alone(tmp_path, records):
    """Bit by bit, with dropout and with the level, which is a running mean."""
    settings = replace(KTO, lora=LoraShape(rank=2, alpha=4, dropout=0.5))
    alone = aligner(tmp_path / "alone", settings, learned=rated())
    wanted = list(alone.run())
    assert alone._objective.level != 0
    training = aligner(tmp_path / "run", settings, learned=rated())
    seen = list(islice(training.run(), records))
    training.save()
    resumed = aligner(tmp_path / "run", settings, learned=rated())
    assert seen + list(resumed.run()) == wanted
    assert same(values(resumed), values(alone)) and resumed._objective.level == alone._objective.level


def test_the_level_follows_what_clips_gain(tmp_path):
    """By two clips of 32 a step, so a step of single clips has one, and it is not its own gain."""
    training = aligner(tmp_path, KTO, learned=rated())
    seen = []
    for record in training.run():
        if isinstance(record, StepRecord):
            assert 0 < record.gradient_factor <= 0.25  # sigmoid(r) sigmoid(-r)
            parts = [change for change in (record.winner_change, record.loser_change) if change is not None]
            drawn = training._draws.at(record.step - 1).batch.mask.sum(1) > 0
            counts = [count for count in (int(drawn.sum()), int((~drawn).sum())) if count]
            gain = -sum(part * count for part, count in zip(parts, counts, strict=True)) / 2
            seen.append((gain, training._objective.level))
    level = 0.0
    for gain, found in seen:
        level += (gain - level) * 2 / 32
        assert found == pytest.approx(level, rel=1e-5)


def test_beta_is_measured_in_its_own_convention(tmp_path, monkeypatch):
    """No 1/2: at the typical gain sigmoid(-beta gain) is the factor asked for. How far it is, is told."""
    monkeypatch.setattr(probe, "STEPS", 3)
    monkeypatch.setattr(probe, "LOOKS", 6)
    training = aligner(tmp_path, replace(KTO, beta=0.0, gradient_factor=0.3), learned=rated())
    assert list(training.begin()) == list(range(10))[::-1]
    found = training.calibration
    assert found.kind == "kto" and found.measured == 12
    assert torch.sigmoid(torch.tensor(-training.beta * found.typical_margin)).item() == pytest.approx(0.3)


@pytest.mark.parametrize(("good", "bad", "words"), [(3, 0, "are good.*1 or 2"), (0, 3, "are bad.*4 or 5")])
def test_one_kind_alone_is_refused(tmp_path, good, bad, words):
    """There is nothing to tell it from."""
    with pytest.raises(UserError, match=words):
        aligner(tmp_path, KTO, learned=rated(good, bad))


def test_what_is_for_pairs_is_refused():
    """A safeguard, ties, an anchor, another loss type; the loss itself is one of the choices."""
    for change in ({"safeguard": 0.5}, {"tie_threshold": 1.0}, {"winner_anchor": 0.1}, {"loss_type": "ipo"}):
        with pytest.raises(UserError, match="single clips"):
            replace(KTO, **change).check()
    assert KTO.check().single and not SETTINGS.single
    assert len(lessons().pairs[0].clips) == 2 and len(rated().pairs[0].clips) == 1


def test_checks_can_be_compared_whatever_the_level_is_by_then(tmp_path):
    """Of three good clips and one bad one the reference's held-out loss is 1/2 at any level; training's is not. A
    policy that is better on the good ones alone has less, one that is better on all alike has not."""
    objective = aligner(tmp_path, KTO, learned=rated(6, 6))._objective
    mask = torch.tensor([[0.0, 1, 1, 1]] * 3 + [[0.0, -1, -1, -1]])
    reference = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0)) + 1
    lower, all_alike = reference - 0.01 * mask.clamp(min=0), reference - 0.01
    for level in (0.0, 0.02):
        objective.level = level
        assert objective.held_out_loss(reference, reference, mask).item() == pytest.approx(0.5)
        assert objective.held_out_loss(lower, reference, mask) < 0.49
        assert objective.held_out_loss(all_alike, reference, mask).item() == pytest.approx(0.5)
    assert objective.loss(reference, reference, mask).item() != pytest.approx(0.5, abs=0.01)
