"""A training that was paused goes on as if it had not been, and its checkpoint is whole or not there."""

import errno
import resource
from dataclasses import replace
from itertools import islice

import pytest
import torch

from huvidpo_core.errors import UserError
from huvidpo_core.training import checkpoint, probe
from huvidpo_core.training.checkpoint import CHECKPOINT
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.settings import LoraShape
from tests.training.made import SETTINGS, aligner, lessons, same, values

DROPOUT = replace(SETTINGS, lora=LoraShape(rank=2, alpha=4, dropout=0.5))


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """A run with dropout that nothing disturbs: its records and its LoRA."""
    training = aligner(tmp_path_factory.mktemp("run"), DROPOUT)
    return list(training.run()), values(training)


def test_the_dropout_of_these_tests_does_something(left_alone, tmp_path):
    """Without it the same run ends elsewhere."""
    training = aligner(tmp_path, SETTINGS)
    list(training.run())
    assert not same(values(training), left_alone[1])


@pytest.mark.parametrize("records", [2, 5])
def test_so_does_one_whose_looks_come_again(tmp_path, records):
    """Though it has to ask the reference anew."""
    settings = replace(DROPOUT, looks=1, steps=14, batch=2, check_every=7)
    left_alone = aligner(tmp_path / "left alone", settings)
    wanted = list(left_alone.run())
    training = aligner(tmp_path / "paused", settings)
    seen = list(islice(training.run(), records))
    training.save()
    resumed = aligner(tmp_path / "paused", settings)
    assert seen + list(resumed.run()) == wanted
    assert same(values(resumed), values(left_alone))


@pytest.mark.parametrize("records", [0, 1, 3, 4, 6])
def test_a_run_that_was_paused_anywhere_ends_as_one_left_alone(left_alone, tmp_path, records):
    """Saved after 0 to 6 of its records and continued by another object: records and LoRA the same, bit by bit."""
    wanted, lora = left_alone
    assert len(wanted) == 7
    training = aligner(tmp_path, DROPOUT)
    running = training.run()
    seen = list(islice(running, records))
    training.save()
    torch.manual_seed(records)
    resumed = aligner(tmp_path, DROPOUT)
    assert seen + list(resumed.run()) == wanted
    assert same(values(resumed), lora)


def test_a_checkpoint_is_never_ahead_of_what_the_caller_has_kept(tmp_path):
    """While the caller holds a check that it may not have written down yet, the checkpoint does not count it."""
    training = aligner(tmp_path)
    running = training.run()
    next(running)
    assert not (tmp_path / CHECKPOINT).exists()
    next(running)
    assert torch.load(tmp_path / CHECKPOINT)["checked"] == 0


def test_a_run_can_be_prolonged(tmp_path):
    """Two steps and then four in all are the LoRA of four."""
    list(aligner(tmp_path / "a", replace(SETTINGS, steps=2)).run())
    longer, whole = aligner(tmp_path / "a"), aligner(tmp_path / "b")
    assert longer.step == 2
    list(longer.run()), list(whole.run())
    assert same(values(longer), values(whole))


def test_a_measured_beta_is_kept(tmp_path, monkeypatch):
    """The resumed run has the same, and still says what it was measured from."""
    monkeypatch.setattr(probe, "STEPS", 2)
    monkeypatch.setattr(probe, "LOOKS", 4)
    settings = replace(SETTINGS, beta=0.0, gradient_factor=0.3)
    training = aligner(tmp_path, settings)
    running = training.run()
    next(running), next(running)
    training.save()
    resumed = aligner(tmp_path, settings)
    assert resumed.beta == training.beta > 0 and resumed.calibration == training.calibration
    assert resumed.calibration.target == 0.3


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    """Other votes, another rate; another number of steps is the same run."""
    training = aligner(tmp_path)
    next(training.run())
    training.save()
    for other in (
        lambda: aligner(tmp_path, replace(SETTINGS, lr=2e-2)),
        lambda: aligner(tmp_path, learned=lessons((0, 1, 1, 1), (0, 1, 1, -1))),
        lambda: aligner(tmp_path, replace(SETTINGS, lora=LoraShape(rank=4))),
    ):
        with pytest.raises(UserError, match="other settings, votes or clips"):
            other()
    assert aligner(tmp_path, replace(SETTINGS, steps=9)).step == training.step


def edited(folder, edit) -> None:
    """Have the checkpoint in `folder` say what `edit` makes of it."""
    state = torch.load(folder / CHECKPOINT)
    edit(state)
    torch.save(state, folder / CHECKPOINT)


def test_a_checkpoint_from_before_there_was_a_setting_is_continued(tmp_path):
    """Of the run, of the LoRA's shape, of a pair; the one that was not said had then its default's effect, so where it
    has another value now, the run is another."""
    alike = replace(SETTINGS, lora=LoraShape(rank=2, alpha=32.0, dropout=0))
    training = aligner(tmp_path, alike)
    list(islice(training.run(), 2))
    training.save()

    def older(state):
        del state["run"]["settings"]["optimizer"], state["run"]["settings"]["lora"]["alpha"]
        for pair in state["run"]["train"]:
            del pair["weight"]

    edited(tmp_path, older)
    assert aligner(tmp_path, alike).step == training.step == 1
    edited(tmp_path, lambda state: state["run"]["settings"].pop("lr"))
    with pytest.raises(UserError, match="other settings, votes or clips"):
        aligner(tmp_path, alike)
    edited(tmp_path, lambda state: state.update(run="[('batch', 1), ...], as the first ones said it"))
    assert aligner(tmp_path, alike).step == 1


def test_another_number_of_processes_is_said(tmp_path, caplog):
    """Their dropout is another, so the run goes on, but not bit by bit; as many as before are nothing to speak of."""
    training = aligner(tmp_path, replace(SETTINGS, batch=2))
    training.save()
    aligner(tmp_path, replace(SETTINGS, batch=2))
    assert not caplog.text
    assert aligner(tmp_path, replace(SETTINGS, batch=2), crew=Crew(0, 2)).step == 0
    assert "by 1 processes so far, and now by 2" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "list"])
def test_a_damaged_checkpoint_is_a_sentence(tmp_path, damage):
    """Cut short, empty, something else, a pickle of another kind."""
    training = aligner(tmp_path)
    next(training.run())
    training.save()
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    changed = {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"this is no checkpoint\n" * 50}
    if damage == "list":
        torch.save([1, 2], path)
    else:
        path.write_bytes(changed[damage])
    with pytest.raises(UserError, match="damaged") as caught:
        aligner(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "part", ["run", "step", "optimizer", "checked", "ended", "beta", "calibration", "lora", "judgement", "base_motion"]
)
def test_a_checkpoint_that_lacks_a_part_is_a_damaged_one(tmp_path, part):
    """Whichever it is."""
    training = aligner(tmp_path)
    next(training.run())
    training.save()
    state = torch.load(tmp_path / CHECKPOINT)
    del state[part]
    torch.save(state, tmp_path / CHECKPOINT)
    with pytest.raises(UserError, match=rf"checkpoint\.pt is damaged \(it lacks '{part}'\)\. Remove it"):
        aligner(tmp_path)


@pytest.mark.parametrize("part", ["optimizer", "lora"])
def test_so_is_one_with_a_part_of_another_kind(tmp_path, part):
    """A text where numbers by name should be."""
    training = aligner(tmp_path)
    next(training.run())
    training.save()
    torch.save(torch.load(tmp_path / CHECKPOINT) | {part: "odd"}, tmp_path / CHECKPOINT)
    with pytest.raises(UserError, match="is damaged") as caught:
        aligner(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_grow_leaves_the_checkpoint_before(tmp_path):
    """The system really refuses to write on, in the middle: a sentence, and the run goes on from the one before."""
    training = aligner(tmp_path)
    running = training.run()
    [next(running) for _ in range(2)]
    before = (tmp_path / CHECKPOINT).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(UserError, match="could not be written"):
            training.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert (tmp_path / CHECKPOINT).read_bytes() == before and aligner(tmp_path).step == 0


def test_a_full_disk_is_said_in_words(tmp_path, monkeypatch):
    """ENOSPC, whoever raises it."""

    def full(state, file):
        raise OSError(errno.ENOSPC, "No space left on device")

    training = aligner(tmp_path)
    training.save()
    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(UserError, match="the disk is full"):
        training.save()
    assert checkpoint.read(tmp_path, training._identity())["step"] == 0
