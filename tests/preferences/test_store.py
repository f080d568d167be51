"""The database of clips: durable, shared between processes, and honest about its folder."""

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event

from huvidpo_core.errors import UserError
from huvidpo_core.preferences import database
from huvidpo_core.preferences.records import Ballot, Mark
from huvidpo_core.preferences.store import Store

WRITER = """
import sys, time
from pathlib import Path
from huvidpo_core.preferences.store import Store
store = Store(Path(sys.argv[1]))
store.video("a").write_bytes(b"mp4")
store.add("a", {"prompt": "p"}, 1.5)
print("written", flush=True)
time.sleep(60)
"""


def test_a_clip_that_was_acknowledged_survives_a_kill(tmp_path):
    """`kill -9` right after `add` returned: the next process lists the clip."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (clip,) = Store(tmp_path).list()
    assert (clip.id, clip.recipe, clip.seconds) == ("a", {"prompt": "p"}, 1.5)


def test_twenty_writers_at_once_lose_nothing(tmp_path):
    """Twenty threads, each with its own connection to the file, add ten clips each: two hundred are there."""

    def write(number: int) -> None:
        store = Store(tmp_path)
        for index in range(10):
            store.video(f"{number}-{index}").touch()
            store.add(f"{number}-{index}", {}, 0.0)
        store.close()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(write, range(20)))
    assert len({clip.id for clip in Store(tmp_path).list()}) == 200


def test_a_clip_without_its_file_is_not_listed(tmp_path):
    """A person may delete the MP4 by hand; the gallery then simply lacks it."""
    store = Store(tmp_path)
    store.video("a").touch()
    store.add("a", {}, 0.0)
    store.video("a").unlink()
    assert store.list() == []
    with pytest.raises(UserError, match="no longer there"):
        store.get("a")


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path):
    """A file in the folder's place, and a database that is none."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--data"):
        Store(tmp_path / "file")
    (tmp_path / "huvidpo.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match="cannot be used"):
        Store(tmp_path)


def pragma(store: Store, statement: str) -> None:
    """Every new connection of the store runs this statement."""
    store.close()
    event.listen(store.database._engine, "connect", lambda connection, _: connection.execute(statement).close())


def lock(store: Store) -> sqlite3.Connection:
    store.close()
    other = sqlite3.connect(store.database.name, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    return other


def corrupt(store: Store) -> None:
    store.close()
    file = Path(store.database.name)
    pages = bytearray(file.read_bytes())
    pages[200:] = b"\xa5" * (len(pages) - 200)
    file.write_bytes(pages)


TROUBLES = {
    "locked": (lock, "Another program is writing"),
    "disk full": (lambda store: pragma(store, "PRAGMA max_page_count=1"), "disk is full; free some space"),
    "read-only": (lambda store: pragma(store, "PRAGMA query_only=ON"), "Make the folder writable"),
    "corrupt": (corrupt, "Move it away, or restore it"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_after_opening_is_a_sentence(tmp_path, monkeypatch, trouble):
    """SQLite's own errors, made for real: writing, and reading where it fails, says what is wrong and what to do."""
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)
    store = Store(tmp_path)
    store.video("a").touch()
    store.add("a", {}, 0.0)
    make, advice = TROUBLES[trouble]
    made = make(store)
    with pytest.raises(UserError, match=rf"huvidpo\.db cannot be used.*{advice}"):
        store.add("b", {"prompt": "x" * 10_000}, 0.0)
    if trouble in ("locked", "corrupt"):
        for read in (store.list, lambda: store.get("a"), lambda: store.delete("a")):
            with pytest.raises(UserError, match=advice):
                read()
    elif trouble == "read-only":
        assert [clip.id for clip in store.list()] == ["a"]
        with pytest.raises(UserError, match=advice):
            store.delete("a")
        assert store.video("a").exists()
    if made is not None:
        made.close()
        assert [clip.id for clip in store.list()] == ["a"]


@pytest.mark.parametrize("trouble", ["locked", "disk full", "read-only"])
def test_trouble_while_voting_loses_nothing(tmp_path, monkeypatch, trouble):
    """The vote is refused with a sentence; when the trouble is over, the same pair is open and takes it.

    What was said before stands throughout.
    """
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)
    healthy = Store(tmp_path)
    for clip in "abcd":
        healthy.video(clip).touch()
        healthy.add(clip, {}, 0.0, frames=400, fps=8)
    for clips in ("ab", "cd"):
        healthy.votes.add_pair(*clips, source="seeds", prompt="", action="rain")
    first = healthy.votes.show("ann")
    healthy.votes.vote(first.id, "ann", Ballot("left"))
    showing = healthy.votes.show("ann")
    healthy.close()
    make, advice = TROUBLES[trouble]
    made = make(store := Store(tmp_path))
    marks = tuple(Mark(start, start + 1, "left") for start in range(400))
    for _ in range(2):
        with pytest.raises(UserError, match=rf"huvidpo\.db cannot be used.*{advice}"):
            store.votes.vote(showing.id, "ann", Ballot("right", marks))
    if trouble != "disk full":  # taking back needs no room
        with pytest.raises(UserError, match=advice):
            store.votes.undo("ann")
    if made is not None:
        made.close()
    store.close()
    again = Store(tmp_path)
    assert [(answer.showing, answer.ballot.choice) for answer in again.votes.history()] == [(first.id, "left")]
    assert again.votes.show("ann") == showing
    again.votes.vote(showing.id, "ann", Ballot("right", marks))
    assert len(again.votes.history()) == 2


@pytest.mark.parametrize("name", ["50% done", "what? now", "a#b", "ä & =;", "%20"])
def test_a_folder_may_have_any_name(tmp_path, name):
    """Signs that mean something in an address are just letters of a path: the file is where it should be."""
    folder = tmp_path / name
    store = Store(folder)
    store.video("a").touch()
    store.add("a", {}, 0.0)
    assert (folder / "huvidpo.db").is_file() and [path.name for path in tmp_path.iterdir()] == [name]
    assert [clip.id for clip in Store(folder).list()] == ["a"]
