"""Alignments of tiny models: one that nothing disturbed, and whatever a test begins."""

import threading

import pytest
import torch

from huvidpo_core.alignment import Alignment
from huvidpo_core.engine import Engine
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.record import RunFolder
from tests.tiny_models import make_profile
from tests.training.whole import ACTION, DROPOUT, in_a_process, make_dataset, make_pack

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def dataset(profile, tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("dataset"), profile)


@pytest.fixture(scope="module")
def engine(profile, tmp_path_factory):
    """With an action pack, and an empty data folder."""
    packs = tmp_path_factory.mktemp("packs")
    make_pack(profile, packs / profile.family)
    return Engine(profile, tmp_path_factory.mktemp("data"), device="cpu", packs=packs)


@pytest.fixture(autouse=True)
def one_thread():
    """As the processes of `in_a_process`: sums in another order differ in the last digit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def begin(engine, dataset, tmp_path):
    """Begins runs, each in its folder."""

    def begin(name: str = "run", settings=DROPOUT, **how) -> RunFolder:
        how = {"dataset": dataset, "name": "taste"} | how
        return engine.trainings.prepare(ACTION, settings, output=tmp_path / name, **how)

    return begin


def work(run: RunFolder, engine: Engine, stop: threading.Event | None = None):
    """The run carried out in this process, step by step."""
    return Alignment(run, engine.profile, CPU, Crew(), engine.data).carry_out(stop or threading.Event())


def lines(run: RunFolder) -> list[str]:
    return (run.path / "metrics.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def left_alone(engine, dataset, profile, tmp_path_factory) -> RunFolder:
    """A finished run that nothing disturbed, in a process of its own."""
    path = tmp_path_factory.mktemp("left") / "alone"
    run = engine.trainings.prepare(ACTION, DROPOUT, output=path, dataset=dataset, name="taste")
    assert in_a_process(run.path, profile, engine.data) == 0
    return run
