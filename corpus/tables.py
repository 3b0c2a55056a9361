"""The store's tables, as they stand in the newest version of the schema. SQLite and PostgreSQL get the same ones."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

# Sorted by code point in both databases: a page of results must not depend on a server's locale.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_HASH = String(33).with_variant(String(33, collation="C"), "postgresql")

meta = Table(
    "meta",
    metadata,
    Column("name", _TEXT, primary_key=True),
    Column("value", _TEXT, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", _TEXT, primary_key=True),
    Column("started", _TEXT, nullable=False),
    Column("finished", _TEXT),
    Column("sources", _TEXT, nullable=False),  # JSON list
)

# Addresses have no greatest length, but PostgreSQL's index entries have (2,704 bytes). So ``address``, the hash of the URL
# as it was fetched, is what is looked up, and ``place``, its first characters, is what is sorted by.
snapshots = Table(
    "snapshots",
    metadata,
    Column("id", _TEXT, primary_key=True),
    Column("run", _TEXT, nullable=False),
    Column("source", _TEXT, nullable=False),
    Column("role", _TEXT, nullable=False),
    Column("url", _TEXT, nullable=False),
    Column("address", _HASH, nullable=False),
    Column("place", _TEXT, nullable=False),
    Column("date", _TEXT, nullable=False),
    Column("status", Integer),
    Column("mime", _TEXT),
    Column("digest", _TEXT, nullable=False),
    Column("refers_to", _TEXT),
    Column("file", _TEXT, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("hints", _TEXT, nullable=False),  # JSON object, ASCII only
    Index("snapshots_by_run", "run", "source", "role", "place", "address", "date", "id"),
    Index("snapshots_by_address", "address", "date"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("run", _TEXT, primary_key=True),
    Column("source", _TEXT, primary_key=True),
    Column("address", _HASH, primary_key=True),
    Column("url", _TEXT, nullable=False),
    Column("outcome", _TEXT, nullable=False),
    Column("reason", _TEXT),
    Column("document", _HASH, ForeignKey("documents.id")),
    Column("snapshot", _TEXT),
)

# Rows are written once and never changed. ``address`` and ``content`` are the two halves of the id.
documents = Table(
    "documents",
    metadata,
    Column("id", _HASH, primary_key=True),
    Column("address", _HASH, nullable=False),
    Column("content", _HASH, nullable=False, unique=True),
    Column("url", _TEXT, nullable=False),
    Column("text", _TEXT, nullable=False),
    Column("publisher", _TEXT),
    Column("published", _TEXT),
    Column("retrieved", _TEXT),
    Column("title", _TEXT),
    Column("language", _TEXT),
    Column("kind", _TEXT),
    Column("snapshot", _TEXT),
    Column("revision", Integer, nullable=False),
    Column("author", _TEXT),
    Column("source", _TEXT),
    Column("rights", _TEXT),
    Column("relevance", _TEXT),
    Column("pages", _TEXT, nullable=False),  # JSON list
    Index("documents_by_address", "address"),
)

# ``address`` is the hash of the canonical URL: http and https, or a tracking parameter, make no second location.
locations = Table(
    "locations",
    metadata,
    Column("document", _HASH, ForeignKey("documents.id"), primary_key=True),
    Column("address", _HASH, primary_key=True),
    Column("url", _TEXT, nullable=False),
    Column("source", _TEXT, nullable=False),
    Column("snapshot", _TEXT),
    Column("first_seen", _TEXT, nullable=False),
    Column("last_seen", _TEXT, nullable=False),
    Index("locations_by_address", "address"),
)

statements = Table(
    "statements",
    metadata,
    Column("id", _TEXT, primary_key=True),
    Column("document", _HASH, ForeignKey("documents.id"), nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("text", _TEXT, nullable=False),
    Column("before", _TEXT, nullable=False),
    Column("after", _TEXT, nullable=False),
    Column("voice", _TEXT),
    Column("holder", _TEXT),
    Index("statements_by_document", "document", "start", "end"),
)

# One row a document. The story stands here and not in ``documents``, so that a merger of stories rewrites no texts.
signatures = Table(
    "signatures",
    metadata,
    Column("document", _HASH, ForeignKey("documents.id"), primary_key=True),
    Column("story", _HASH, nullable=False),
    Column("signature", LargeBinary),  # null where the text is too short to be compared
    Index("signatures_by_story", "story"),
)

bands = Table(
    "bands",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("document", _HASH, primary_key=True),
    sqlite_with_rowid=False,
)
