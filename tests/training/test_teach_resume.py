"""A teaching that was paused goes on as if it had not been."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from huvidpo_core.errors import UserError
from tests.training.made import same
from tests.training.made_takes import SETTINGS, teacher

FIRST = replace(SETTINGS, decay=0.0)


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """A run that nothing disturbs: its records, its own weights and their average."""
    training = teacher(tmp_path_factory.mktemp("run"))
    records = list(training.run())
    return records, weights(training), training.motion()


def weights(training) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in training.parameters.items()}


@pytest.mark.parametrize("records", [0, 1, 3, 4, 6])
def test_a_run_that_was_paused_anywhere_ends_as_one_left_alone(left_alone, tmp_path, records):
    """Saved after 0 to 6 of its records and continued by another object: records, weights and average bit by bit."""
    wanted, own, kept = left_alone
    assert len(wanted) == 7
    training = teacher(tmp_path)
    seen = list(islice(training.run(), records))
    training.save()
    torch.manual_seed(records)
    resumed = teacher(tmp_path)
    assert seen + list(resumed.run()) == wanted
    assert same(weights(resumed), own) and same(resumed.motion(), kept)


def test_a_run_can_be_prolonged(tmp_path):
    """Two steps and then four in all are the motion of four, with a rate that does not depend on the number."""
    list(teacher(tmp_path / "a", replace(FIRST, steps=2)).run())
    longer, whole = teacher(tmp_path / "a", FIRST), teacher(tmp_path / "b", FIRST)
    assert longer.step == 2
    list(longer.run()), list(whole.run())
    assert same(longer.motion(), whole.motion())


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    """Other clips, another rate; another number of steps is the same run."""
    training = teacher(tmp_path)
    next(training.run())
    training.save()
    for other in (lambda: teacher(tmp_path, replace(SETTINGS, lr=2e-2)), lambda: teacher(tmp_path, digest="others")):
        with pytest.raises(UserError, match="other settings, votes or clips"):
            other()
    assert teacher(tmp_path, replace(SETTINGS, steps=9)).step == training.step
