"""A dataset as a .zip: out, in again, and what anybody may have put into one."""

import threading
import zipfile
from pathlib import Path

import pytest

from huvidpo_core import sharing
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.preferences import archives
from huvidpo_core.preferences.archives import export_archive, import_files
from huvidpo_core.preferences.exchange import export
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress
from tests.preferences.exported import rate, write_clips


@pytest.fixture
def rated(tmp_path) -> Store:
    (tmp_path / "made").mkdir()
    return rate(Store(tmp_path / "data"), write_clips(tmp_path / "made"))


@pytest.fixture
def empty(tmp_path) -> Store:
    return Store(tmp_path / "other")


def ignore(progress: Progress) -> None:
    """Nobody looks."""


def bring(store: Store, *files: Path) -> int:
    return import_files(store, files, store.clips_folder.parent / "imports", report=ignore)


def test_a_zip_brings_back_what_was_said(rated, empty, tmp_path):
    """Votes, ratings and clips, once; with a parquet or without; and no fragment is left on the way."""
    said: list[Progress] = []
    archive = export_archive(rated, tmp_path / "out" / "votes.zip", parquet=True, report=said.append)
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
    assert {"votes/votes.json", "votes/metadata.jsonl", "votes/clips/a.mp4", "votes/diffusion_dpo.parquet"} <= names
    assert said[-1].step == said[-1].total == len(names)
    assert bring(empty, archive) == 5 and bring(empty, archive) == 0
    assert empty.votes.history() == rated.votes.history() and empty.votes.ratings() == rated.votes.ratings()
    assert empty.video("b").read_bytes() == rated.video("b").read_bytes()
    assert [path.name for path in archive.parent.iterdir()] == ["votes.zip"]
    assert list((empty.clips_folder.parent / "imports").iterdir()) == []


def test_a_folder_and_loose_files_come_in_too(rated, empty, tmp_path):
    """A browser uploads files without their folders; the command line names the folder itself."""
    folder = export(rated, tmp_path / "out")
    assert bring(empty, folder / "votes.json", *(folder / "clips").iterdir(), folder / "README.md") == 5
    assert empty.video("a").exists() and bring(rated, folder) == 0
    with pytest.raises(UserError, match=r"no votes\.json among"):
        bring(empty, *(folder / "clips").iterdir())
    with pytest.raises(UserError, match=r"There is no .*nowhere"):
        bring(empty, tmp_path / "nowhere")


def test_votes_without_their_clips_come_in(rated, empty, tmp_path):
    """The votes file alone: what was said is kept, and nothing is listed that is not there."""
    folder = export(rated, tmp_path / "out")
    assert bring(empty, folder / "votes.json") == 5 and empty.list() == []


def pack(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


BAD = {
    "climbs": ({"votes.json": b"{}", "../../evil.mp4": b"x"}, "would lie outside"),
    "absolute": ({"votes.json": b"{}", "/evil.mp4": b"x"}, "would lie outside"),
    "backslash": ({"votes.json": b"{}", "clips/..\\evil.mp4": b"x"}, "would lie outside"),
    "photos": ({"holiday.jpg": b"x"}, r"no votes\.json"),
    "nonsense": ({"votes.json": b"hello"}, "cannot be read"),
    "nested": ({"votes.json": b"[" * 100_000}, "cannot be read"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_zip_that_is_none_of_ours_is_a_sentence(empty, tmp_path, bad):
    """Whatever is in it: nothing is written outside of its folder, nothing comes in, and nothing stays behind."""
    entries, words = BAD[bad]
    with pytest.raises(UserError, match=words):
        bring(empty, pack(tmp_path / "bad.zip", entries))
    assert not list(tmp_path.rglob("evil*")) and empty.list() == [] and empty.votes.raters() == []
    assert list((tmp_path / "other" / "imports").iterdir()) == []


def test_files_that_are_no_zip_are_a_sentence(rated, empty, tmp_path):
    """Not a zip at all, cut short, or with a byte turned over."""
    (tmp_path / "text.zip").write_text("dear")
    whole = export_archive(rated, tmp_path / "whole.zip", report=ignore).read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(tmp_path / "whole.zip") as archive:
        where = archive.getinfo("whole/votes.json").header_offset + 200
    (tmp_path / "turned.zip").write_bytes(whole[:where] + bytes([whole[where] ^ 0xFF]) + whole[where + 1 :])
    for name in ("text", "half", "turned"):
        with pytest.raises(UserError, match=rf"{name}\.zip is not a whole \.zip"):
            bring(empty, tmp_path / f"{name}.zip")
    pack(tmp_path / "odd.zip", {"votes.json": b"{}"}, zipfile.ZIP_LZMA)
    with pytest.raises(UserError, match="unusual method"):
        bring(empty, tmp_path / "odd.zip")


def test_a_zip_that_unpacks_to_too_much_is_refused(empty, tmp_path, monkeypatch):
    """By what it says of itself, and by what really comes out where it says less."""
    monkeypatch.setattr(archives, "LARGEST", 1000)
    path = pack(tmp_path / "bomb.zip", {"votes.json": b"0" * 100_000}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="unpack to more than"):
        bring(empty, path)
    lying = path.read_bytes().replace((100_000).to_bytes(4, "little"), (900).to_bytes(4, "little"))
    (tmp_path / "lying.zip").write_bytes(lying)
    with pytest.raises(UserError, match=r"unpack to more than|not a whole \.zip"):
        bring(empty, tmp_path / "lying.zip")


def test_a_disk_that_is_full_leaves_nothing_half(rated, tmp_path, monkeypatch):
    """While packing: a sentence, no archive, no fragment."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    with pytest.raises(UserError, match="disk is full"):
        export_archive(rated, tmp_path / "out" / "votes.zip", report=ignore)
    assert list((tmp_path / "out").iterdir()) == []


def test_archives_are_made_while_one_looks_on(rated, tmp_path):
    """Progress, then the file under a name that cannot be guessed; stopped, there is none; only the newest stay."""
    made = []
    for _ in range(5):
        *progress, archive = sharing.export_archive(rated, tmp_path / "data", threading.Event(), "rain", False)
        assert all(isinstance(item, Progress) for item in progress) and progress
        made.append(archive)
    assert made[-1].name == "huvidpo-votes-rain.zip" and len(made[-1].parent.name) == 32
    assert [path.exists() for path in made] == [False, False, True, True, True]
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        list(sharing.export_archive(rated, tmp_path / "data", stop, None, False))
    assert len(list(sharing.exports_folder(tmp_path / "data").iterdir())) == 3


def test_an_import_that_is_stopped_brings_in_no_vote(rated, empty, tmp_path):
    """Stop ends it at the next clip; tried again, all is there."""
    archive = export_archive(rated, tmp_path / "votes.zip", report=ignore)
    stop = threading.Event()
    with pytest.raises(Stopped):
        for item in sharing.import_files(empty, tmp_path / "other", [archive], stop):
            assert isinstance(item, Progress)
            stop.set()
    assert empty.votes.history() == []
    *_, count = sharing.import_files(empty, tmp_path / "other", [archive], threading.Event())
    assert count == 5 and empty.votes.history() == rated.votes.history()
