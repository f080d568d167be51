"""Several processes teach as one does with the same batch: really two, started by `accelerate launch`, over gloo."""

import pytest
import torch

from huvidpo_core.training.crew import Crew
from tests.training.launched import assert_alike, in_two
from tests.training.made import network, same
from tests.training.taught_together import BATCH, train

PATIENCE = 300  # seconds until this test gives up


def test_two_processes_end_with_the_motion_of_one(tmp_path):
    """After three steps on halves of each batch, of which one also checks: the same weights and losses in both, those
    and the gradients of one process with the whole batch, and one checkpoint, the leader's."""
    launcher = in_two("tests.training.taught_together", str(tmp_path))
    words = launcher.communicate(timeout=PATIENCE)[1]
    assert launcher.returncode == 0, words[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first["size"] == 2 and same(first["motion"], second["motion"])
    (alone, losses, gradients), start = train(tmp_path / "alone", Crew()), network()
    assert first["losses"] == second["losses"] == pytest.approx(losses, rel=1e-4) and len(losses) == 3
    assert_alike(first["gradients"], gradients)
    kept = torch.load(tmp_path / "run" / "checkpoint.pt")
    assert kept["step"] == BATCH.steps and same(kept["average"], first["motion"])
    for name, wanted in alone.motion().items():
        torch.testing.assert_close(first["motion"][name], wanted, rtol=1e-3, atol=1e-5, msg=name)
        assert (wanted - start.get_parameter(name)).abs().max() > 1e-4, name  # or this would prove less
