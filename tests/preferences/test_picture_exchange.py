"""Choices of first frames in an export: out with their pictures, in again once, readable by `datasets`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.archives import export_archive, import_files
from huvidpo_core.preferences.exchange import export
from huvidpo_core.preferences.imports import import_votes
from huvidpo_core.preferences.picture_choices import picture_hash
from huvidpo_core.preferences.schema import PictureChoiceRow
from huvidpo_core.preferences.store import Store
from tests.preferences.exported import rate, write_clips

RECIPE = {"prompt": "ä red horse", "action": "horse_run", "style": "cartoon", "seed": 7, "profile": "miniature"}


def pictures(seed: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (4, 16, 24, 3), np.uint8))


def choose(store: Store) -> Store:
    """Ann changed her mind once, Ben took his choice back, Cem chose for another action."""
    choices, (one, two, *rest) = store.picture_choices, pictures(0)
    choices.choose("offer1", "ann", RECIPE, one, [two, *rest])
    choices.choose("offer1", "ann", RECIPE, two, [one, *rest])
    choices.choose("offer2", "ben", RECIPE, one, rest)
    choices.withdraw("offer2", "ben")
    one, *rest = pictures(1)
    choices.choose("offer3", "cem", RECIPE | {"action": "rain"}, one, rest)
    return store


@pytest.fixture
def chosen(open_store) -> Store:
    return choose(open_store())


@pytest.fixture
def folder(tmp_path) -> Path:
    """An export of choices alone."""
    return export(choose(Store(tmp_path / "data")), tmp_path / "out")


@pytest.fixture
def other(tmp_path) -> Store:
    return Store(tmp_path / "other")


def all_of(store: Store) -> dict[str, tuple]:
    """Every row, the ones that were taken back too."""
    with store.database.reading() as session:
        rows = session.scalars(select(PictureChoiceRow)).all()
    return {row.id: (row.created, row.superseded, row.offer, row.rater, row.chosen, row.others) for row in rows}


def test_out_and_in_again_once(chosen, other, tmp_path):
    """With no votes on clips beside them: every row, those taken back too, and every pixel; a second import and one
    into its own store change nothing."""
    folder = export(chosen, tmp_path / "out")
    for count in (2, 0):
        assert import_votes(other, folder) == count
        assert other.picture_choices.list() == chosen.picture_choices.list() and all_of(other) == all_of(chosen)
    assert len(all_of(other)) == 4
    for picture in (*pictures(0), *pictures(1)):
        file = other.picture_choices.file(picture_hash(picture))
        np.testing.assert_array_equal(media.read_image(file), picture)
    before = all_of(chosen)
    assert import_votes(chosen, folder) == 0 and all_of(chosen) == before


def test_what_was_said_here_since_stays(folder, other):
    """A choice that was taken back here stays so; who chose here from the same pictures keeps that choice."""
    one, two, *_ = pictures(1)
    mine = other.picture_choices.choose("offer3", "cem", RECIPE, two, [one])
    assert import_votes(other, folder) == 1
    assert [choice for choice in other.picture_choices.list() if choice.rater == "cem"] == [mine]
    other.picture_choices.withdraw("offer1", "ann")
    assert import_votes(other, folder) == 0 and other.picture_choices.list() == [mine]


def test_datasets_opens_both(tmp_path):
    """One folder: its pairs of clips as a videofolder, its choices as an imagefolder, the pictures exact."""
    datasets = pytest.importorskip("datasets")
    (tmp_path / "made").mkdir()
    store = choose(rate(Store(tmp_path / "data"), write_clips(tmp_path / "made")))
    folder = export(store, tmp_path / "out")
    how = {"data_dir": str(folder), "split": "train", "cache_dir": str(tmp_path / "cache")}
    pairs = datasets.load_dataset("videofolder", **how)
    assert len(pairs) == 2 and pairs.features["chosen"] == datasets.Video()
    first, second = datasets.load_dataset("imagefolder", metadata_filenames=["pictures.jsonl"], **how)
    one, two, *rest = pictures(0)
    assert (first["prompt"], first["action"], first["style"]) == ("ä red horse", "horse_run", "cartoon")
    np.testing.assert_array_equal(np.asarray(first["chosen"]), two)
    for found, wanted in zip(first["rejected"], [one, *rest], strict=True):
        np.testing.assert_array_equal(np.asarray(found), wanted)
    assert second["action"] == "rain"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "seen together: 2." in card and "2 pairs of clips, compared 5 times" in card


def test_one_action_alone(tmp_path, other):
    """The other action's choices and pictures stay at home."""
    folder = export(choose(Store(tmp_path / "data")), tmp_path / "out", action="rain")
    wanted = {f"{picture_hash(picture)}.png" for picture in pictures(1)}
    assert {path.name for path in (folder / "pictures").iterdir()} == wanted
    assert import_votes(other, folder) == 1 and [choice.rater for choice in other.picture_choices.list()] == ["cem"]


def test_pictures_that_are_gone(tmp_path, other):
    """The choice is no row of the dataset, and travels all the same."""
    store = choose(Store(tmp_path / "data"))
    store.picture_choices.file(picture_hash(pictures(1)[3])).unlink()
    folder = export(store, tmp_path / "out")
    rows = [json.loads(line) for line in (folder / "pictures.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["action"] for row in rows] == ["horse_run"]
    assert import_votes(other, folder) == 2 and len(other.picture_choices.list()) == 2


def test_an_export_from_before_is_read(tmp_path, other):
    """It knew nothing of choices, and one of clips alone still has no folder of pictures."""
    (tmp_path / "made").mkdir()
    folder = export(rate(Store(tmp_path / "data"), write_clips(tmp_path / "made")), tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "clips", "metadata.jsonl", "votes.json"]
    values = json.loads((folder / "votes.json").read_text())
    assert values.pop("choices") == []
    (folder / "votes.json").write_text(json.dumps(values | {"version": 2}))
    assert import_votes(other, folder) == 5 and other.picture_choices.list() == []


@pytest.mark.parametrize("loose", [False, True])
def test_through_a_browser(tmp_path, other, loose):
    """As a .zip, and as single files, of which names that no dataset has are left out."""
    store = choose(Store(tmp_path / "data"))
    if loose:
        folder = export(store, tmp_path / "out")
        media.write_png(tmp_path / "holiday.png", pictures(0)[0])
        files = [folder / "votes.json", *(folder / "pictures").iterdir(), tmp_path / "holiday.png"]
    else:
        files = [export_archive(store, tmp_path / "votes.zip", report=lambda _: None)]
    assert import_files(other, files, tmp_path / "scratch", report=lambda _: None) == 2
    there = {path.name for path in (tmp_path / "other" / "pictures").iterdir()}
    assert there == {f"{picture_hash(picture)}.png" for picture in (*pictures(0), *pictures(1))}


DAMAGE = {
    "chosen": ("../../evil", "not of one picture over others"),
    "others": ([], "not of one picture over others"),
    "offer": ("../x", "is from no offer"),
    "recipe": ({"prompt": 7}, "has no recipe"),
    "rater": (" ann", "spaces around the name"),
    "id": ("../x", "the id '../x' is none"),
    "created": ("now", "should be float"),
}


@pytest.mark.parametrize("key", DAMAGE)
def test_a_damaged_choice_is_a_sentence_and_nothing_comes_in(folder, other, key):
    """Whatever is spoilt in the votes file."""
    value, words = DAMAGE[key]
    values = json.loads((folder / "votes.json").read_text())
    values["choices"][0][key] = value
    (folder / "votes.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=words):
        import_votes(other, folder)
    assert all_of(other) == {} and not (other.clips_folder.parent / "pictures").exists()


def test_a_picture_that_is_another_is_refused(folder, other):
    """A choice must not come to stand on other pictures than those that were seen."""
    one, two, *_ = sorted((folder / "pictures").iterdir())
    shutil.copyfile(two, one)
    with pytest.raises(UserError, match="damaged: it is not the picture that was exported"):
        import_votes(other, folder)
    assert other.picture_choices.list() == []
