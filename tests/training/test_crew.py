"""Several processes train as one does with the same batch: really two, started by `accelerate launch`, over gloo."""

from pathlib import Path

import pytest
import torch

from huvidpo_core.training.crew import Crew, Mean
from tests.training.launched import assert_alike, in_two
from tests.training.made import aligner, draws, lessons, rated
from tests.training.together import KINDS, MASKS, train

PATIENCE = 300  # seconds until a test that waits gives up


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    """What two processes have left."""
    output = tmp_path_factory.mktemp("two")
    process = in_two("tests.training.together", str(output))
    _, words = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, words[-3000:]
    return output


@pytest.mark.parametrize("kind", ["huvidpo", "dense", "kto"])
def test_two_processes_end_with_the_lora_of_one(together, kind, tmp_path):
    """After three steps with unequal labels in the halves, one of them with none: the same in both processes, and that
    of one process with the whole batch, as are the gradients and the figures of every step."""
    learned = rated(1, 3) if kind == "kto" else lessons(*MASKS)
    halves = [draws(learned, KINDS[kind], crew=Crew(rank, 2)).at(step) for step in range(3) for rank in (0, 1)]
    shares = {half.share for half in halves}
    assert kind == "kto" or (len(shares) > 2 and min(shares) == 0)  # or this would prove less
    one, steps, gradients = train(kind, tmp_path, Crew())
    first, second = (torch.load(together / f"{kind}-{rank}.pt") for rank in (0, 1))
    assert first["size"] == 2 and first["ended"] == second["ended"] == one.ended
    assert first["steps"] == second["steps"] and len(steps) == 3
    for found, wanted in zip(first["steps"], steps, strict=True):
        assert None not in wanted.values() and found == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert_alike(first["gradients"], gradients)
    start = aligner(tmp_path / "start", KINDS[kind], learned=learned)._lora()
    for name, wanted in one._lora().items():
        assert torch.equal(first["lora"][name], second["lora"][name]), name
        torch.testing.assert_close(first["lora"][name], wanted, rtol=1e-3, atol=1e-4, msg=name)
        assert not torch.allclose(wanted, start[name], atol=1e-3), name


def test_all_have_the_leaders_beta_and_word(together):
    """A measured beta is the same in both, and so is the LoRA; what rank 0 says is what both hear."""
    first, second = (torch.load(together / f"measured-{rank}.pt") for rank in (0, 1))
    assert first["beta"] == second["beta"] > 0
    assert all(torch.equal(value, second["lora"][name]) for name, value in first["lora"].items())
    assert first["word"] == second["word"] == "from 0"


def test_only_the_leader_writes(together):
    """One checkpoint for each run, and it is the first process's LoRA."""
    kept = torch.load(together / "dense" / "checkpoint.pt")
    wanted = torch.load(together / "dense-0.pt")["lora"]
    assert all(torch.equal(kept["lora"][name], value) for name, value in wanted.items())


def test_one_process_needs_no_others():
    """It leads, hears itself, has the whole batch and its gradients stay."""
    crew = Crew()
    assert crew.leads and crew.told("word") == "word" and crew.share_of(6) == slice(0, 6)
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    crew.average([parameter])
    assert parameter.grad.tolist() == [1, 2]
    assert crew.means([Mean(0.5, 3), Mean(0.0, 0)]) == [0.5, None]
    assert [Crew(rank, 3).share_of(6) for rank in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]
