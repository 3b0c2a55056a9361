"""Stories: documents that are near-copies of one another (wire texts, light edits), found one document at a time.

Two documents are near-copies when the Jaccard similarity of their word 5-shingles, estimated by MinHash (Broder 1997), is
``THRESHOLD`` or more. A story is a connected component of that relation, named by its smallest document id, so that it does
not depend on the order in which its documents came.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, select, union_all, update

from corpus.tables import bands, signatures

if TYPE_CHECKING:
    from datasketch import MinHash

# A changed word changes the five shingles that it stands in. Ten changed words of three hundred leave 250 of 350 shingles in
# common, 0.71: that is a light edit. Two reports of one event, written apart, share below 0.1.
THRESHOLD = 0.7
SHINGLE = 5
PERMUTATIONS = 128
MINIMUM = 20  # words; shorter texts (headlines, stubs) share formulas, not authors: only the same text is a copy

# What datasketch's MinHashLSH chooses for THRESHOLD where a miss weighs nine times as much as a false find (a test asks it):
# the bands only propose and the estimate decides, so a false find costs a comparison and a miss costs the story. Of pairs
# with similarity 0.7, 0.8 and 0.9 they propose 92, 99.8 and 100 in a hundred; at 0.4, 8. Fixed here, since another choice
# makes the stored keys void and needs a migration.
BANDS, ROWS = 20, 6

# A boilerplate passage puts any number of documents behind one key. A look-up takes the first of each key in the order of
# ids: at most BANDS * CANDIDATES rows however large the store. Stories are exactly the components while no key has more
# documents; beyond, a near-copy is missed only if all keys that it shares with its story are so full of others.
CANDIDATES = 40

# Scripts without spaces between words: each character counts as a word there (Thai to Khmer, kana, Han and its extensions).
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")
# The first documents of each key, with their stories and signatures. Made once: to put a statement together takes longer
# than to execute it.
_FIRSTS = [
    select(bands.c.document).where(bands.c.key == bindparam(f"key{b}")).order_by(bands.c.document).limit(bindparam("most"))
    for b in range(BANDS)
]
_CANDIDATES = select(signatures.c.story, signatures.c.signature).where(
    signatures.c.document.in_(union_all(*(select(first.subquery().c.document) for first in _FIRSTS)))
)
_MERGE = update(signatures).where(signatures.c.story == bindparam("other")).values(story=bindparam("into"))

_BATCH = 4096  # shingles at once; each takes 512 bytes on the way


@cache
def _blank() -> MinHash:
    from datasketch import MinHash  # deferred: brings scipy

    # CRC-32 is weak as a hash; the scheme mixes it before it permutes. The seed and the scheme are part of the stored form.
    return MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=zlib.crc32, scheme="affine32")


def signature(text: str) -> bytes | None:
    """Return the MinHash of a text's shingles: 128 little-endian 32-bit numbers; None for a text of fewer than 20 words."""
    words = _WORD.findall(text.casefold())
    if len(words) < MINIMUM:
        return None
    sketch = _blank().copy()
    for first in range(0, len(words) - SHINGLE + 1, _BATCH):
        last = min(first + _BATCH, len(words) - SHINGLE + 1)
        sketch.update_batch(" ".join(words[i : i + SHINGLE]).encode() for i in range(first, last))
    return bytes(sketch.hashvalues.astype("<u4").tobytes())


def band_keys(signature: bytes) -> list[int]:
    """Return the keys under which a signature is found: BANDS signed 64-bit numbers, each a hash of a band and its place."""
    width = ROWS * 4
    return [
        int.from_bytes(
            hashlib.blake2b(signature[b * width : (b + 1) * width], digest_size=8, salt=b.to_bytes(2, "big")).digest(),
            "big",
            signed=True,
        )
        for b in range(BANDS)
    ]


def similarities(signature: bytes, others: Sequence[bytes]) -> NDArray[np.float64]:
    """Return the estimated Jaccard similarity of one signature with each of others, shape (others,)."""
    if not others:
        return np.zeros(0)
    one = np.frombuffer(signature, dtype="<u4")
    many = np.frombuffer(b"".join(others), dtype="<u4").reshape(len(others), PERMUTATIONS)
    return np.asarray((many == one).mean(axis=1), dtype=np.float64)


def join_story(connection: Connection, document: str, signature: bytes | None) -> str:
    """Return the story of a document that is not stored yet, after merging the stories between which it is a bridge.

    Call it inside a transaction that holds the write lock.
    """
    if signature is None:
        return document
    keys = {f"key{b}": key for b, key in enumerate(band_keys(signature))}
    rows = connection.execute(_CANDIDATES, {**keys, "most": CANDIDATES}).all()
    near = similarities(signature, [row.signature for row in rows]) >= THRESHOLD
    found: set[str] = {row.story for row, is_near in zip(rows, near, strict=True) if is_near}
    story = min({document, *found})
    if others := sorted(found - {story}):
        connection.execute(_MERGE, [{"other": other, "into": story} for other in others])
    return story
