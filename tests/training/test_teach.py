"""Stage 1: what is trained and what is not, how the rate and the average go, what a check sees."""

import copy
import re
from dataclasses import replace

import pytest
import torch

from huvidpo_core.errors import UserError
from huvidpo_core.training import teach
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.motion import motion_loss
from huvidpo_core.training.motion_settings import MotionSettings
from huvidpo_core.training.teach import CheckRecord, StepRecord
from tests.training.made import network, same, scheduler
from tests.training.made_takes import SETTINGS, SPLIT, draws, takes, teacher

# The published script trains what these name; written down here a second time.
PUBLISHED = re.compile(r"(^|\.)(conv1d|conv_gate|attn_temp)\.|(^|\.)attn1\.to_q\.")
PLAIN = MotionSettings(steps=3, lr=1e-2, mirror=False, held_out=0)


@pytest.mark.parametrize("settings", [SETTINGS, replace(PLAIN, checkpointing=True)])
def test_exactly_the_published_parameters_are_trained(settings, tmp_path):
    """After a whole run every one of them has moved, whether activations are kept or recomputed, and every other
    parameter and buffer is what it was, bit by bit."""
    unet = network()
    before = copy.deepcopy(unet.state_dict())
    list(teacher(tmp_path, settings, unet=unet).run())
    moved = {name for name, value in unet.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if PUBLISHED.search(name)} and len(moved) > 20
    assert len(moved) < len(before)


def test_a_step_is_adam_on_the_published_loss(tmp_path):
    """Two steps by hand: noise-prediction error on frames 1.. of the drawn window, clip norm 1, torch's AdamW with the
    published rate, decay and betas; bit by bit."""
    settings = replace(PLAIN, lr=3e-5, steps=2, check_every=9)
    trained = teacher(tmp_path, settings)
    list(trained.run())
    unet = network().train()
    own = {name: value for name, value in unet.named_parameters() if PUBLISHED.search(name)}
    for name, value in unet.named_parameters():
        value.requires_grad_(name in own)
    adam = torch.optim.AdamW([own[name] for name in sorted(own)], lr=3e-5, weight_decay=1e-2, betas=(0.9, 0.999))
    for step in range(2):
        drawn = draws(takes(), settings).at(step)
        loss = motion_loss(unet, scheduler(), drawn.clean, drawn.text, drawn.noise, drawn.timestep)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([own[name] for name in sorted(own)], 1.0)
        adam.step()
    assert own.keys() == trained.parameters.keys()
    for name, value in trained.motion().items():
        torch.testing.assert_close(value, own[name].detach(), rtol=0, atol=1e-7, msg=name)


def test_the_rate_rises_stays_and_falls(tmp_path):
    """Warm-up over 2 of 8 steps, the last half falls to a quarter of the way to nothing at the last step."""
    settings = replace(SETTINGS, steps=8, lr=1.0, warmup=2, decay=0.5, check_every=100)
    training = teacher(tmp_path, settings)
    assert [training._rate(step) for step in range(8)] == [0.5, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert teacher(tmp_path / "b", PLAIN)._rate(2) == PLAIN.lr


def test_the_average_is_what_is_kept(tmp_path):
    """Recomputed by hand from the weights after each step: the mean of all at first, then half the past; samples and
    errors are the average's, and training goes on from its own weights."""
    settings = replace(SETTINGS, check_every=1)
    training = teacher(tmp_path, settings)
    wanted = {name: value.detach().clone() for name, value in training.parameters.items()}
    for record in training.run():
        if isinstance(record, StepRecord):
            keep = min(0.5, record.step / (record.step + 9))
            for name, value in training.parameters.items():
                wanted[name] = keep * wanted[name] + (1 - keep) * value.detach()
    for name, value in training.motion().items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-6, msg=name)
    assert not same(training.motion(), {name: value.detach() for name, value in training.parameters.items()})

    plain = network()
    with torch.no_grad():
        for name, value in training.motion().items():
            plain.get_parameter(name).copy_(value)
    drawn = draws(takes(), settings).fixed(SPLIT[1][0], teach.DRAWS)
    with torch.no_grad():
        wanted = motion_loss(plain.eval(), scheduler(), drawn.clean, drawn.text, drawn.noise, drawn.timestep).item()
    assert training._check().loss == pytest.approx(wanted, rel=1e-5)


def test_checks_see_clips_that_are_not_trained_on(tmp_path):
    """Checks at 0, 2 and 4; their losses change, with the same noise each time; the held-out clip is never drawn."""
    training = teacher(tmp_path)
    checks = [record for record in training.run() if isinstance(record, CheckRecord)]
    assert [check.step for check in checks] == [0, 2, 4]
    assert len({check.loss for check in checks}) == len({check.trained_loss for check in checks}) == 3
    assert all(len(check.clips) == 2 for check in checks)
    assert training._check().loss == training._check().loss == checks[-1].loss
    learned = takes()
    drawn = [draws(learned).at(step).clean[0] for step in range(30)]
    kept = learned.clips[SPLIT[1][0]]
    assert all(not torch.isin(kept, clip).any() for clip in drawn)


def test_the_motion_is_that_of_the_clips_the_samples_begin_as(tmp_path):
    """Twice the clips' own motion is half the figure; clips that do not move at all make it 1."""
    once, twice = (
        teacher(tmp_path / str(own), learned=replace(takes(), motions=(own,) * 4))._check().motion for own in (2.0, 4.0)
    )
    assert once == pytest.approx(2 * twice) and once > 0
    assert teacher(tmp_path / "still", learned=replace(takes(), motions=(0.0,) * 4))._check().motion == 1


def test_few_clips_are_all_trained_on(tmp_path):
    """Without a clip to check on there is no held-out loss, and the rest works."""
    training = teacher(tmp_path, replace(SETTINGS, steps=2), split=((0, 1, 2, 3), ()))
    first, *_ = training.run()
    assert first.loss is None and first.trained_loss > 0 and len(first.clips) == 2


def test_what_cannot_be_trained_is_a_sentence(tmp_path):
    """A batch that two cannot share; a clip of infinities; a rate that throws the weights out of bounds."""
    with pytest.raises(UserError, match="batch of 3 clips cannot be shared by 2"):
        teacher(tmp_path, replace(SETTINGS, batch=3), crew=Crew(0, 2))
    broken = takes()
    broken.clips[1][0, 0, 0, 0] = float("inf")
    with pytest.raises(UserError, match="damaged"):
        next(teacher(tmp_path, learned=broken).run())
    with pytest.raises(UserError, match="diverged"):
        list(teacher(tmp_path, replace(PLAIN, lr=1e25, steps=9, check_every=99)).run())
