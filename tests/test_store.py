"""The database of clips: durable, shared between processes, and honest about its folder."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from huvidpo_core.errors import UserError
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
