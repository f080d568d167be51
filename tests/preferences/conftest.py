"""Stores to test: the same tests run on SQLite and on PostgreSQL."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text

from huvidpo_core.preferences.store import Store
from tests import postgres

_schemas = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres.server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request) -> Iterator[str | None]:
    """Where the store's database is: None for the file, or a PostgreSQL with nothing in it."""
    if request.param == "sqlite":
        yield None
        return
    server = request.getfixturevalue("postgres_server")
    schema = f"test_{next(_schemas)}"
    _run(server, f"DROP SCHEMA IF EXISTS {schema} CASCADE", f"CREATE SCHEMA {schema}")
    yield f"{server}&options=-csearch_path%3D{schema}"
    _run(server, f"DROP SCHEMA {schema} CASCADE")


def _run(server: str, *statements: str) -> None:
    engine = create_engine(server.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def open_store(tmp_path, address) -> Iterator[Callable[..., Store]]:
    """Opens the same data folder and database again and again, as several processes would."""
    opened = []

    def open_again(folder: Path = tmp_path / "data") -> Store:
        opened.append(Store(folder, address))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store) -> Store:
    return open_store()
