"""A database behind the store: opened, read, and written by one process at a time, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from corpus.errors import RecordError, UsageError
from corpus.migrations import VERSION, migrate, version

_T = TypeVar("_T")

# PostgreSQL's counterpart of SQLite's write lock: an advisory lock of this number, per database.
_LOCK = 0x74737374_6F7265
_TOGETHER = 500  # items of many in one transaction
# SQLSTATE: serialization failure, deadlock, lock timeout, unique violation
_PASSING_STATES = frozenset({"40001", "40P01", "55P03", "23505"})
_PASSING_NAMES = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_CONSTRAINT_UNIQUE",
    "SQLITE_CONSTRAINT_PRIMARYKEY",
)


class Database:
    """Short transactions on one database. Writes hold a lock from their first statement on, so that each sees the last."""

    def __init__(self, engine: Engine, *, attempts: int, sleep: Callable[[float], object]) -> None:
        self._engine = engine
        self._attempts = attempts
        self._sleep = sleep
        self._sqlite = engine.dialect.name == "sqlite"
        self._upserts: dict[tuple[str, tuple[str, ...]], Insert] = {}
        self.where = engine.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that reads.

        Raises:
            RecordError: when the database refuses.
        """
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise self._refused(error) from error

    def write(self, work: Callable[[Connection], _T]) -> _T:
        """Do work in one transaction, alone among all writers; again from its beginning where another got in the way.

        Raises:
            RecordError: when the database refuses, or is still in another's hands after all attempts.
        """
        for attempt in range(self._attempts):
            if attempt:
                self._sleep(0.05 * 2**attempt)
            try:
                with self._engine.connect().execution_options(writing=True) as connection, connection.begin():
                    if not self._sqlite:
                        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
                    return work(connection)
            except DBAPIError as error:
                if not _passing(error):
                    raise self._refused(error) from error
                last = error
        raise RecordError(
            f"{self.where}: another process stood in the way of a write {self._attempts} times ({_reason(last)}); "
            "wait for it to end and start again, which loses nothing"
        ) from last

    def write_each(self, items: Iterable[_T], put: Callable[[Connection, _T], object]) -> None:
        """Put any number of items, read as they are needed, some hundreds in a transaction.

        Raises:
            RecordError: as :meth:`write`; what earlier transactions put stays.
        """
        stream = iter(items)
        while some := list(islice(stream, _TOGETHER)):
            self.write(partial(_put_all, some, put))

    def insert(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows in as few round trips as the driver allows."""
        if rows:
            # With RETURNING, SQLAlchemy sends many rows in one statement; without, pg8000 would send them one by one.
            connection.execute(insert(table) if self._sqlite else insert(table).returning(*table.primary_key), rows)

    def upsert(self, connection: Connection, table: Table, row: Mapping[str, Any], *, update: Sequence[str] = ()) -> None:
        """Insert a row; where its primary key is taken, set the columns of ``update`` there, or none."""
        made = (table.name, tuple(update))
        if made not in self._upserts:  # to put a statement together takes longer than to execute it
            plain = (sqlite.insert if self._sqlite else postgresql.insert)(table)
            keys = [column.name for column in table.primary_key]
            changes = {name: plain.excluded[name] for name in update}
            self._upserts[made] = (
                plain.on_conflict_do_update(index_elements=keys, set_=changes)
                if update
                else plain.on_conflict_do_nothing(index_elements=keys)
            )
        connection.execute(self._upserts[made], row)

    def _refused(self, error: DBAPIError) -> RecordError:
        return RecordError(
            f"{self.where}: the database refuses ({_reason(error)}); check that it is there and may be written"
        )


class Held:
    """Records in a database that is held open: a context manager that closes it at its end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Close the database's connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _put_all(items: Sequence[_T], put: Callable[[Connection, _T], object], connection: Connection) -> None:
    for item in items:
        put(connection, item)


def open_database(
    url: str, *, timeout: float = 30.0, attempts: int = 6, sleep: Callable[[float], object] = time.sleep
) -> Database:
    """Open a database, make or migrate its schema.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://USER@HOST/NAME``; the driver is pg8000 where the address names none.
        timeout: Seconds to wait for another's write, at each attempt.
        attempts: How often a write is tried before it is given up.
        sleep: Called with seconds between two attempts.

    Raises:
        UsageError: when the address is no address of a SQLite or PostgreSQL database.
        RecordError: when the database cannot be reached, is not ours, or is of a newer version.
    """
    address = _address(url)
    on_sqlite = address.get_backend_name() == "sqlite"
    try:
        engine = create_engine(address, **({"connect_args": {"timeout": timeout}} if on_sqlite else {"pool_pre_ping": True}))
    except (ArgumentError, ImportError) as error:
        raise UsageError(f"the store's address names the driver {address.drivername!r}, which is not installed") from error
    if on_sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:

        def set_up(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute(f"SET lock_timeout = {int(timeout * 1000)}")
            cursor.close()
            connection.commit()

        event.listen(engine, "connect", set_up)
    database = Database(engine, attempts=attempts, sleep=sleep)
    try:
        with database.read() as connection:
            if not on_sqlite:
                encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
                if encoding != "UTF8":
                    raise RecordError(f"{database.where}: the encoding is {encoding}, expected UTF8; make the database anew")
            current = version(connection, database.where) == VERSION
        if not current:
            database.write(lambda connection: migrate(connection, database.where))
    except BaseException:
        database.close()
        raise
    return database


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UsageError(
            "the store's address is no database URL; write sqlite:///PATH or postgresql://USER@HOST/NAME"
        ) from error
    if address.drivername in {"postgresql", "postgres"}:
        address = address.set(drivername="postgresql+pg8000")
    if address.get_backend_name() not in {"sqlite", "postgresql"}:
        raise UsageError(f"the store's address begins with {address.drivername!r}, expected sqlite or postgresql; change it")
    return address


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions at will; _begin_sqlite does
    for pragma in ("foreign_keys = ON", "synchronous = NORMAL", "cache_size = -32768", "wal_autocheckpoint = 8000"):
        connection.execute(f"PRAGMA {pragma}")
    # A lasting property of the file. Its change asks for the file alone and does not wait, hence only where it is needed.
    for attempt in range(10):
        if connection.execute("PRAGMA journal_mode").fetchone()[0] in {"wal", "memory"}:
            return
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY":
                raise
            time.sleep(0.05 * (attempt + 1))


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _passing(error: DBAPIError) -> bool:
    """Whether the same write may succeed when it is tried again."""
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return str(name).startswith(_PASSING_NAMES)
    state = getattr(error.orig, "sqlstate", None) or _fields(error).get("C")
    return error.connection_invalidated or state in _PASSING_STATES


def _fields(error: DBAPIError) -> Mapping[str, str]:
    """What PostgreSQL says of an error (C is the SQLSTATE, M the message), as pg8000 hands it on."""
    args = error.orig.args if error.orig is not None else ()
    return args[0] if args and isinstance(args[0], dict) else {}


def _reason(error: DBAPIError) -> str:
    return str(_fields(error).get("M") or error.orig).splitlines()[0]
