"""The codebook: what is annotated, in which words, with which keys. A versioned file, identified by a content hash."""

from __future__ import annotations

import re
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import yaml

from corpus.errors import CodebookError, UsageError
from corpus.identity import digest

FORMAT = 1
SHIPPED = "un-cybercrime"
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # plain in JSON, refused or folded by YAML
_ID = re.compile(r"[a-z][a-z0-9_]*")
_HOTKEY = re.compile(r"(?:(?:ctrl|alt|shift)\+)*[a-z0-9]")


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parts of a codebook."""


class Target(_Part, frozen=True, kw_only=True):
    """What positions are about. ``aliases`` are other names that texts use for it."""

    name: str
    aliases: tuple[str, ...] = ()
    description: str = ""


class StanceLabel(_Part, frozen=True, kw_only=True):
    """One stance. ``polarity`` tells tables and metrics which way it points: positive, negative, both or neutral."""

    id: str
    name: str
    definition: str
    polarity: str
    hotkey: str | None = None
    examples: tuple[str, ...] = ()


class ConcernLabel(_Part, frozen=True, kw_only=True):
    """One concern, raised by a statement whichever way its holder leans. ``group`` is a heading on the form for coders."""

    id: str
    name: str
    definition: str
    hotkey: str | None = None
    examples: tuple[str, ...] = ()
    group: str | None = None


class HolderType(_Part, frozen=True, kw_only=True):
    """One kind of holder. ``nobody`` marks the type of a statement that nobody holds."""

    id: str
    name: str
    definition: str = ""
    nobody: bool = False


class Codebook(_Part, frozen=True, kw_only=True, dict=True):
    """A whole codebook, validated on construction. Labels keep the file's order everywhere: columns, logits, tables."""

    format: int
    name: str
    version: int
    target: Target
    stances: tuple[StanceLabel, ...]
    concerns: tuple[ConcernLabel, ...]
    holder_types: tuple[HolderType, ...]
    unit: str = ""
    holder: str = ""
    rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format}, this release reads format {FORMAT}")
        if self.version < 1:
            raise ValueError(f"version is {self.version}, expected 1 or more")
        for kind, labels, least in (
            ("stance", self.stances, 2),
            ("concern", self.concerns, 1),
            ("holder type", self.holder_types, 1),
        ):
            ids = [label.id for label in labels]
            if len(ids) < least:
                raise ValueError(f"there are {len(ids)} {kind} labels, expected {least} or more")
            for i in ids:
                if not _ID.fullmatch(i):
                    raise ValueError(f"{kind} label {i!r}: expected lower-case letters, digits and underscores")
                if ids.count(i) > 1:
                    raise ValueError(f"{kind} label {i!r} stands {ids.count(i)} times; give each label its own id")
        for stance in self.stances:
            if stance.polarity not in ("positive", "negative", "both", "neutral"):
                raise ValueError(
                    f"stance label {stance.id!r}: polarity is {stance.polarity!r}, "
                    "expected positive, negative, both or neutral"
                )
        if sum(t.nobody for t in self.holder_types) > 1:
            raise ValueError("more than one holder type is marked nobody; mark one at most")
        self._check_hotkeys()

    def _check_hotkeys(self) -> None:
        owners: dict[str, str] = {}
        labels: tuple[StanceLabel | ConcernLabel, ...] = (*self.stances, *self.concerns)
        for label in labels:
            if label.hotkey is None:
                continue
            if not _HOTKEY.fullmatch(label.hotkey):
                raise ValueError(f"label {label.id!r}: hotkey {label.hotkey!r} is not a letter or digit, with modifiers")
            if label.hotkey in owners:
                raise ValueError(f"hotkey {label.hotkey!r} belongs to {owners[label.hotkey]!r} and to {label.id!r}")
            owners[label.hotkey] = label.id

    @property
    def stance_ids(self) -> tuple[str, ...]:
        """Stance labels in the order of the columns and logits."""
        return tuple(s.id for s in self.stances)

    @property
    def concern_ids(self) -> tuple[str, ...]:
        """Concern labels in the order of the columns and logits."""
        return tuple(c.id for c in self.concerns)

    @property
    def holder_type_ids(self) -> tuple[str, ...]:
        """Holder types in the order of the logits."""
        return tuple(t.id for t in self.holder_types)

    @property
    def nobody(self) -> str | None:
        """The holder type of a statement that nobody holds, if the codebook has one."""
        return next((t.id for t in self.holder_types if t.nobody), None)

    @property
    def polar_ids(self) -> tuple[str, ...]:
        """Stances that point one way: the labels over which the mean F1 of the SemEval-2016 convention is taken."""
        return tuple(s.id for s in self.stances if s.polarity in ("positive", "negative"))

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything in the codebook but the concerns' groups: another wording is another codebook."""
        content = msgspec.to_builtins(self)
        for concern in content["concerns"]:
            del concern["group"]  # where an answer stands on the form changes nothing of what it means
        return digest(msgspec.json.encode(content, order="sorted").decode("utf-8"))

    @property
    def id(self) -> str:
        """Name, version and content hash, as written on every row: ``un-cybercrime/2@0123456789abcdef``."""
        return f"{self.name}/{self.version}@{self.content_hash}"

    def check(self, *, stance: str, concerns: tuple[str, ...], holder_type: str | None, where: str) -> None:
        """Refuse labels that this codebook does not have.

        Raises:
            CodebookError: naming ``where``, the label and the labels that there are.
        """
        for kind, value, known in (
            ("stance", stance, self.stance_ids),
            *(("concern", c, self.concern_ids) for c in concerns),
            *((("holder type", holder_type, self.holder_type_ids),) if holder_type is not None else ()),
        ):
            if value not in known:
                raise CodebookError(
                    f"{where}: {kind} {value!r} is not in codebook {self.name} version {self.version}; "
                    f"it has {', '.join(known)}"
                )


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error; YAML's own rule would drop the first silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def load_codebook(path: Path | None = None) -> Codebook:
    """Load and validate a codebook file (YAML); without a path, the one that is shipped.

    Raises:
        UsageError: when the file does not exist.
        CodebookError: when it is not a codebook, naming the file and the fault.
    """
    if path is None:
        source = resources.files("annotation") / "codebooks" / f"{SHIPPED}.yaml"
        return parse_codebook(source.read_text(encoding="utf-8"), where=f"{SHIPPED}.yaml")
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(f"{path}: no such file; expected a codebook in YAML") from error
    except UnicodeDecodeError as error:
        raise CodebookError(f"{path}: expected UTF-8 text, found a byte that is not at position {error.start}") from error
    return parse_codebook(text, where=str(path))


def parse_codebook(text: str, *, where: str) -> Codebook:
    """Parse a codebook from YAML (or JSON, which is YAML).

    Raises:
        CodebookError: naming ``where`` and the fault.
    """
    try:
        value: Any = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: the 45th of May
        raise CodebookError(f"{where}: expected YAML, but {' '.join(str(error).split())}; mend that line") from error
    try:
        return msgspec.convert(value, Codebook)
    except msgspec.ValidationError as error:
        raise CodebookError(f"{where}: not a codebook, {error}; see docs/codebook.md for the form") from error


def dump_codebook(codebook: Codebook) -> str:
    """Return the codebook as JSON text that :func:`parse_codebook` reads back to an equal codebook."""
    text = msgspec.json.format(msgspec.json.encode(codebook), indent=2).decode("utf-8") + "\n"
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
