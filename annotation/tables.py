"""The ledger's tables: keys to look up by, and the record itself as JSON. They stand beside the corpus in one database."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, MetaData, Table, Text

metadata = MetaData()

_TEXT = Text().with_variant(Text(collation="C"), "postgresql")  # by code point, whatever the server's locale


def _table(name: str, *columns: Column[object] | Index) -> Table:
    return Table(f"annotation_{name}", metadata, *columns, Column("record", _TEXT, nullable=False))


def _key(name: str) -> Column[object]:
    return Column(name, _TEXT, primary_key=True)


items = _table("items", _key("statement"))
projects = _table("projects", _key("key"))
draws = _table("draws", _key("id"))
tasks = _table(
    "tasks",
    _key("project"),
    _key("statement"),
    Column("position", Integer, nullable=False),
)
sampled = _table("sampled", _key("draw"), _key("statement"))
answers = _table(
    "answers",
    _key("project"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _key("stamp"),
    Column("current", Boolean, nullable=False),
)
pulls = _table("pulls", _key("project"), _key("at"))
gold = _table(
    "gold",
    _key("statement"),
    _key("codebook_version"),
    _key("made"),
    _key("stamp"),  # of the label, so that two of one moment both stay
    Column("current", Boolean, nullable=False),
)
cases = _table("cases", _key("statement"), _key("codebook_version"))
rechecks = _table("rechecks", _key("audit"), _key("statement"))
