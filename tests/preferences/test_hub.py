"""Pushing to the hub: huggingface_hub's own scheduler on a stand-in for the hub, and no network at all."""

import logging
import threading
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub import CommitScheduler

from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.preferences import hub
from huvidpo_core.preferences.hub import Destination, push_regularly
from huvidpo_core.preferences.imports import import_votes
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from tests.preferences.exported import rate, write_clips
from tests.preferences.made import add_pair


class Hub:
    """Takes commits, as `HfApi` hands them over, and keeps what is in them by name."""

    def __init__(self) -> None:
        self.repos: list[dict] = []
        self.commits: list[dict[str, bytes]] = []

    def create_repo(self, **values: object) -> SimpleNamespace:
        self.repos.append(values)
        return SimpleNamespace(repo_id=values["repo_id"])

    def run_as_future(self, work) -> Future:
        future: Future = Future()
        future.set_result(work())
        return future

    def create_commit(self, operations, **_: object) -> None:
        self.commits.append({each.path_in_repo: each.path_or_fileobj.read() for each in operations})


@pytest.fixture
def the_hub():
    return Hub()


@pytest.fixture
def scheduler(the_hub):
    """The real scheduler on the stand-in, to be triggered by hand; it does nothing more when the test is over."""
    made = []

    class Scheduler(CommitScheduler):
        def __init__(self, **values: object) -> None:
            super().__init__(hf_api=the_hub, **values)
            made.append(self)

        def _run_scheduler(self) -> None:
            """The test is the clock."""

    Scheduler.made = made
    yield Scheduler
    for each in made:
        each.stop()


@pytest.fixture
def rated(tmp_path) -> Store:
    (tmp_path / "made").mkdir()
    return rate(Store(tmp_path / "data"), write_clips(tmp_path / "made"))


def start(store: Store, folder: Path, scheduler: type) -> CommitScheduler:
    push_regularly(store, folder, Destination("ann/votes", 7), scheduler).join()
    return scheduler.made[-1]


def test_what_is_pushed_is_the_export_and_only_what_is_new(rated, tmp_path, the_hub, scheduler):
    """All at first; nothing when nothing was said; after a vote the votes, and no clip a second time."""
    running = start(rated, tmp_path / "hub", scheduler)
    made = {"repo_id": "ann/votes", "private": True, "repo_type": "dataset", "exist_ok": True}
    assert (running.every, the_hub.repos) == (7, [made])
    running.trigger()
    [first] = the_hub.commits
    [name] = {path.split("/")[0] for path in first}
    assert {f"{name}/{path}" for path in ("README.md", "votes.json", "metadata.jsonl", "clips/a.mp4")} <= set(first)
    running.trigger()
    assert len(the_hub.commits) == 1
    rated.votes.vote(rated.votes.show("dan", "rain").id, "dan", Ballot("tie"))
    running.trigger()
    assert set(the_hub.commits[1]) == {f"{name}/{path}" for path in ("README.md", "votes.json", "metadata.jsonl")}
    rated.votes.undo("dan")
    running.trigger()
    assert len(the_hub.commits) == 3 and b"dan" not in the_hub.commits[2][f"{name}/votes.json"]

    for commit in the_hub.commits:
        for path, data in commit.items():
            (tmp_path / "back" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "back" / path).write_bytes(data)
    other = Store(tmp_path / "other")
    assert import_votes(other, tmp_path / "back" / name) == 5
    assert other.votes.history() == rated.votes.history()


def test_the_export_changes_under_the_scheduler_s_lock(rated, tmp_path, scheduler, monkeypatch):
    """Whoever lists the folder under the lock sees one export, whole."""
    running = start(rated, tmp_path / "hub", scheduler)
    seen, export = [], hub.export

    def watched(*arguments: object) -> None:
        seen.append(running.lock.locked())
        export(*arguments)

    monkeypatch.setattr(hub, "export", watched)
    running.trigger()
    assert seen == [True] and not running.lock.locked()


def test_a_choice_of_a_first_frame_is_pushed(tmp_path, the_hub, scheduler):
    """With its pictures, also where nobody has voted on clips; once."""
    store = Store(tmp_path / "data")
    running = start(store, tmp_path / "hub", scheduler)
    one, two = (np.full((16, 16, 3), grey, np.uint8) for grey in (9, 99))
    store.picture_choices.choose("offer", "ann", {"prompt": "a horse"}, one, [two])
    running.trigger()
    [pushed] = the_hub.commits
    assert sum("/pictures/" in path for path in pushed) == 2
    running.trigger()
    assert len(the_hub.commits) == 1


def test_a_new_disk_writes_beside_the_old_and_not_over_it(rated, tmp_path, scheduler):
    """After a restart with the same folder the name in the dataset is the same; with an empty one it is another."""
    names = [start(rated, tmp_path / folder, scheduler).path_in_repo for folder in ("hub", "hub", "wiped")]
    assert names[0] == names[1] != names[2]


def test_before_the_first_vote_nothing_is_pushed(tmp_path, the_hub, scheduler):
    """Pairs alone are no dataset; the first vote makes one."""
    store = Store(tmp_path / "data")
    running = start(store, tmp_path / "hub", scheduler)
    add_pair(store, "p")
    running.trigger()
    assert the_hub.commits == []
    store.votes.vote(store.votes.show("ann").id, "ann", Ballot("left"))
    running.trigger()
    assert len(the_hub.commits) == 1


def test_a_hub_that_cannot_be_reached_is_tried_again(rated, tmp_path, the_hub, scheduler, monkeypatch, caplog):
    """The app goes on; the log names the trouble but not what the hub said, which may hold the token."""
    create, failed = the_hub.create_repo, []

    def unreachable(**values: object) -> SimpleNamespace:
        if not failed:
            failed.append(True)
            raise ConnectionError("no way to hf_secret")
        return create(**values)

    monkeypatch.setattr(the_hub, "create_repo", unreachable)
    with caplog.at_level(logging.WARNING):
        push_regularly(rated, tmp_path / "hub", Destination("ann/votes", 1e-4), scheduler).join(30)
    assert len(scheduler.made) == 1 and "ann/votes (ConnectionError)" in caplog.text
    assert "hf_secret" not in caplog.text


def test_a_store_in_trouble_is_logged_and_what_was_exported_stays(
    rated, tmp_path, the_hub, scheduler, caplog, monkeypatch
):
    """A failing export neither ends the scheduler nor pushes half a folder; the next push has it all."""
    running = start(rated, tmp_path / "hub", scheduler)
    running.trigger()
    rated.votes.vote(rated.votes.show("dan", "rain").id, "dan", Ballot("tie"))

    def full(*_: object) -> None:
        raise UserError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(hub, "export", full)
        running.trigger()
    assert "The disk is full." in caplog.text and len(the_hub.commits) == 1
    running.trigger()
    assert len(the_hub.commits) == 2


def test_without_the_setting_nothing_happens(tmp_path, monkeypatch):
    """No thread and no folder; with a setting that is none, a sentence when the app starts."""
    monkeypatch.delenv("HUVIDPO_DATASET_REPO", raising=False)
    engine = Engine(load_profile("miniature"), tmp_path / "data")
    before = threading.active_count()
    engine.push_votes()
    assert threading.active_count() == before and not (tmp_path / "data" / "hub").exists()
    monkeypatch.setenv("HUVIDPO_DATASET_REPO", "https://huggingface.co/ann/votes")
    with pytest.raises(UserError, match="OWNER/NAME"):
        engine.push_votes()
    engine.store.close()


def test_the_settings():
    """Every five minutes unless it is said otherwise."""
    repo = {"HUVIDPO_DATASET_REPO": " ann/votes "}
    assert Destination.from_environment({}) is None
    assert Destination.from_environment(repo) == Destination("ann/votes", 5.0)
    assert Destination.from_environment(repo | {"HUVIDPO_DATASET_MINUTES": "12"}).minutes == 12
    for minutes in ("0", "often", "nan", "-3", "1e9"):
        with pytest.raises(UserError, match="from 1 to 1440"):
            Destination.from_environment(repo | {"HUVIDPO_DATASET_MINUTES": minutes})
