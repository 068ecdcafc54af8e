"""What becomes of a dropped file that holds, or may hold, sensitive data: decided before any of its bytes is stored.

Rules
1. Every column is examined, also those that the mapping ignores, and the texts of refused lines.
2. A declared column that is found sensitive and that the mapping says nothing about stops the whole file (`SENSITIVE`).
3. A file is sealed when its mapping seals a column, when anything was found in it, or when it could not be looked at:
   then no byte of it is stored in clear, nor what a reason quotes of it.
4. Each line is sealed with the key of its subject. What has none that is known, such as a line with too few fields, is
   sealed with a key of the file, which goes with the first of its subjects that is erased.
5. Lines of an erased subject are not kept at all: only their numbers are, refused as `ERASED`. When a file comes again
   whose own key was destroyed, what belongs to nobody that is known is not kept either.
6. The same file, mapping and keys give the same bytes, so that a retry after a crash writes what is there already.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from appliance.base import atomic
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.ingestion.drop_rows import DropRows, Refusal
from appliance.ingestion.mapping import Column, Mapping
from appliance.ingestion.reasons import BY_CODE
from appliance.ingestion.sensitive import codes, sealing
from appliance.ingestion.sensitive.detectors import NONE
from appliance.ingestion.sensitive.examination import Finding, examine
from appliance.ingestion.sensitive.sealing import CLEAR, place_of
from appliance.storage import names
from appliance.trust.codes import SEALED_ALTERED
from appliance.trust.data_keys import DataKey, DataKeys

REFUSED_TEXTS = "(text of refused lines)"
TABLE, SUBJECT, FILE = "table", "subject", "file"  # kinds of names that keys belong to


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was found in a file: `undeclared` stops it, `seal` says that nothing of it is stored in clear."""

    undeclared: tuple[Finding, ...]
    seal: bool


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a file comes from."""

    source: str
    position: int


def judge(mapping: Mapping, rows: DropRows) -> Judgement:
    """Examine a file as it was read (rules 1 to 3). Pure."""
    read = rows.read.schema.names
    by_word = {
        said: {
            each.origin: rows.read[each.origin]
            for each in mapping.column
            if each.sensitive == said and each.origin in read
        }
        for said in ("", NONE)
    }
    undeclared = examine(by_word[""])
    overruled = {each.tag for each in examine(by_word[NONE])}
    texts = examine({REFUSED_TEXTS: pa.chunked_array([[each.text for each in rows.refusals]], pa.string())})
    seal = (
        mapping.sealed
        or bool(undeclared)
        or rows.ignored is None
        or bool(examine(rows.ignored))
        or any(each.tag not in overruled for each in texts)
    )
    return Judgement(undeclared=undeclared, seal=seal)


def stopped(rows: DropRows, undeclared: tuple[Finding, ...]) -> DropRows:
    """The file as one that is refused whole, until a declaration says what its columns are."""
    detail = "; ".join(each.describe() for each in undeclared)
    refusal = Refusal(line=None, code="SENSITIVE", detail=detail, text="")
    return replace(rows, table=pa.table({}), refusals=(refusal,), lines=0)


class Intake:
    """Seals files with the data keys of a site."""

    def __init__(self, keys: DataKeys) -> None:
        self._keys = keys

    def content_of(self, data: bytes) -> str:
        """A keyed hash by which equal files are known, 64 hexadecimal digits."""
        return self._keys.token("content", digest_bytes(data))

    def seal(self, data: bytes, content: str, mapping: Mapping, rows: DropRows, place: Place) -> tuple[bytes, DropRows]:
        """What the object store keeps of the file, and its rows and refusals as the tables take them.

        Raises:
            ApplianceError: those of the data keys.
        """
        ids = self._subject_ids(mapping, rows)
        file_id = self._keys.id_of(FILE, content)
        owner = self._keys.id_of(TABLE, mapping.table)
        found = self._keys.ensure([*ids.values(), file_id, owner])
        keys = {id: key for id, key in found.items() if key is not None}
        erased = frozenset(line for line, id in ids.items() if id not in keys)
        kept = {line: id for line, id in ids.items() if line not in erased}
        parts = _parts(data, mapping, rows, kept, erased, file_id)
        stored = sealing.seal_file(
            bytes.fromhex(content), [part for part in parts if part[0] in keys or part[0] == CLEAR], keys
        )
        refusals = [
            *(
                _sealed_refusal(each, keys.get(kept.get(each.line or 0, file_id)), place)
                for each in rows.refusals
                if each.line not in erased
            ),
            *(Refusal(line=line, code="ERASED", detail=BY_CODE["ERASED"].title, text="") for line in sorted(erased)),
        ]
        table = _without(rows.table, erased)
        return stored, replace(
            rows,
            table=_sealed_rows(table, mapping, kept, keys, owner, place, self._keys) if table.num_rows else table,
            refusals=tuple(sorted(refusals, key=lambda each: each.line or 0)),
        )

    def original(self, stored: bytes) -> tuple[bytes, int]:
        """The bytes of a sealed file, without those whose keys are gone, and the number of stretches that are missing.

        Raises:
            ApplianceError: APL-SENSITIVE-003, APL-TRUST-038, and those of the data keys.
        """
        file = sealing.parse_file(stored)
        return sealing.open_file(file, self._keys.get(sorted(file.key_ids)))

    def reopened(self, data: bytes) -> bytes:
        """What was sealed in `seal_refused`, when somebody drops that file again; anything else as it is.

        Raises:
            ApplianceError: those of the data keys.
        """
        if not sealing.is_sealed_file(data):
            return data
        try:
            plain, gone = self.original(data)
        except ApplianceError as error:
            if error.code not in (codes.NOT_SEALED, SEALED_ALTERED):
                raise
            return data  # it only begins like one: it is refused as any file that cannot be read
        return data if gone else plain

    def seal_refused(self, path: Path, name: str) -> None:
        """Seal a file that the spool did not take, where it lies and however large it is; `name` tells it from others.

        Raises:
            ApplianceError: APL-BASE-002, and those of the data keys.
        """
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            if sealing.is_sealed_file(file.read(len(sealing.MAGIC))):
                return
            content = self._keys.token("refused", name)
            id = self._keys.id_of(FILE, content)
            key = self._keys.ensure([id])[id]
            assert key is not None  # nobody erases what has no subject
            file.seek(0)
            with atomic.open_atomic(path, mode=0o600) as target:
                size = os.fstat(file.fileno()).st_size
                for piece in sealing.seal_stream(file, size, bytes.fromhex(content), key):
                    target.write(piece)

    def _subject_ids(self, mapping: Mapping, rows: DropRows) -> dict[int, bytes]:
        """Line -> id of the key of its subject, for the lines that name one."""
        column = next((each for each in mapping.column if each.name == mapping.subject), None)
        if column is None or column.origin not in rows.read.schema.names:
            return {}
        by_name: dict[str, bytes] = {}
        found = {}
        texts = rows.read[column.origin].cast(pa.string()).to_pylist()
        for line, name in zip(rows.read["line"].to_pylist(), texts, strict=True):
            if name:
                if name not in by_name:
                    by_name[name] = self._keys.id_of(SUBJECT, name)
                found[line] = by_name[name]
        return found


def _without(table: pa.Table, lines: frozenset[int]) -> pa.Table:
    if not lines or not table.num_rows:
        return table
    return table.filter(pa.array([line not in lines for line in table["line"].to_pylist()]))


def _sealed_refusal(refusal: Refusal, key: DataKey | None, place: Place) -> Refusal:
    """Code and detail stay; the text and what else quotes the file are sealed together, or go where the key is gone."""
    if key is None:
        return replace(refusal, quoted="", text="")
    where = place_of(names.DROPS_QUARANTINE, "text", place.source, place.position, refusal.line or 0)
    text = json.dumps({"quoted": refusal.quoted, "text": refusal.text})
    return replace(refusal, quoted="", text=sealing.seal_text(text, key, where))


def _sealed_rows(
    table: pa.Table,
    mapping: Mapping,
    subjects: MappingOf[int, bytes],
    keys: MappingOf[bytes, DataKey],
    owner: bytes,
    place: Place,
    tokens: DataKeys,
) -> pa.Table:
    lines = table["line"].to_pylist()
    by_row = [keys[subjects.get(line, owner)] for line in lines]
    for column in mapping.column:
        if not column.sealed:
            continue
        texts = as_text(table[column.name]).to_pylist()
        sealed = [
            None
            if text is None
            else sealing.seal_text(
                text, key, cell_place(mapping.table, column.name, place.source, place.position, line)
            )
            for text, key, line in zip(texts, by_row, lines, strict=True)
        ]
        at = table.column_names.index(column.name)
        table = table.set_column(at, column.name, pa.array(sealed, pa.string()))
        if column.join:
            known = {text: token_of(tokens, column, text) for text in set(texts) if text is not None}
            table = table.append_column(column.token, pa.array([known.get(text) for text in texts], pa.string()))
    return table


def cell_place(table: str, column: str, source: str, position: int, line: int) -> bytes:
    """The place of a cell, which its sealed value is bound to."""
    return place_of(table, column, source, position, line)


def token_of(keys: DataKeys, column: Column, text: str) -> str:
    """Equal for equal values under one tag, in whatever table they stand."""
    return keys.token(column.sensitive, text)


def as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as text, instants as RFC 3339."""
    if pa.types.is_timestamp(values.type):
        texts = [None if each is None else each.isoformat() for each in values.to_pylist()]
        return pa.chunked_array([texts], pa.string())
    return values.cast(pa.string())


def _parts(
    data: bytes,
    mapping: Mapping,
    rows: DropRows,
    subjects: MappingOf[int, bytes],
    erased: frozenset[int],
    file_id: bytes,
) -> list[tuple[bytes, bytes]]:
    """Stretches of the file with the key of each; lines of erased subjects are left out.

    A file whose lines cannot be told apart is one stretch under its own key. That of a subject which is erased already
    keeps nothing then.
    """
    whole = [(file_id, b"" if erased else data)]
    if not subjects and not erased:
        return whole
    pieces = _lines(data, mapping)
    if pieces is None or (mapping.format == "csv" and len(pieces) != rows.lines):
        return whole
    head = data[: len(data) - sum(len(piece) for _, piece in pieces)] if mapping.format == "csv" else b""
    parts = [(CLEAR, head)] if head else []
    named = _names(mapping, rows)
    for number, piece in pieces:
        if number not in erased:
            # The line must hold the name that it is filed under, else it might be somebody else's.
            mine = number in subjects and named[number] in piece
            parts.append((subjects[number] if mine else file_id, piece))
    return parts


def _names(mapping: Mapping, rows: DropRows) -> dict[int, bytes]:
    """Line -> name of its subject as the file writes it."""
    (column,) = (each for each in mapping.column if each.name == mapping.subject)
    texts = rows.read[column.origin].cast(pa.string()).to_pylist()
    pairs = zip(rows.read["line"].to_pylist(), texts, strict=True)
    if mapping.format == "jsonl":
        # JSON writes some characters as escapes; a name with them goes with the file.
        return {line: json.dumps(text, ensure_ascii=False).encode() for line, text in pairs if text is not None}
    return {line: text.encode(mapping.encoding, "replace") for line, text in pairs if text is not None}


def _lines(data: bytes, mapping: Mapping) -> list[tuple[int, bytes]] | None:
    """Lines of data with their numbers, as the readers count them; None where bytes do not tell."""
    if mapping.format == "parquet" or (mapping.format == "csv" and not _is_ascii_like(mapping.encoding)):
        return None
    pieces = data.splitlines(keepends=True) if mapping.format == "csv" else data.split(b"\n")
    if mapping.format == "jsonl":
        ended = [piece + b"\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
        return list(enumerate(ended, start=1))
    joined = _quoted_together(pieces)
    filled = [each for each in joined if each.strip(b"\r\n")]
    if len(filled) != len(joined):  # empty lines: the reader passes them over, and so they would be lost here
        return None
    return list(enumerate(joined[1:], start=1))


def _quoted_together(pieces: list[bytes]) -> list[bytes]:
    """Lines within one pair of quotes are one."""
    found: list[bytes] = []
    open_quote = False
    for piece in pieces:
        if open_quote:
            found[-1] += piece
        else:
            found.append(piece)
        open_quote ^= piece.count(b'"') % 2 == 1
    return found


def _is_ascii_like(encoding: str) -> bool:
    """Whether line ends and quotes are the bytes of ASCII, and no part of another character."""
    return codecs.lookup(encoding).name in ("utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "cp1250")
