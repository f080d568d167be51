"""Who gets the models, and when."""

import threading
import time

import pytest

from huvidpo_core.config import load_profile
from huvidpo_core.errors import Stopped
from huvidpo_core.workbench import Workbench

PATIENCE = 120  # seconds until a test that waits gives up


@pytest.fixture
def profile():
    return load_profile("miniature")


def test_people_go_before_pairs(profile):
    """Of two that wait for the models, the person gets them first though the pair has waited longer."""
    bench, turns = Workbench(profile, "cpu"), []

    def work(name: str, patient: bool) -> None:
        with bench.reserved(threading.Event(), patient=patient):
            turns.append(name)

    with bench.reserved(threading.Event()):
        threads = [threading.Thread(target=work, args=args) for args in (("pair", True), ("person", False))]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE
        while not bench._waiting and time.monotonic() < deadline:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert turns == ["person", "pair"]


def test_a_patient_job_can_be_stopped_while_it_waits(profile):
    """It raises Stopped, and the models are free for the next."""
    bench, stop = Workbench(profile, "cpu"), threading.Event()
    stop.set()
    with bench.reserved(threading.Event()), pytest.raises(Stopped), bench.reserved(stop, patient=True):
        pass
    with bench.reserved(threading.Event(), patient=True):
        pass
