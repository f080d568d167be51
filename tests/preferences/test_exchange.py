"""Export and import: what goes out opens in `datasets`, what comes back is what was said."""

import json
import shutil
from pathlib import Path

import pytest

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.exchange import PARQUET, export
from huvidpo_core.preferences.imports import import_votes
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from tests.preferences.exported import rate, write_clips

file_only = pytest.mark.parametrize("address", ["sqlite"], indirect=True)  # where the database makes no difference


@pytest.fixture(scope="module")
def clip_files(tmp_path_factory) -> list[Path]:
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def rated(store, clip_files) -> Store:
    return rate(store, clip_files)


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


@file_only
def test_a_row_holds_what_the_raters_agree_on(rated, tmp_path):
    """By hand: frames 2 and 3 b by all, 0 and 1 a by two of three, 4 and 5 tied by two of three; all three chose b."""
    folder = export(rated, tmp_path / "out")
    first, second = rows_of(folder)
    assert first["segments"] == [
        {"start": 0, "end": 2, "better": "rejected"},
        {"start": 2, "end": 4, "better": "chosen"},
        {"start": 4, "end": 6, "better": "tie"},
    ]
    assert (first["chosen_file_name"], first["rejected_file_name"]) == ("clips/b.mp4", "clips/a.mp4")
    assert first["raters"] == {"chosen": 3, "rejected": 0, "tie": 0, "both_bad": 0}
    assert (first["prompt"], first["action"], first["tie"]) == ("ä horse", "rain", False)
    assert (first["chosen_model"], first["rejected_model"]) == ("model b", "model a")
    assert second["tie"] and second["raters"] == {"chosen": 0, "rejected": 0, "tie": 0, "both_bad": 1}
    assert (folder / "clips" / "b.mp4").read_bytes() == rated.video("b").read_bytes()
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n") and "2 pairs of clips, compared 5 times by 3 raters" in card


@file_only
def test_datasets_opens_it(rated, tmp_path, monkeypatch):
    """`load_dataset("videofolder")`, of this folder: both clips of each row as videos, the rest as columns."""
    datasets = pytest.importorskip("datasets")
    folder = export(rated, tmp_path / "out", parquet=True)
    pairs = datasets.load_dataset("videofolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert pairs.features["chosen"] == pairs.features["rejected"] == datasets.Video()
    for side in ("chosen", "rejected"):
        pairs = pairs.cast_column(side, datasets.Video(decode=False))
    first, second = pairs
    assert Path(first["chosen"]["path"]).read_bytes() == rated.video("b").read_bytes()
    assert Path(first["rejected"]["path"]).read_bytes() == rated.video("a").read_bytes()
    expected = rows_of(folder)
    for row, wanted in zip((first, second), expected, strict=True):
        assert {key: row[key] for key in row if key not in ("chosen", "rejected")} == {
            key: wanted[key] for key in wanted if not key.endswith("file_name")
        }


@file_only
def test_the_parquet_is_laid_out_as_diffusion_dpo_s(rated, tmp_path):
    """Bytes of both clips, the first being the better one, or half where neither is."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(export(rated, tmp_path / "out", parquet=True) / PARQUET).to_pylist()
    assert [(row["label_0"], row["caption"]) for row in table] == [(1.0, "ä horse"), (0.5, "a smile")]
    assert table[0]["video_0"] == rated.video("b").read_bytes()
    assert table[0]["video_1"] == rated.video("a").read_bytes()


def test_import_brings_back_the_same_votes(rated, open_store, tmp_path, address):
    """Into an empty store: every answer, rating and clip with ids and times; a second import changes nothing."""
    folder = export(rated, tmp_path / "out")
    other = Store(tmp_path / "other")  # a file, whatever the first was: from server to laptop and back
    assert import_votes(other, folder) == 5
    for _ in range(2):
        assert other.votes.history() == rated.votes.history()
        assert other.votes.ratings() == rated.votes.ratings()
        assert [(clip.id, clip.recipe, clip.model, clip.created) for clip in other.list()] == [
            (clip.id, clip.recipe, clip.model, clip.created) for clip in rated.list()
        ]
        assert media.read_image(other.picture("b")).shape == (32, 32, 3)
        assert import_votes(other, folder) == 0
    export(other, tmp_path / "again")
    assert sorted(rows_of(tmp_path / "again"), key=str) == sorted(rows_of(folder), key=str)
    assert other.votes.show("ann") is None


@file_only
def test_an_export_of_the_first_version_is_read(rated, tmp_path):
    """It knew nothing of votes that were taken back."""
    folder = export(rated, tmp_path / "out")
    values = json.loads((folder / "votes.json").read_text())
    standing = [
        {name: value for name, value in vote.items() if name != "superseded"}
        for vote in values["votes"]
        if vote["superseded"] is None
    ]
    assert len(standing) == len(values["votes"]) - 1
    (folder / "votes.json").write_text(json.dumps(values | {"version": 1, "votes": standing}))
    assert import_votes(Store(tmp_path / "other"), folder) == 5


def test_import_leaves_what_is_here(rated, tmp_path):
    """Back into its own store: nothing is new, and a vote that was taken back after the export stays taken back."""
    folder = export(rated, tmp_path / "out")
    before = rated.votes.history()
    assert import_votes(rated, folder) == 0 and rated.votes.history() == before
    open_again = rated.votes.undo("ann")
    assert import_votes(rated, folder) == 0
    assert rated.votes.show("ann") == open_again and len(rated.votes.history()) == 4


def test_the_same_clips_may_be_a_pair_here_already(rated, tmp_path):
    """Under another pair id, answered by Ann here: her answer stays, Bob's and Cem's join it on the same pair."""
    folder = export(rated, tmp_path / "out")
    other = Store(tmp_path / "other")
    for name in "ab":
        shutil.copyfile(rated.video(name), other.video(name))
        other.add(name, {}, 0.0)
    pair = other.votes.add_pair("a", "b", source="brought", prompt="", action="rain")
    other.votes.vote(other.votes.show("ann").id, "ann", Ballot("tie"))
    assert import_votes(other, folder) == 4
    answers = {answer.rater: answer for answer in other.votes.history(action="rain")}
    assert answers["ann"].ballot == Ballot("tie") and {answer.pair for answer in answers.values()} == {pair}


@file_only
def test_one_action_alone(rated, tmp_path):
    """The other action's clips, votes and ratings stay at home."""
    folder = export(rated, tmp_path / "out", action="rain")
    assert {path.name for path in (folder / "clips").iterdir()} == {"a.mp4", "b.mp4"}
    other = Store(tmp_path / "other")
    assert import_votes(other, folder) == 3 and other.votes.ratings() == []


def test_votes_on_deleted_clips_travel_without_them(rated, tmp_path):
    """The pair is no row of the dataset; its votes come back all the same."""
    rated.delete("a")
    folder = export(rated, tmp_path / "out")
    assert [row["action"] for row in rows_of(folder)] == ["smile"]
    other = Store(tmp_path / "other")
    assert import_votes(other, folder) == 5 and other.votes.history() == rated.votes.history()
    assert {clip.id for clip in other.list()} == {"b", "c", "d"}


@file_only
def test_an_export_is_whole_or_not_at_all(rated, tmp_path, monkeypatch):
    """A full disk leaves the earlier export as it was; a folder with other things in it is not touched."""
    folder = export(rated, tmp_path / "out", action="rain")
    before = (folder / "votes.json").read_bytes()

    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy2", full)
        with pytest.raises(UserError, match="disk is full"):
            export(rated, folder)
    assert (folder / "votes.json").read_bytes() == before and list(tmp_path.glob(".*.part")) == []
    assert len(rows_of(export(rated, folder))) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for place in (tmp_path / "mine", tmp_path / "mine" / "letter.txt"):
        with pytest.raises(UserError, match="holds something else"):
            export(rated, place)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@file_only
def test_without_votes_there_is_nothing_to_export(store, tmp_path):
    """A sentence, and no folder."""
    with pytest.raises(UserError, match="no votes to export"):
        export(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def change(values: dict, path: str, value) -> None:
    *steps, last = path.split(".")
    for step in steps:
        values = values[int(step) if step.isdigit() else step]
    values[last] = value


DAMAGE = {
    "clips.0.id": ("../../evil", "the id '../../evil' is none"),
    "votes.0.showing": ("nothing", "answers nothing"),
    "votes.0.rater": ("bob", "answers nothing"),
    "votes.0.choice": ("up", "no choice 'up'"),
    "votes.0.marks": ([{"start": 0, "end": 99, "side": "left"}], "frames 0 to 6"),
    "votes.0.seconds": ("long", "should be float"),
    "votes.0.colour": ("red", "unknown key 'colour'"),
    "showings.0.left": ("d", "shows no pair"),
    "showings.0.repeat_of": ("nothing", "repeats nothing"),
    "pairs.0.first": ("gone", "has no two clips"),
    "pairs.0.source": ("magic", "magic"),
    "pairs.0.frames": (10**30, "has no length"),
    "pairs.0.prompt": ("\ud83c", "cannot be read"),
    "clips.0.created": (float("nan"), "cannot be read"),
    "clips.0.frames": (-1, "has no length"),
    "ratings.0.score": (9, "from 1 to 5"),
    "ratings.0.clip": ("gone", "is of no clip"),
    "clips.1.hash": ("0" * 64, "damaged"),
    "version": (4, "another version"),
    "format": ("other", "no votes file"),
}


@file_only
def test_a_damaged_export_is_a_sentence_and_brings_in_nothing(rated, tmp_path):
    """Every way to spoil a votes file, and folders that are none."""
    folder = export(rated, tmp_path / "out")
    good = (folder / "votes.json").read_text()
    other = Store(tmp_path / "other")
    for path, (value, words) in DAMAGE.items():
        values = json.loads(good)
        change(values, path, value)
        (folder / "votes.json").write_text(json.dumps(values))
        with pytest.raises(UserError, match=words):
            import_votes(other, folder)
    for text, words in (("{", "cannot be read"), ("[]", "no votes file")):
        (folder / "votes.json").write_text(text)
        with pytest.raises(UserError, match=words):
            import_votes(other, folder)
    with pytest.raises(UserError, match=r"holds no votes\.json"):
        import_votes(other, tmp_path)
    assert other.votes.history() == [] and other.votes.raters() == []
    assert not (tmp_path / "evil.mp4").exists()


@file_only
def test_a_clip_of_the_same_id_that_differs_is_refused(rated, clip_files, tmp_path):
    """Votes must not come to stand on other pictures than those that were judged."""
    folder = export(rated, tmp_path / "out")
    other = Store(tmp_path / "other")
    shutil.copyfile(clip_files[3], other.video("a"))
    with pytest.raises(UserError, match="different clip with the id a"):
        import_votes(other, folder)
    assert other.votes.history() == []
