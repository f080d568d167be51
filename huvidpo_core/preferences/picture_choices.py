"""First frames that people chose from a few: which, over which others. Every choice that was acknowledged is on disk.

A choice of one of four says that it is better than each of the other three, and nothing about those three.
"""

import hashlib
import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select, update

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences import reading
from huvidpo_core.preferences.ballots import check_rater
from huvidpo_core.preferences.database import Database
from huvidpo_core.preferences.pairs import TrainingPair
from huvidpo_core.preferences.schema import PictureChoiceRow


@dataclass(frozen=True)
class PictureChoice:
    """A standing choice. Pictures are named by their content; `recipe` is the plain dictionary of the chosen one's."""

    id: str
    created: float  # seconds since the epoch
    offer: str
    rater: str
    recipe: dict[str, Any]
    chosen: str
    others: tuple[str, ...]


class PictureChoices:
    """The choices in one database, their pictures as PNG files in one folder; reached as `Store.picture_choices`.

    Safe for many threads and processes at once. Every method raises UserError when the database or a file cannot be
    used.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder

    def file(self, picture: str) -> Path:
        """Where a picture is, or would be."""
        return self._folder / f"{picture}.png"

    def choose(
        self, offer: str, rater: str, recipe: dict[str, Any], chosen: np.ndarray, others: Sequence[np.ndarray]
    ) -> PictureChoice:
        """Write down that a picture is better than others, each uint8 (h, w, 3); durable when this returns.

        A second choice of the same rater from the same offer supersedes the first, which stays on record.

        Raises:
            UserError: no other picture that differs, a rater without a name, an offer that cannot be one.
        """
        rater = check_rater(rater)
        if not (offer.isalnum() and offer.isascii() and len(offer) <= 32):
            raise UserError("These pictures were not offered here. Draw some to choose from first.")
        pictures = (chosen, *others)
        names = [picture_hash(picture) for picture in pictures]
        worse = tuple(dict.fromkeys(name for name in names if name != names[0]))
        if not worse:
            raise UserError("There is nothing to choose from: it takes two pictures that differ.")
        for name, picture in zip(names, pictures, strict=True):
            if not self.file(name).exists():
                media.write_png(self.file(name), picture)
        values = {"id": uuid.uuid4().hex, "offer": offer, "rater": rater, "chosen": names[0]}
        with self._database.writing() as session:
            now = reading.enter(session, rater)
            session.execute(update(PictureChoiceRow).where(*_standing(offer, rater)).values(superseded=now))
            session.add(PictureChoiceRow(**values, created=now, recipe=json.dumps(recipe), others=json.dumps(worse)))
        return PictureChoice(**values, created=now, recipe=recipe, others=worse)

    def withdraw(self, offer: str, rater: str) -> None:
        """None of the pictures is to count as better: a standing choice is taken back, and stays on record."""
        rater = check_rater(rater)
        with self._database.writing() as session:
            now = reading.enter(session, rater)
            session.execute(update(PictureChoiceRow).where(*_standing(offer, rater)).values(superseded=now))

    def list(self, raters: Collection[str] = ()) -> list[PictureChoice]:
        """The standing choices of these raters, by default all, oldest first."""
        rows = select(PictureChoiceRow).where(PictureChoiceRow.superseded.is_(None))
        with self._database.reading() as session:
            found = session.scalars(rows.order_by(PictureChoiceRow.created, PictureChoiceRow.id)).all()
        return [_choice(row) for row in found if not raters or row.rater in raters]


def as_pairs(choice: PictureChoice, text: str) -> list[TrainingPair]:
    """What a choice teaches of pictures that were drawn for a text: it is better than each of the others.

    A picture is a clip of two frames there, of which the first says nothing (`training.pictures`).
    """
    mask = np.array([0, 1], np.int8)
    action = choice.recipe.get("action", "")
    return [TrainingPair(choice.chosen, other, mask, text, action, raters=1) for other in choice.others]


def picture_hash(picture: np.ndarray) -> str:
    """What a picture uint8 (h, w, 3) is called: the SHA-256 of its size and pixels."""
    return hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()


def _standing(offer: str, rater: str) -> tuple[Any, ...]:
    row = PictureChoiceRow
    return row.offer == offer, row.rater == rater, row.superseded.is_(None)


def _choice(row: PictureChoiceRow) -> PictureChoice:
    recipe, others = json.loads(row.recipe), tuple(json.loads(row.others))
    return PictureChoice(row.id, row.created, row.offer, row.rater, recipe, row.chosen, others)
