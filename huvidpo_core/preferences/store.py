"""The data folder's clips, which there are and how each was made, and what people said of them. No torch."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import delete, exists, or_, select, update

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.database import Database
from huvidpo_core.preferences.picture_choices import PictureChoices
from huvidpo_core.preferences.schema import ClipRow, PairRow, RatingRow
from huvidpo_core.preferences.votes import Votes

log = logging.getLogger(__name__)

BASE_MODEL = "base model"
BROUGHT = "brought by a person"  # in place of a model's name
DRAWN_BY = ", first frame by "  # then a painter, where it was not the profile's own
SMALL = (128, 80)  # px: what is enough to see whether anything moves


@dataclass(frozen=True)
class StoredClip:
    """A clip as the database knows it; `recipe` is the plain dictionary of `Recipe.to_dict`."""

    id: str
    created: float  # seconds since the epoch
    seconds: float  # how long it took to make
    recipe: dict
    model: str = BASE_MODEL  # as it is named to people after a vote


class Store:
    """Clips in one database, which several processes may use at once, and their files in one folder.

    By default the database is `huvidpo.db` in the folder, SQLite in write-ahead-log mode; HUVIDPO_DATABASE_URL names a
    PostgreSQL instead, for several replicas on one folder. A clip whose files are gone is not listed; a row is written
    only after its files are complete. Every method raises UserError when the database or a file cannot be used.

    `votes` holds pairs, answers and ratings; `picture_choices` the first frames that were chosen from a few.
    """

    def __init__(self, folder: Path, address: str | None = None) -> None:
        """Open or create `folder` and its database. Raises UserError when one of them cannot be used."""
        self.clips_folder = folder / "clips"
        try:
            self.clips_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The data folder {folder} cannot be used ({error}). Choose another with --data, or mend it."
            ) from error
        self.database = Database(folder / "huvidpo.db", address or os.environ.get("HUVIDPO_DATABASE_URL"))
        self.votes = Votes(self.database, self.present, self._is_there, self.length)
        self.picture_choices = PictureChoices(self.database, folder / "pictures")

    def video(self, clip_id: str) -> Path:
        """Where a clip's MP4 is or will be."""
        return self.clips_folder / f"{clip_id}.mp4"

    def picture(self, clip_id: str) -> Path:
        """Where a clip's first frame is or will be."""
        return self.clips_folder / f"{clip_id}.png"

    def present(self) -> set[str]:
        """Ids of the clips whose MP4 is there, found in one look at the folder."""
        try:
            with os.scandir(self.clips_folder) as entries:  # a Path for each would take most of the time
                return {entry.name[:-4] for entry in entries if entry.name.endswith(".mp4")}
        except OSError as error:
            raise UserError(
                f"The folder {self.clips_folder} cannot be read ({error}). Mend it, then reload."
            ) from error

    def add(
        self,
        clip_id: str,
        recipe: dict,
        seconds: float,
        *,
        frames: int | None = None,
        fps: float | None = None,
        model: str = "",
    ) -> StoredClip:
        """Record a clip whose files are in place; durable when this returns.

        Args:
            clip_id: at most 32 letters and digits.
            recipe: plain JSON values.
            seconds: how long it took to make.
            frames: how many it has, and
            fps: how many a second; both are read from the file when they are needed and not given.
            model: what made it, as people are told after a vote; by default the recipe's pack.
        """
        video = self.video(clip_id)
        row = ClipRow(
            id=clip_id,
            created=time.time(),
            seconds=seconds,
            recipe=json.dumps(recipe),
            frames=frames,
            fps=fps,
            model=model or _model(recipe),
            hash=_hash(video) if video.exists() else None,
        )
        with self.database.writing() as session:
            session.add(row)
        return _stored(row)

    def list(self, paired: bool = True) -> list[StoredClip]:
        """All clips whose files are there, newest first; those that stand in a pair only if `paired`."""
        query = select(ClipRow).order_by(ClipRow.created.desc())
        if not paired:
            query = query.where(
                ~exists().where(PairRow.first == ClipRow.id), ~exists().where(PairRow.second == ClipRow.id)
            )
        with self.database.reading() as session:
            rows = session.scalars(query).all()
        return [_stored(row) for row in rows if self.video(row.id).exists()]

    def find(self, clip_ids: Iterable[str]) -> dict[str, StoredClip]:
        """These clips by id, those that are known; whether their files are still there is not asked."""
        with self.database.reading() as session:
            rows = session.scalars(select(ClipRow)).all()
        wanted = set(clip_ids)
        return {row.id: _stored(row) for row in rows if row.id in wanted}

    def get(self, clip_id: str) -> StoredClip:
        """One clip. Raises UserError if there is none of that id."""
        with self.database.reading() as session:
            row = session.get(ClipRow, clip_id) if clip_id.isprintable() else None
        if row is None or not self.video(row.id).exists():
            raise UserError("That clip is no longer there. Reload the page to see the present gallery.")
        return _stored(row)

    def delete(self, clip_id: str) -> None:
        """Remove a clip's files and forget it; its row stays, unlisted, as long as somebody said something of it."""
        self.get(clip_id)
        spoken_of = or_(
            exists().where(or_(PairRow.first == clip_id, PairRow.second == clip_id)),
            exists().where(RatingRow.clip == clip_id),
        )
        with self.database.writing() as session:
            session.execute(delete(ClipRow).where(ClipRow.id == clip_id, ~spoken_of))
            for path in self.clips_folder.glob(f"{clip_id}.*"):
                path.unlink(missing_ok=True)

    def length(self, clip_id: str) -> tuple[int, float]:
        """A clip's frames and frames a second. Raises UserError if it is not there or cannot be read."""
        self.get(clip_id)
        with self.database.reading() as session:
            row = session.get_one(ClipRow, clip_id)
        if row.frames is None or row.fps is None:
            frames, row.fps = media.read_video(self.video(clip_id), size=(16, 16))
            row.frames = len(frames)
            with self.database.writing() as session:
                session.merge(row)
        return row.frames, row.fps

    def motions(self, clip_ids: Iterable[str], measure: Callable[[np.ndarray], float]) -> dict[str, float]:
        """How much moves in these clips, those whose files can be read.

        `measure` takes uint8 `(f, h, w, 3)`, scaled down to `SMALL`; a clip is measured once and then remembered.
        """
        wanted = set(clip_ids)
        with self.database.reading() as session:
            rows = [row for row in session.scalars(select(ClipRow)) if row.id in wanted]
        found = {row.id: row.motion for row in rows if row.motion is not None}
        for clip_id in sorted({row.id for row in rows} - set(found)):
            try:
                found[clip_id] = measure(media.read_video(self.video(clip_id), size=SMALL).frames)
            except UserError as error:  # gone or damaged: the others still count
                log.info("no motion of clip %s: %s", clip_id, error)
                continue
            with self.database.writing() as session:
                session.execute(update(ClipRow).where(ClipRow.id == clip_id).values(motion=found[clip_id]))
        return found

    def _is_there(self, clip_id: str) -> bool:
        return self.video(clip_id).exists()

    def close(self) -> None:
        """Release the file."""
        self.database.close()


def _model(recipe: dict) -> str:
    name = recipe.get("pack") or BASE_MODEL if recipe.get("strength", 1) else BASE_MODEL
    return f"{name}{DRAWN_BY}{painter}" if (painter := recipe.get("painter")) else name


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stored(row: ClipRow) -> StoredClip:
    return StoredClip(row.id, row.created, row.seconds, json.loads(row.recipe), row.model)
