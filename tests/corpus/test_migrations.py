from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, inspect

from corpus.database import Database, open_database
from corpus.errors import RecordError
from corpus.identity import document_id
from corpus.migrations import VERSION, version
from corpus.records import Document
from corpus.runs import Location, Outcome
from corpus.store import Store


def _form(database: Database) -> dict[str, object]:
    """Tables with their columns, keys and indexes; the order of columns says nothing."""
    with database.read() as connection:
        inspector = inspect(connection)
        return {
            table: (
                {(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)},
                inspector.get_pk_constraint(table)["constrained_columns"],
                {(i["name"], tuple(i["column_names"])) for i in inspector.get_indexes(table)},
            )
            for table in inspector.get_table_names()
        }


def _back_to_version_1(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE documents DROP COLUMN author")
    connection.exec_driver_sql("UPDATE meta SET value = '1' WHERE name = 'schema'")


def _put(url: str) -> Document:
    text = "Ölüm, 漢字, 𠀀 and 🐟."
    document = Document(id=document_id("https://a.example/1", text), url="https://a.example/1", text=text, title="T")
    with Store.open(url) as store:
        store.put_document(
            document,
            [],
            location=Location(
                document=document.id, url=document.url, source="s", snapshot=None, first_seen="1", last_seen="1"
            ),
            outcome=Outcome(run="r", source="s", url=document.url, outcome="new"),
            signature=None,
        )
        stored = store.document(document.id)
    assert stored is not None
    return stored


def test_a_new_database_has_the_newest_version(store_url: str) -> None:
    database = open_database(store_url)
    with database.read() as connection:
        assert version(connection, "here") == VERSION == 2
    database.close()


def test_a_database_of_version_1_is_migrated_and_keeps_its_rows(store_url: str, new_store_url: Callable[[], str]) -> None:
    stored = _put(store_url)
    old = open_database(store_url)
    old.write(_back_to_version_1)
    assert ("author" in str(_form(old)["documents"])) is False
    old.close()

    with Store.open(store_url) as store:
        assert list(store.documents()) == [stored]
        assert store.counts("r") == {"s": {"new": 1}}

    migrated, made = open_database(store_url), open_database(new_store_url())
    assert _form(migrated) == _form(made)
    migrated.close()
    made.close()


def test_a_migration_that_fails_leaves_the_old_version_whole(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(store_url)
    old = open_database(store_url)
    before = _form(old)
    old.close()

    def first(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE documents ADD COLUMN extra TEXT")

    def second(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE no_such_table ADD COLUMN extra TEXT")

    with monkeypatch.context() as patch:
        patch.setattr("corpus.migrations.MIGRATIONS", (first, first, second))
        patch.setattr("corpus.migrations.VERSION", 4)
        patch.setattr("corpus.database.VERSION", 4)
        with pytest.raises(RecordError, match="no_such_table"):
            Store.open(store_url)
    now = open_database(store_url)
    assert _form(now) == before
    now.close()


def test_a_database_of_a_newer_version_is_refused_in_one_sentence(store_url: str) -> None:
    database = open_database(store_url)
    database.write(lambda c: c.exec_driver_sql("UPDATE meta SET value = '99' WHERE name = 'schema'"))
    database.close()
    with pytest.raises(RecordError, match=r"schema version 99, and this program knows versions up to 2; install a newer"):
        Store.open(store_url)


def test_a_version_that_is_no_number_is_refused(store_url: str) -> None:
    database = open_database(store_url)
    database.write(lambda c: c.exec_driver_sql("UPDATE meta SET value = 'two' WHERE name = 'schema'"))
    database.close()
    with pytest.raises(RecordError, match="'two' as version of the schema, expected a number"):
        Store.open(store_url)


def test_another_programs_database_is_refused_and_left_alone(store_url: str) -> None:
    database = open_database(store_url)
    database.write(lambda c: c.exec_driver_sql("DROP TABLE meta"))
    before = _form(database)
    with pytest.raises(RecordError, match="no table 'meta'"):
        Store.open(store_url)
    assert _form(database) == before
    database.close()


@pytest.mark.slow
def test_processes_that_open_a_fresh_database_at_once_all_find_it_whole(store_url: str) -> None:
    code = (
        "import sys; from corpus.store import Store; print('ready', flush=True); sys.stdin.readline(); "
        "s = Store.open(sys.argv[1]); print(s.stats().documents); s.close()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, store_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in started] == ["0\n"] * 4
    assert [process.returncode for process in started] == [0] * 4
