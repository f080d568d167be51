"""Stage 2 on a tiny network: its step against a loop written out, its pre-flight, what ends it."""

import copy
import gc
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from huvidpo_core.errors import UserError
from huvidpo_core.training.align import StepRecord
from huvidpo_core.training.checkpoint import CHECKPOINT
from huvidpo_core.training.checks import CheckRecord
from huvidpo_core.training.crew import Crew
from tests.training.made import SETTINGS, aligner, draws, lessons, mean_errors, network, same, values

# --- the step ---


@pytest.mark.parametrize(("loss", "looks"), [("huvidpo", 0), ("huvidpo", 1), ("dense", 0)])
def test_steps_are_those_of_a_plain_loop(tmp_path, loss, looks):
    """Three steps of two pairs each, which is two passes, against: a deep copy as the reference, four forward passes,
    the published formula pair by pair (frame by frame), torch's AdamW and clipping."""
    how = {"loss": loss, "looks": looks, "batch": 2, "steps": 3, "check_every": 9}
    settings = replace(SETTINGS, **how, weight_decay=0.01, held_out=0.0, clip=0.5)
    made = lessons((0, 1, 1, 1), (0, -1, 0, 1), (0, 1, 1, 0))
    reference = network()
    training = aligner(tmp_path, settings, learned=made)
    by_hand = copy.deepcopy(training._unet).train()
    names = list(training.parameters)
    parameters = [by_hand.get_parameter(name) for name in names]
    assert sum(value.requires_grad for value in by_hand.parameters()) == len(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, eps=1e-8, weight_decay=0.01)

    losses = []
    for step in range(3):
        drawn = draws(made, settings).at(step)
        with torch.no_grad():
            given = [mean_errors(reference, drawn, side) for side in (0, 1)]
        found = [mean_errors(by_hand, drawn, side) for side in (0, 1)]
        terms = []
        for pair, mask in enumerate(drawn.batch.mask.tolist()):
            inside = []
            for frame, label in enumerate(mask):
                if label:
                    winner, loser = (found[side][pair, frame] - given[side][pair, frame] for side in (0, 1))
                    inside.append(-settings.beta / 2 * label * (winner - loser))
            terms += inside if loss == "dense" else [sum(inside) / len(inside)]
        total = sum(-F.logsigmoid(term) for term in terms) / len(terms)
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        losses.append(total.item())

    records = [record for record in training.run() if isinstance(record, StepRecord)]
    assert [record.loss for record in records] == pytest.approx(losses, rel=1e-4)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5) and abs(losses[2] - math.log(2)) > 1e-3
    for name, wanted in zip(names, parameters, strict=True):
        torch.testing.assert_close(training.parameters[name], wanted, rtol=1e-3, atol=2e-4, msg=name)


def test_the_reference_is_asked_once_for_each_look(tmp_path, monkeypatch):
    """Four passes over four pairs with two looks each: eight of the sixteen steps ask it; without looks, all."""
    for looks, wanted in ((2, 8), (0, 16)):
        settings = replace(SETTINGS, looks=looks, steps=16, check_every=99, held_out=0.0, least_motion=0.0)
        training = aligner(tmp_path / str(looks), settings, learned=lessons(*[(0, 1, 1, 1)] * 4))
        asked, residuals = [], training._objective.residuals

        def counted(drawn, reference=False, residuals=residuals, asked=asked):
            asked.append(reference)
            return residuals(drawn, reference)

        list(training.begin())
        monkeypatch.setattr(training._objective, "residuals", counted)
        for _ in range(16):
            training._take_step()
        assert asked.count(True) == wanted and asked.count(False) == 16


def test_the_garbage_collector_leaves_models_alone_meanwhile(tmp_path):
    """All that is there before the first step; afterwards it visits everything again."""
    training = aligner(tmp_path, replace(SETTINGS, steps=2), learned=lessons((0, 1, 1, 1)))
    visited, before = len(gc.get_objects()), gc.get_freeze_count()
    assert min(gc.get_freeze_count() - before for _ in training.run()) > visited / 2
    assert gc.get_freeze_count() == before == 0


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_tensor_moves_when_it_should(tmp_path, checkpointing):
    """B with the first step, A with the second (B was 0), nothing else ever; also with gradient checkpointing."""
    settings = replace(SETTINGS, checkpointing=checkpointing, steps=2, check_every=9)
    unet = network()
    training = aligner(tmp_path, settings, unet=unet)
    everything = {name: value.clone() for name, value in unet.state_dict().items()}
    running = training.run()
    assert isinstance(next(running), CheckRecord)
    moved = []
    for _ in range(2):
        next(running)
        state = unet.state_dict()
        moved.append({name for name, value in state.items() if not torch.equal(value, everything[name])})
        everything = {name: value.clone() for name, value in state.items()}
    assert moved == [{name for name in training.parameters if "lora_B" in name}, set(training.parameters)]


def test_it_learns_what_it_is_shown(tmp_path):
    """Winners that are brighter by a constant: the margin on pairs that were not trained on becomes positive."""
    settings = replace(SETTINGS, steps=24, check_every=24, loss="dense", least_motion=0.0, held_out=0.25, lr=3e-3)
    training = aligner(tmp_path, settings, learned=lessons(*[(0, 1, 1, 1)] * 8))
    checks = [record for record in training.run() if isinstance(record, CheckRecord)]
    assert checks[0].accuracy == 0.5 and checks[0].loss == pytest.approx(math.log(2), abs=1e-4)
    assert checks[-1].accuracy == 1.0 and checks[-1].loss < checks[0].loss


def test_the_rate_warms_up_and_weights_have_a_mean_of_one(tmp_path):
    """A quarter, a half, three quarters, all; weights 1/4 and 3/4 count as 1/2 and 3/2."""
    made = lessons((0, 1, 1, 1), (0, 1, 1, 1))
    made = made.of(replace(pair, weight=weight) for pair, weight in zip(made.pairs, (0.25, 0.75), strict=True))
    training = aligner(tmp_path, replace(SETTINGS, warmup=4, steps=5), learned=made)
    assert [pair.weight for pair in training.train_pairs] == [0.5, 1.5]
    records = [record for record in training.run() if isinstance(record, StepRecord)]
    assert [record.lr for record in records] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])


def test_twelve_passes_if_no_number_of_steps_is_given(tmp_path):
    """Three pairs, two a step: eighteen steps."""
    made = lessons((0, 1, 1, 1), (0, 1, 1, 1), (0, 1, 1, 1))
    assert aligner(tmp_path, replace(SETTINGS, steps=0, batch=2), learned=made).settings.steps == 18


def test_a_window_without_labels_teaches_nothing_and_does_no_harm(tmp_path):
    """Labels in the last frame alone, clips longer than the window: such steps have no loss and leave the LoRA."""
    made = lessons((0, 0, 0, 0, 0, 0, 1))
    training = aligner(tmp_path, replace(SETTINGS, steps=12, check_every=99, held_out=0), learned=made)
    before, silent = values(training), 0
    for record in training.run():
        if isinstance(record, StepRecord):
            silent += record.loss == 0
            if record.loss == 0 and record.step == silent:  # nothing was learned yet
                assert same(values(training), before)
    assert 0 < silent < 12


# --- pre-flight ---


def test_at_the_start_the_loss_is_ln_2_and_the_clips_are_the_bases(tmp_path):
    """For huvidpo as for dense; the sample clips of step 0 are those of a network without a LoRA, pixel by pixel."""
    for loss in ("huvidpo", "dense"):
        training = aligner(tmp_path / loss, replace(SETTINGS, loss=loss))
        running = training.run()
        start, first = next(running), next(running)
        base = training._tryout.clips(network())
        assert all(np.array_equal(clip, wanted) for clip, wanted in zip(start.clips, base, strict=True))
        assert start.motion == 1 and start.winner_change == start.loser_change == 0
        assert first.loss == pytest.approx(math.log(2), abs=1e-6)


def test_a_lora_that_changes_something_is_refused(tmp_path):
    """Before any step."""
    training = aligner(tmp_path)
    with torch.no_grad():
        next(value for name, value in training.parameters.items() if "lora_B" in name).fill_(0.5)
    with pytest.raises(UserError, match="already changes the model's output"):
        next(training.run())
    assert not list(tmp_path.iterdir())


def test_a_lora_that_only_turns_the_output_is_refused(tmp_path, monkeypatch):
    """All errors stay as large as the base's, so only what the network says can show it."""
    training = aligner(tmp_path)
    measured = training._objective.residuals
    monkeypatch.setattr(
        training._objective,
        "residuals",
        lambda drawn, reference=False: measured(drawn, reference) * (1 if reference else -1),
    )
    with pytest.raises(UserError, match="already changes the model's output"):
        next(training.run())


def test_a_beta_that_makes_rounding_a_preference_is_refused(tmp_path):
    """A difference far below what counts as one, but times a million."""
    training = aligner(tmp_path, replace(SETTINGS, beta=1e6))
    with torch.no_grad():
        for name, value in training.parameters.items():
            value += 1e-5 * ("lora_B" in name)
    with pytest.raises(UserError, match=r"instead of 0\.6931: with a beta of 1e\+06"):
        next(training.run())
    assert isinstance(next(aligner(tmp_path, replace(SETTINGS, beta=1e6)).run()), CheckRecord)


@pytest.mark.parametrize("clip", ["w0", "l4"])
def test_a_clip_that_is_no_number_is_refused(tmp_path, clip):
    """Whichever it is, not only one that the first step would see."""
    made = lessons()
    made.latents[clip][0, 2, 1, 1] = math.nan
    with pytest.raises(UserError, match="damaged clip"):
        next(aligner(tmp_path, learned=made).run())


def test_a_training_that_diverges_says_so_and_keeps_the_checkpoint(tmp_path):
    """A LoRA that has become infinite: no step is taken with it, what was saved is as it was."""
    training = aligner(tmp_path)
    running = training.run()
    next(running), next(running)
    saved = (tmp_path / CHECKPOINT).read_bytes()
    with torch.no_grad():
        next(iter(training.parameters.values())).fill_(math.inf)
    with pytest.raises(UserError, match="diverged: at step 2"):
        next(running)
    assert (tmp_path / CHECKPOINT).read_bytes() == saved


def test_ties_alone_are_refused(tmp_path):
    """Unless the loss knows what to do with ties; what can never be labelled does not count."""
    made = lessons((0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))
    with pytest.raises(UserError, match="ties alone"):
        aligner(tmp_path, learned=made)
    records = list(aligner(tmp_path, replace(SETTINGS, tie_threshold=0.5), learned=made).run())
    assert sum(isinstance(record, StepRecord) for record in records) == SETTINGS.steps


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    """Three pairs, two processes."""
    with pytest.raises(UserError, match="cannot be shared by 2"):
        aligner(tmp_path, replace(SETTINGS, batch=3), crew=Crew(0, 2))


# --- what ends it ---


def test_it_ends_when_the_motion_goes_and_keeps_the_lora_from_before(tmp_path):
    """Motion faked: 10, 9.5, 8 for both clips of three checks. It stops at step 4 of 8 with the LoRA of step 2."""
    motions = iter([10, 10, 9.5, 9.5, 8, 8])
    settings = replace(SETTINGS, steps=8, held_out=0)
    training = aligner(tmp_path, settings, motion=lambda frames: next(motions))
    kept, motion = {}, []
    for record in training.run():
        if isinstance(record, StepRecord):
            kept[record.step] = values(training)
        else:
            motion.append(record.motion)
    assert motion == [1, 0.95, 0.8] and list(kept) == [1, 2, 3, 4]
    assert "move 20% less" in training.ended and training.best["step"] == 2
    training.use_best()
    assert same(values(training), kept[2])
    again = aligner(tmp_path, settings)
    assert again.ended == training.ended and list(again.run()) == []


def test_a_base_that_does_not_move_is_no_division_by_zero(tmp_path):
    """Motion then says nothing."""
    checks = [r for r in aligner(tmp_path, motion=lambda frames: 0.0).run() if isinstance(r, CheckRecord)]
    assert [check.motion for check in checks] == [1, 1, 1]
