"""Choices of one first frame from a few: kept through a restart, changed without being lost, their pictures exact."""

import sqlite3

import numpy as np
import pytest
from sqlalchemy import select

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.picture_choices import picture_hash
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.schema import PictureChoiceRow
from huvidpo_core.preferences.store import Store
from tests.preferences.made import add_pair

RECIPE = {"prompt": "a red horse", "action": "horse_run", "style": "cartoon", "seed": 7}


def pictures(count: int = 4, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 16, 24, 3), np.uint8))


def test_a_choice_and_its_pictures_are_there_after_a_restart(open_store):
    """Another store on the same folder and database reads who chose what over which others, and the very pixels."""
    one, *rest = pictures()
    made = open_store().picture_choices.choose("offer1", " ann ", RECIPE, one, rest)
    store = open_store()
    assert store.picture_choices.list() == [made] and made.recipe == RECIPE and made.rater == "ann"
    assert (made.chosen, made.others) == (picture_hash(one), tuple(map(picture_hash, rest)))
    for picture in (one, *rest):
        np.testing.assert_array_equal(media.read_image(store.picture_choices.file(picture_hash(picture))), picture)
    assert store.picture_choices.list(["ben"]) == [] and len(store.picture_choices.list(["ann"])) == 1


def test_a_changed_choice_supersedes_and_none_of_them_takes_back(store):
    """One choice of each rater and offer stands; what stood before keeps its row."""
    choices, (one, two, *rest) = store.picture_choices, pictures()
    first = choices.choose("offer1", "ann", RECIPE, one, [two, *rest])
    other = choices.choose("offer1", "ben", RECIPE, one, [two])
    second = choices.choose("offer1", "ann", RECIPE, two, [one, *rest])
    assert choices.list() == [other, second]
    choices.withdraw("offer1", "ann")
    choices.withdraw("offer1", "ann")
    assert choices.list() == [other]
    with store.database.reading() as session:
        rows = {row.id: row.superseded for row in session.scalars(select(PictureChoiceRow))}
    assert rows.keys() == {first.id, other.id, second.id} and rows[other.id] is None
    assert rows[first.id] <= rows[second.id]


def test_equal_pictures_say_nothing_of_each_other(store):
    """Of two that are the same to the pixel neither is better; what differs only in shape is another picture."""
    choices, (one, two, *_) = store.picture_choices, pictures()
    assert choices.choose("offer1", "ann", RECIPE, one, [one.copy(), two, two]).others == (picture_hash(two),)
    assert picture_hash(one) != picture_hash(one.reshape(24, 16, 3))
    with pytest.raises(UserError, match="two pictures that differ"):
        choices.choose("offer2", "ann", RECIPE, one, [one.copy()])
    for offer, rater, words in (("../x", "ann", "not offered here"), ("offer3", " ", "name of 1 to")):
        with pytest.raises(UserError, match=words):
            choices.choose(offer, rater, RECIPE, one, [two])
    assert len(choices.list()) == 1


def test_a_database_of_the_second_version_keeps_all_that_was_said(tmp_path):
    """As the release before left it, a vote in it: the vote stands, and choices can be made."""
    before = Store(tmp_path)
    add_pair(before, "p")
    before.votes.vote(before.votes.show("ann").id, "ann", Ballot("left"))
    said = before.votes.history()
    before.close()
    with sqlite3.connect(tmp_path / "huvidpo.db") as connection:
        connection.executescript("DROP TABLE picture_choices; UPDATE alembic_version SET version_num = '0002';")
    connection.close()
    store = Store(tmp_path)
    assert store.votes.history() == said and len(said) == 1
    one, *rest = pictures()
    store.picture_choices.choose("offer1", "ann", RECIPE, one, rest)
    assert len(store.picture_choices.list()) == 1
    store.close()
