"""What follows a training that another process carries out: by whom it is done, when, and how often."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from huvidpo_core import attendance
from huvidpo_core.attendance import Attendance
from huvidpo_core.blind_round import BlindRounds
from huvidpo_core.config import load_actions, load_profile, load_styles
from huvidpo_core.pairing import Order
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.training.record import RunFolder, identity
from huvidpo_core.trainings import Trainings
from tests.finished import finish, write_pack
from tests.preferences.made import add_pair

PATIENCE = 60  # seconds until a test that waits gives up


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(attendance, "LOOK", 0.01)


def app(folder: Path, name: str = "miniature") -> Trainings:
    """What an app on this data folder, of this profile, has of trainings."""
    store, packs = Store(folder / "data"), folder / "packs"
    return Trainings(folder / "data", load_profile(name), None, store, packs, load_actions(), load_styles())


@pytest.fixture
def run(tmp_path):
    """A training that is carried out by this process, as it seems, and was started by none of the apps."""
    write_pack(tmp_path / "packs" / "rain")
    trainings = app(tmp_path)
    store = trainings.supply.store
    add_pair(store, "p")
    store.votes.vote(store.votes.show("ann", "rain").id, "ann", Ballot("left"))
    run = trainings.prepare("rain", trainings.settings("huvidpo"), name="calm", raters=["ann"])
    run.tell(status="running")
    yield run
    if run.path.exists():
        run.tell(status="stopped")  # whoever waits for it ends


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def left(run: RunFolder, *apps: Attendance) -> bool:
    """Waits until none of the apps attends to the run any more."""
    return until(lambda: not any(each.attended(run) for each in apps))


def test_the_round_of_a_run_that_others_carry_out_is_made_once(run, tmp_path):
    """Two apps on one data folder, which were started while it ran: one round when it has finished, none before."""
    orders: list[Order] = []
    apps = [app(tmp_path), app(tmp_path)]
    for each in apps:
        each.afterwards = BlindRounds(tmp_path / "packs", each.supply, orders.append, list).make_first
        each.follow_all()
        each.follow_all()
    assert all(each._attended == [run.path] for each in apps) and orders == []
    finish(run)
    assert left(run, *apps)
    assert len(orders) == 8 and apps[0].use(run).trial == "calm"


def test_what_ended_before_is_left_alone(run, tmp_path):
    """However it ended; and so is what runs with the models of another profile."""
    other = app(tmp_path, "full")
    other.follow_all()
    finish(run)
    late = app(tmp_path)
    late.follow_all()
    assert not other.attended(run) and not late.attended(run)


def test_one_of_all_sees_to_what_follows_at_a_time(run, tmp_path, monkeypatch):
    """Who comes while another is at work leaves it to them."""
    monkeypatch.setattr(attendance, "PATIENCE", 0.1)
    seen, done = [], threading.Event()
    apps = [app(tmp_path), app(tmp_path)]
    for each in apps:
        each.afterwards = lambda ended: (seen.append(ended), done.wait(PATIENCE))
        each.follow(run)
    finish(run)
    assert until(lambda: sum(each.attended(run) for each in apps) == 1) and seen == [run]
    done.set()
    assert left(run, *apps) and seen == [run]


def test_a_run_that_another_process_took_over_is_not_waited_for_twice(run, tmp_path):
    """Stopped and resumed between two looks, it is followed anew when it is seen, to the end of that process."""
    trainings = app(tmp_path)
    trainings.follow(run)
    with subprocess.Popen(["sleep", "1000"]) as other:
        run.tell(status="running", **identity(other.pid))
        assert left(run, trainings) and run.state().status == "running"
        trainings.follow(run)
        assert trainings.attended(run)
        other.kill()
    assert left(run, trainings) and run.state().status == "died"


def test_a_run_that_was_removed_does_not_come_back(run, tmp_path):
    """Nor does anything follow it."""
    trainings, seen = app(tmp_path), []
    trainings.afterwards = seen.append
    trainings.follow(run)
    shutil.rmtree(run.path)
    assert left(run, trainings) and not run.path.exists() and seen == []
