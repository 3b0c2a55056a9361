"""The schema's version: a new database is made at the newest one, an older database is brought to it step by step."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select, update

from corpus.errors import RecordError
from corpus.tables import meta, metadata


def _add_author(connection: Connection) -> None:
    collation = ' COLLATE "C"' if connection.dialect.name == "postgresql" else ""
    connection.exec_driver_sql(f"ALTER TABLE documents ADD COLUMN author TEXT{collation}")


# MIGRATIONS[i] brings version i + 1 to i + 2. A step is written in SQL, without ``corpus.tables``: those change.
MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_add_author,)
VERSION = len(MIGRATIONS) + 1


def version(connection: Connection, where: str) -> int | None:
    """Return the version of the schema in a database, or None where there is none yet.

    Raises:
        RecordError: when the database belongs to something else, or its version is no number or is newer than VERSION.
    """
    tables = set(inspect(connection).get_table_names())
    if meta.name not in tables:
        foreign = sorted(tables & set(metadata.tables))
        if foreign:
            raise RecordError(
                f"{where}: there is a table {foreign[0]!r} but no table 'meta', so the database belongs to another program; "
                "name another database"
            )
        return None
    found = connection.execute(select(meta.c.value).where(meta.c.name == "schema")).scalar_one_or_none()
    if found is None or not found.isascii() or not found.isdigit():
        raise RecordError(f"{where}: the table 'meta' has {found!r} as version of the schema, expected a number")
    if int(found) > VERSION:
        raise RecordError(
            f"{where}: the store has schema version {found}, and this program knows versions up to {VERSION}; "
            "install a newer treaty-stance"
        )
    return int(found)


def migrate(connection: Connection, where: str) -> None:
    """Bring the schema to VERSION, inside the caller's transaction, which must hold the write lock.

    Raises:
        RecordError: see ``version``.
    """
    found = version(connection, where)
    if found is None:
        metadata.create_all(connection)
        connection.execute(insert(meta).values(name="schema", value=str(VERSION)))
        return
    for step in MIGRATIONS[max(found, 1) - 1 :]:
        step(connection)
    connection.execute(update(meta).where(meta.c.name == "schema").values(value=str(VERSION)))
