"""Datasets read for training: ours come back as the votes were, and somebody else's as they are written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from huvidpo_core.errors import UserError
from huvidpo_core.preferences.datasets import read_dataset
from huvidpo_core.preferences.exchange import export
from huvidpo_core.preferences.pairs import from_votes
from huvidpo_core.preferences.store import Store
from tests.preferences.exported import FRAMES, rate, write_clips


@pytest.fixture
def clips(tmp_path) -> list[Path]:
    (tmp_path / "made").mkdir()
    return write_clips(tmp_path / "made")


def test_an_export_is_read_as_the_votes_themselves(clips, tmp_path):
    """Same clips, masks, prompts and raters as `from_votes`, from `metadata.jsonl` and the clips alone."""
    store = rate(Store(tmp_path / "data"), clips)
    expected = from_votes(store.votes.history())
    folder = export(store, tmp_path / "out")
    for name in ("votes.json", "README.md"):
        (folder / name).unlink()
    found = read_dataset(folder)
    assert len(found) == len(expected) == 2
    for (pair, files), wanted in zip(found, expected, strict=True):
        assert pair.mask.dtype == np.int8 and np.array_equal(pair.mask, wanted.mask)
        for name in ("first", "second", "prompt", "action", "raters", "weight"):
            assert getattr(pair, name) == getattr(wanted, name)
        assert [file.read_bytes() for file in files] == [
            store.video(clip).read_bytes() for clip in (wanted.first, wanted.second)
        ]
    assert found[0][0].mask.tolist() == [0, -1, 1, 1, 0, 0]


def write(folder: Path, clips: list[Path], *rows: dict | str, under: str = "videos") -> Path:
    """A dataset as somebody may have made it by hand."""
    (folder / under).mkdir(parents=True)
    for clip in clips:
        shutil.copyfile(clip, folder / under / clip.name)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return folder


ROW = {"chosen_file_name": "videos/0.mp4", "rejected_file_name": "videos/1.mp4", "prompt": "a horse"}


def test_three_columns_are_enough(clips, tmp_path):
    """Without segments the chosen clip is better in every frame but the first; the length is read from the clips."""
    ((pair, files),) = read_dataset(write(tmp_path / "theirs", clips, ROW | {"source_model": "x", "tie": None}))
    assert (pair.first, pair.second, pair.raters, pair.action) == ("0", "1", 1, "")
    assert pair.mask.tolist() == [0] + [1] * (FRAMES - 1)
    assert files == (tmp_path / "theirs/videos/0.mp4", tmp_path / "theirs/videos/1.mp4")
    tie = read_dataset(write(tmp_path / "tie", clips, ROW | {"tie": True}))[0][0]
    assert not tie.mask.any()


def test_the_clip_that_is_better_for_longer_is_the_winner(clips, tmp_path):
    """Segments that contradict the label: frames 0 to 3 rejected, 5 chosen, 4 not said. The clips change places."""
    segments = [{"start": 0, "end": 4, "better": "rejected"}, {"start": 5, "end": 6, "better": "chosen"}]
    ((pair, files),) = read_dataset(write(tmp_path / "theirs", clips, ROW | {"segments": segments, "frames": 6}))
    assert (pair.first, pair.mask.tolist(), files[0].name) == ("1", [0, 1, 1, 1, 0, -1], "1.mp4")


def test_files_of_one_name_in_two_folders_are_two_clips(clips, tmp_path):
    """Their ids then carry the folder."""
    folder = write(tmp_path / "theirs", clips, ROW | {"rejected_file_name": "videos/x/0.mp4"})
    (folder / "videos/x").mkdir()
    shutil.copyfile(clips[1], folder / "videos/x/0.mp4")
    ((pair, _),) = read_dataset(folder)
    assert (pair.first, pair.second) == ("videos/0", "videos/x/0")


def segment(start: object = 0, end: object = 3, better: object = "chosen") -> dict:
    return {"start": start, "end": end, "better": better}


def test_rows_about_the_same_clips_are_one_pair(clips, tmp_path):
    """Three raters for the first clip, one against: it is better. One of each: nothing is said, as with votes. A half
    that two say and one denies is kept, wherever the clip stands in a row."""
    other_way = {"chosen_file_name": ROW["rejected_file_name"], "rejected_file_name": ROW["chosen_file_name"]}
    half = {"frames": 6, "segments": [{"start": 0, "end": 3, "better": "rejected"}]}
    for number, (rows, mask) in enumerate((
        ([ROW | {"raters": {"chosen": 3}}, ROW | other_way], [0, 1, 1, 1, 1, 1]),
        ([ROW, ROW | other_way], [0, 0, 0, 0, 0, 0]),
        ([ROW, ROW | other_way | half, ROW | {"tie": True}], [0, 1, 1, 0, 0, 0]),
    )):  # fmt: skip
        ((pair, files),) = read_dataset(write(tmp_path / str(number), clips, *rows))
        assert (pair.first, pair.mask.tolist(), files[0].name) == ("0", mask, "0.mp4")
        assert pair.raters == len(rows) + 2 * (number == 0)


BAD = [
    ("{", "line 1 is no JSON"),
    ("[1]", "not a table"),
    ({"prompt": "p"}, "`chosen_file_name` should be str, not None"),
    (ROW | {"prompt": None}, "`prompt` should be str"),
    (ROW | {"frames": "6"}, "`frames` should be int, not '6'"),
    (ROW | {"frames": 1}, "1 frames; at least 2"),
    (ROW | {"chosen_file_name": "../0.mp4"}, "outside of the dataset"),
    (ROW | {"chosen_file_name": "/etc/passwd"}, "outside of the dataset"),
    (ROW | {"chosen_file_name": "videos/9.mp4"}, r"no clip videos/9\.mp4"),
    (ROW | {"rejected_file_name": "videos/0.mp4"}, "the same clip"),
    (ROW | {"segments": "all"}, "`segments` should be list"),
    (ROW | {"segments": [segment(better="left")]}, "start, end and better"),
    (ROW | {"segments": [{"start": 0}]}, "start, end and better"),
    (ROW | {"segments": [segment(end=7)]}, "from 0 to 7 overlaps another or lies outside of the 6 frames"),
    (ROW | {"segments": [segment(), segment(2, 4)]}, "from 2 to 4 overlaps"),
    (ROW | {"segments": [segment(3, 3)]}, "from 3 to 3"),
]


@pytest.mark.parametrize(("row", "words"), BAD)
def test_a_row_that_is_none_is_a_sentence(clips, tmp_path, row, words):
    """It names file, line and column."""
    with pytest.raises(UserError, match=words):
        read_dataset(write(tmp_path / "theirs", clips, row))


def test_a_folder_that_is_none_is_a_sentence(clips, tmp_path):
    """No metadata, no rows, no text, or clips that are no videos."""
    with pytest.raises(UserError, match=r"holds no metadata\.jsonl"):
        read_dataset(tmp_path)
    with pytest.raises(UserError, match="holds no pairs"):
        read_dataset(write(tmp_path / "empty", clips))
    folder = write(tmp_path / "broken", clips, ROW)
    (folder / "videos/0.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"0\.mp4"):
        read_dataset(folder)
    (folder / "metadata.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="cannot be read"):
        read_dataset(folder)
