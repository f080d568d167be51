"""The database under the store: old ones are taken over, newer ones refused, addresses that lead nowhere told."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, func, select, text

from huvidpo_core.errors import UserError
from huvidpo_core.preferences.database import Database
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.schema import HEAD, Base, ClipRow, VoteRow
from huvidpo_core.preferences.store import Store
from tests.preferences.made import FRAMES, add_pair

FIRST_VERSION = """
CREATE TABLE clips (id VARCHAR(32) NOT NULL, created FLOAT NOT NULL, seconds FLOAT NOT NULL, recipe TEXT NOT NULL,
    PRIMARY KEY (id));
CREATE INDEX ix_clips_created ON clips (created);
INSERT INTO clips VALUES ('old', 12.5, 3.0, '{"prompt": "p", "pack": "rain/taste"}'),
    ('bare', 13.5, 3.0, '{"prompt": "p", "pack": "", "strength": 1.0}');
"""


def test_the_migrated_schema_is_the_one_in_the_code(store):
    """Alembic's own comparison of the tables as the steps leave them with the tables as the code declares them."""
    with store.database._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        rules = connection.dialect.get_indexes(connection, "votes")
    assert {rule["name"]: bool(rule["unique"]) for rule in rules} == {
        "one_standing_vote": True,
        "votes_by_rater": False,
    }


def test_a_database_of_the_first_version_is_taken_over(tmp_path):
    """The tables as the first release made them, with clips in them: nothing is lost, and they can be rated."""
    with sqlite3.connect(tmp_path / "huvidpo.db") as connection:
        connection.executescript(FIRST_VERSION)
    connection.close()
    (tmp_path / "clips").mkdir()
    for clip in ("old", "bare"):
        (tmp_path / "clips" / f"{clip}.mp4").touch()
    store = Store(tmp_path)
    assert [(clip.id, clip.created, clip.model) for clip in store.list()] == [
        ("bare", 13.5, "base model"),
        ("old", 12.5, "rain/taste"),
    ]
    with store.database.writing() as session:
        for row in session.query(ClipRow):
            row.frames, row.fps = FRAMES, 8
    store.votes.add_pair("old", "bare", source="models", prompt="p", action="rain")
    assert store.votes.show("ann").frames == FRAMES


def test_a_takeover_that_was_killed_leaves_the_old_database(tmp_path, monkeypatch):
    """An error in the middle of the steps undoes all of them: the next start takes over as if nothing had been."""
    file = tmp_path / "huvidpo.db"
    with sqlite3.connect(file) as connection:
        connection.executescript(FIRST_VERSION + "CREATE TABLE ratings (id TEXT);")
    with pytest.raises(UserError, match="already exists"):
        Database(file)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"clips", "ratings"}
    connection.execute("DROP TABLE ratings")
    connection.close()
    Database(file).close()


def test_a_newer_schema_is_refused_with_a_sentence(open_store):
    """A database that a later version has migrated is left alone."""
    with open_store().database._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    with pytest.raises(UserError, match=f"newer version of HuViDPO Lab .schema 0099; this one knows {HEAD}."):
        open_store()


@pytest.mark.parametrize(
    "address", ["nonsense", "mysql://u:hush@h/d", "postgresql://u:hush@127.0.0.1:1/d", "sqlite://"]
)
def test_an_address_that_leads_nowhere_is_a_sentence_without_the_password(tmp_path, monkeypatch, address):
    """Set in the environment, as on a server."""
    monkeypatch.setenv("HUVIDPO_DATABASE_URL", address)
    with pytest.raises(UserError, match="HUVIDPO_DATABASE_URL") as error:
        Store(tmp_path)
    assert "hush" not in str(error.value)


def test_the_database_itself_refuses_a_vote_without_a_showing(store):
    """Foreign keys are on: a row that refers to nothing is an error, whoever writes it."""
    insert = text(
        "INSERT INTO votes (id, created, showing, rater, choice, seconds) VALUES ('v', 0, 's', 'r', 'tie', 0)"
    )
    with pytest.raises(UserError, match=r"(?i)foreign key"), store.database.writing() as session:
        session.execute(insert)


def test_a_reader_sees_one_state(open_store):
    """What another process commits between two queries of one session is not seen by the second: no half vote."""
    one, other = open_store(), open_store()
    add_pair(one, "p")
    showing = one.votes.show("ann")
    count = select(func.count()).select_from(VoteRow)
    with one.database.reading() as session:
        assert session.scalar(count) == 0
        other.votes.vote(showing.id, "ann", Ballot("left"))
        assert session.scalar(count) == 0
    assert len(one.votes.history()) == 1


@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
def test_a_server_that_cut_the_connections_is_connected_to_again(store, address):
    """As after its restart: the next use notices."""
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        others = "pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        assert connection.scalar(text(f"SELECT count(pg_terminate_backend(pid)) FROM {others}"))
    engine.dispose()
    assert store.list() == []
