"""Pinned training sets: rows that have an identity.

Rules
1. The identity is a digest of the *content*: schema, then every column's values, in the order in which rows were
   pinned (sorted by the caller's key). It does not depend on Parquet, compression or library versions.
2. The folder is named by that digest, written once, and complete when it has its name.
3. `open_training_set` recomputes the digest before it returns a row.
4. Provenance stands in the lineage document ``training-set`` and not in the folder: snapshot ids are random, identity
   is not.

Digest: SHA-256 over the canonical JSON ``{"rows", "columns": [{"name", "type", "digest"}], "extras": {name: digest}}``.
A column's digest is over its validity (one byte per row) and its values: little-endian numbers with 0 where null and
one NaN; texts as int32 lengths (-1 where null) and then all UTF-8 bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from appliance.base import atomic
from appliance.base.canonical import canonical
from appliance.base.digest import PREFIX, digest_bytes, digest_file, digest_json, hex_of
from appliance.base.errors import ApplianceError
from appliance.features import codes
from appliance.governance.lineage import FileRecord

ROWS = "rows.parquet"
KIND = "training-set"  # of the lineage document


class LineageWriter(Protocol):
    """What is needed of `appliance.governance.lineage.Lineage`."""

    def write(
        self, *, kind: str, name: str, files: Sequence[FileRecord], inputs: Sequence[str], facts: Mapping[str, Any]
    ) -> str: ...


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """A pinned training set. `lineage_id` is empty when it was opened and not pinned here."""

    folder: Path
    digest: str
    lineage_id: str
    rows: int


def pin(
    table: pa.Table,
    *,
    folder: Path,
    site_folder: Path,
    name: str,
    lineage: LineageWriter,
    inputs: Sequence[str],
    facts: Mapping[str, Any],
    extras: Mapping[str, Any] | None = None,
) -> TrainingSet:
    """Write `table` as the training set `name` under `folder`, then its lineage document.

    Args:
        table: rows in their final order.
        inputs: ids of the lineage documents of what was read.
        facts: of the lineage document; digest and rows are added.
        extras: further documents (JSON without floats) that the job needs, part of the identity.

    Raises:
        ApplianceError: APL-FEATURES-008 for no rows, APL-BASE-002 when it cannot be written.
    """
    if table.num_rows == 0:
        raise ApplianceError(codes.TRAINING_SET_EMPTY, f"training set {name} would hold no rows")
    table = table.combine_chunks().replace_schema_metadata(None)
    documents = {f"{key}.json": canonical(value) for key, value in sorted((extras or {}).items())}
    digest = content_digest(table, {key: digest_bytes(data) for key, data in documents.items()})
    target = folder / hex_of(digest)
    if not target.exists():
        _write(target, table, documents)
    lineage_id = lineage.write(
        kind=KIND,
        name=name,
        files=[file_record(target / entry, site_folder) for entry in sorted((ROWS, *documents))],
        inputs=list(inputs),
        facts={**facts, "digest": digest, "rows": table.num_rows},
    )
    return TrainingSet(folder=target, digest=digest, lineage_id=lineage_id, rows=table.num_rows)


def file_record(path: Path, site_folder: Path) -> FileRecord:
    """`path` as a lineage document names it."""
    return FileRecord(path=path.relative_to(site_folder).as_posix(), digest=digest_file(path), size=path.stat().st_size)


def open_training_set(folder: Path, digest: str) -> tuple[pa.Table, dict[str, bytes]]:
    """The rows and extra documents (file name -> canonical bytes) of a pinned training set.

    Raises:
        ApplianceError: APL-FEATURES-007, they are not what was pinned under `digest`.
    """
    try:
        table = pq.read_table(folder / ROWS).combine_chunks().replace_schema_metadata(None)
        documents = {path.name: path.read_bytes() for path in sorted(folder.glob("*.json"))}
    except (OSError, pa.ArrowInvalid) as error:
        raise ApplianceError(codes.TRAINING_SET_ALTERED, f"cannot be read: {error}", where=str(folder)) from error
    got = content_digest(table, {name: digest_bytes(data) for name, data in documents.items()})
    if got != digest:
        raise ApplianceError(codes.TRAINING_SET_ALTERED, f"expected {digest}, got {got}", where=str(folder))
    return table, documents


def content_digest(table: pa.Table, extras: Mapping[str, str]) -> str:
    """The identity of rows and extra documents (name -> digest); see the module's docstring."""
    columns = [
        {"name": field.name, "type": str(field.type), "digest": _column_digest(table[field.name])}
        for field in table.schema
    ]
    return digest_json({"rows": table.num_rows, "columns": columns, "extras": dict(extras)})


def _column_digest(column: pa.ChunkedArray) -> str:
    hasher = hashlib.sha256()
    hasher.update(pc.is_valid(column).to_numpy().astype(np.uint8).tobytes())
    kind = column.type
    if pa.types.is_string(kind):
        lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy().astype("<i4")
        hasher.update(lengths.tobytes())
        hasher.update("".join(text for text in column.to_pylist() if text is not None).encode())
    elif pa.types.is_floating(kind):
        values = pc.fill_null(column, 0.0).to_numpy().astype("<f8")
        hasher.update(np.where(np.isnan(values), np.nan, values).tobytes())
    elif pa.types.is_boolean(kind):
        hasher.update(pc.fill_null(column, False).to_numpy().astype(np.uint8).tobytes())
    elif pa.types.is_timestamp(kind) or pa.types.is_integer(kind):
        hasher.update(pc.fill_null(column.cast(pa.int64()), 0).to_numpy().astype("<i8").tobytes())
    else:
        raise ApplianceError(codes.TRAINING_SET_ALTERED, f"a column of type {kind} has no canonical form")
    return PREFIX + hasher.hexdigest()


def _write(target: Path, table: pa.Table, documents: Mapping[str, bytes]) -> None:
    # Built under a temporary name and renamed as a whole: a folder with a digest for a name is complete.
    building = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    atomic.remove_tree(building)
    for name, data in documents.items():
        atomic.write_bytes(building / name, data)
    with atomic.open_atomic(building / ROWS) as file:
        pq.write_table(table, file, compression="zstd", compression_level=1)
    try:
        building.rename(target)
    except OSError:  # another process pinned the same content first
        if not target.exists():
            raise
        shutil.rmtree(building)
    atomic.fsync_folder(target.parent)
