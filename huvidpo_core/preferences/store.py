"""The data folder's database: which clips there are and how each was made. SQLite through SQLAlchemy, no torch."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Float, String, Text, create_engine, delete, event, select
from sqlalchemy.engine import Engine as Database
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateIndex, CreateTable

from huvidpo_core.errors import UserError

LOCK_SECONDS = 30.0  # how long to wait for another process that is writing

# What SQLite says, and what a person can do about it.
_ADVICE = {
    "locked": "Another program is writing to it; try again in a moment.",
    "full": "The disk is full; free some space, then try again.",
    "readonly": "Make the folder writable, or choose another with --data.",
    "malformed": "Move it away, or restore it from a copy; the clips' files stay in place.",
    "not a database": "Move it away, or restore it from a copy; the clips' files stay in place.",
}


class Base(DeclarativeBase):
    """All tables."""


class ClipRow(Base):
    """One clip. Its files are `clips/ID.mp4` (what was made) and `clips/ID.png` (the first frame it was made from)."""

    __tablename__ = "clips"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created: Mapped[float] = mapped_column(Float, index=True)
    seconds: Mapped[float] = mapped_column(Float)
    recipe: Mapped[str] = mapped_column(Text)


@dataclass(frozen=True)
class StoredClip:
    """A clip as the database knows it; `recipe` is the plain dictionary of `Recipe.to_dict`."""

    id: str
    created: float  # seconds since the epoch
    seconds: float  # how long it took to make
    recipe: dict


class Store:
    """Clips in one SQLite file, in write-ahead-log mode so that several processes may read while one writes.

    A clip whose files are gone is not listed; a row is written only after its files are complete. Every method raises
    UserError when the database or a file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        """Open or create `folder/huvidpo.db`. Raises UserError when folder or file cannot be used."""
        self.clips_folder = folder / "clips"
        self._file = folder / "huvidpo.db"
        url = URL.create("sqlite", database=str(self._file))  # not a string: a path may hold ?, # and %
        try:
            self.clips_folder.mkdir(parents=True, exist_ok=True)
            self._database = create_engine(url, connect_args={"timeout": LOCK_SECONDS})
            event.listen(self._database, "connect", _durable)
            _create_tables(self._database)
        except (OSError, DBAPIError) as error:
            raise UserError(
                f"The data folder {folder} cannot be used ({_reason(error)}). Choose another with --data, or mend it."
            ) from error

    def video(self, clip_id: str) -> Path:
        """Where a clip's MP4 is or will be."""
        return self.clips_folder / f"{clip_id}.mp4"

    def picture(self, clip_id: str) -> Path:
        """Where a clip's first frame is or will be."""
        return self.clips_folder / f"{clip_id}.png"

    def add(self, clip_id: str, recipe: dict, seconds: float) -> StoredClip:
        """Record a clip whose files are in place; durable when this returns."""
        row = ClipRow(id=clip_id, created=time.time(), seconds=seconds, recipe=json.dumps(recipe))
        with self._session() as session:
            session.add(row)
            session.commit()
        return _stored(row)

    def list(self) -> list[StoredClip]:
        """All clips whose files are there, newest first."""
        with self._session() as session:
            rows = session.scalars(select(ClipRow).order_by(ClipRow.created.desc())).all()
        return [_stored(row) for row in rows if self.video(row.id).exists()]

    def get(self, clip_id: str) -> StoredClip:
        """One clip. Raises UserError if there is none of that id."""
        with self._session() as session:
            row = session.get(ClipRow, clip_id)
        if row is None or not self.video(row.id).exists():
            raise UserError("That clip is no longer there. Reload the page to see the present gallery.")
        return _stored(row)

    def delete(self, clip_id: str) -> None:
        """Forget a clip and remove its files."""
        self.get(clip_id)
        with self._session() as session:
            session.execute(delete(ClipRow).where(ClipRow.id == clip_id))
            session.commit()
            for path in self.clips_folder.glob(f"{clip_id}.*"):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the file."""
        self._database.dispose()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            with Session(self._database, expire_on_commit=False) as session:
                yield session
        except (DBAPIError, OSError) as error:
            reason = _reason(error)
            advice = next((advice for words, advice in _ADVICE.items() if words in reason), "Check the data folder.")
            raise UserError(f"The clips' database {self._file} cannot be used ({reason}). {advice}") from error


def _create_tables(database: Database) -> None:
    """What `create_all` does, but safe when several processes open a new folder at the same moment."""
    with database.begin() as connection:
        for table in Base.metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))


def _durable(connection: object, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a commit that returned survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _stored(row: ClipRow) -> StoredClip:
    return StoredClip(row.id, row.created, row.seconds, json.loads(row.recipe))


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
