"""The connection: SQLite or PostgreSQL behind SQLAlchemy, its schema brought up to date, its errors as sentences."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from huvidpo_core.errors import UserError
from huvidpo_core.preferences.schema import HEAD

log = logging.getLogger(__name__)

LOCK_SECONDS = 30.0  # how long to wait for another process that is writing
_MIGRATION_LOCK = 4_805_316  # any number; whoever holds it in PostgreSQL may change the schema

_COPY = "Move it away, or restore it from a copy; the clips' files stay in place."
# What SQLite and PostgreSQL say, and what a person can do about it.
_ADVICE = {
    "locked": "Another program is writing to it; try again in a moment.",
    "lock timeout": "Another program is writing to it; try again in a moment.",
    "full": "The disk is full; free some space, then try again.",
    "No space left": "The disk is full; free some space, then try again.",
    "readonly": "Make the folder writable, or choose another with --data.",
    "read-only": "Let it be written to, or name another in HUVIDPO_DATABASE_URL.",
    "malformed": _COPY,
    "not a database": _COPY,
    "connect": "See that the server runs, and what HUVIDPO_DATABASE_URL says.",
}
_ONE_AT_A_TIME = threading.Lock()  # Alembic keeps its context in module variables


class Database:
    """One database. Sessions raise UserError, never the driver's own errors."""

    def __init__(self, file: Path, address: str | None = None) -> None:
        """Open `file` as SQLite or, where there is an `address`, that PostgreSQL; make or migrate the tables.

        Raises:
            UserError: it cannot be opened, or a newer version of this program wrote it.
        """
        url = _server(address) if address else URL.create("sqlite", database=str(file))  # a path may hold ?, # and %
        self.name = str(file) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
        self._advice = "Check what HUVIDPO_DATABASE_URL names." if address else "Check the data folder."
        if url.get_backend_name() == "sqlite":
            self._engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})
            event.listen(self._engine, "connect", _durable)
            event.listen(self._engine, "begin", _begin)
            self._reader = self._engine
        else:
            # A server that restarted is noticed before a connection is used; waiting for a lock has an end.
            self._engine = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
            event.listen(self._engine, "connect", _patience)
            # Else each query would see what others have committed since the one before: a vote without its marks.
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._writer = self._engine.execution_options(huvidpo_writes=True)
        with self._sentences():
            self._migrate()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database."""
        with self._sentences(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are durable when the `with` ends, and undone if it ends in an error."""
        with self._sentences(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Release all connections."""
        self._engine.dispose()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            log.info("database %s: %s", self.name, error)
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0].rstrip(".")
            advice = next((advice for words, advice in _ADVICE.items() if words in reason), self._advice)
            raise UserError(f"The clips' database {self.name} cannot be used ({reason}). {advice}") from error

    def _migrate(self) -> None:
        """Bring the schema to HEAD, whole or not at all, one process at a time."""
        with self._engine.connect() as connection:
            if _version(connection) == HEAD:
                return
        with _ONE_AT_A_TIME, self._writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            version = _version(connection)
            if version == HEAD:  # another process was faster
                return
            if version is not None and version > HEAD:
                raise UserError(
                    f"The clips' database {self.name} was written by a newer version of HuViDPO Lab (schema {version}; "
                    f"this one knows {HEAD}). Update the program, or choose another folder with --data."
                )
            from alembic import command  # slow to import, and only a new or an old database needs it
            from alembic.config import Config

            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", "huvidpo_core.preferences:migrations")
            command.upgrade(config, HEAD)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))


def _server(address: str) -> URL:
    """The address of a PostgreSQL, for the driver that is in the requirements."""
    try:
        url = make_url(address)
    except ArgumentError:  # not repeated: it may hold a password
        url = None
    if url is None or url.get_backend_name() not in ("postgresql", "postgres"):
        raise UserError(
            "HUVIDPO_DATABASE_URL is not the address of a PostgreSQL database. Write postgresql://USER:PASSWORD@HOST/"
            "NAME, or leave it out to use a file in the data folder."
        )
    return url.set(drivername="postgresql+psycopg")


def _durable(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # `_begin` says when a transaction begins, and of which kind
    cursor = connection.cursor()
    until = time.monotonic() + LOCK_SECONDS
    while True:  # SQLite's own patience does not cover this one, which all who open a new file at once ask for
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
    cursor.execute("PRAGMA synchronous=FULL")  # a commit that returned survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A writer queues for its turn at once: one that has read first would be refused if another wrote meanwhile.
    writes = connection.get_execution_options().get("huvidpo_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _patience(connection: Any, _: Any) -> None:
    connection.execute(f"SET lock_timeout = '{LOCK_SECONDS:.0f}s'")
    connection.commit()
