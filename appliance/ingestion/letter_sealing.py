"""Sealing of letters before anything of them is stored, each under a data key of its own, so that one can be destroyed.

Rules
1. A letter is a record or file that gave faults and no reading batch. One that gave batches too is none: its bytes are
   what its rows are compared with.
2. What is sealed is the record as it came: key, value and headers. Its place is source and position, so that a retry
   gives the same bytes.
3. The keys of all letters of a commit are made at once, before its first object is put. Without letters no key is
   asked for.
4. A letter whose key was destroyed is not kept when it comes again: only its faults and its size are.
5. Where the site's key store wraps no data keys (a token), letters are kept in clear, as they all were once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pyarrow as pa

from appliance.base.errors import ApplianceError
from appliance.ingestion.decode import Decoded, Fault
from appliance.ingestion.segment import SealedLetter, Segment, value_sizes
from appliance.ingestion.sensitive.sealing import place_of
from appliance.trust.codes import DATA_KEYS_UNUSABLE
from appliance.trust.data_keys import DataKey, DataKeys
from appliance.trust.keystores.codes import WRAPS_NO_DATA_KEYS

LETTER = "letter"  # kind of names that keys belong to
SEALED_COLUMNS = ("key", "value", "headers")
Place = tuple[str, int]  # source and position


class Content(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed of a record, as MessagePack; a file of a spool is a value alone."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, kw_only=True)
class Unsealed:
    """Records of one source that are not stored yet, with the faults of the letters among them, by place."""

    source: str
    segment: Segment
    faults: Mapping[int, tuple[Fault, ...]]


def name_of(place: Place) -> str:
    """The name of a letter, as its key and the records of the audit have it."""
    source, position = place
    return f"{source}:{position}"


def faults_of_letters(decoded: Decoded) -> dict[int, tuple[Fault, ...]]:
    """Place -> faults, of the records of a decoded segment that are letters (rule 1)."""
    if not decoded.faults:
        return {}
    found: dict[int, tuple[Fault, ...]] = {}
    batches = set(decoded.headers["record"].to_pylist())
    for fault in decoded.faults:
        place = fault.record or 0
        if place not in batches:
            found[place] = (*found.get(place, ()), replace(fault, record=0))
    return found


class LetterSeal:
    """Seals and opens letters with the data keys of a site."""

    def __init__(self, keys: DataKeys) -> None:
        self._keys = keys

    def seal(self, given: Sequence[Unsealed]) -> list[Segment]:
        """The segments as they are stored.

        Raises:
            ApplianceError: APL-TRUST-037, APL-BASE-002, and those of the key store. Nothing is sealed then.
        """
        if not any(each.faults for each in given):
            return [each.segment for each in given]
        try:
            keys = self._keys_of(_places(given))
        except ApplianceError as error:
            if error.code != WRAPS_NO_DATA_KEYS:
                raise
            return [each.segment for each in given]
        return [_sealed(each, keys) if each.faults else each.segment for each in given]

    def open(self, letters: Mapping[Place, SealedLetter]) -> dict[Place, bytes | None]:
        """The values as they came, empty for a record without one; None for letters that were purged.

        Raises:
            ApplianceError: APL-TRUST-037 the key is missing, APL-TRUST-038, and those of the key store.
        """
        ids = {place: self._keys.id_of(LETTER, name_of(place)) for place in letters}
        keys = self._keys.get(list(ids.values()))
        found: dict[Place, bytes | None] = {}
        for place, letter in letters.items():
            if ids[place] not in keys:
                raise ApplianceError(DATA_KEYS_UNUSABLE, f"letter {name_of(place)} has no key")
            key = keys[ids[place]]
            if key is None or letter.sealed is None:
                found[place] = None
                continue
            plain = key.open(letter.sealed, _bound_to(place))
            found[place] = msgspec.msgpack.decode(plain, type=Content).value or b""
        return found

    def _keys_of(self, places: Sequence[Place]) -> dict[Place, DataKey | None]:
        ids = {place: self._keys.id_of(LETTER, name_of(place)) for place in places}
        keys = self._keys.ensure(list(ids.values()))
        return {place: keys[id] for place, id in ids.items()}


def _places(given: Iterable[Unsealed]) -> list[Place]:
    return [
        (each.source, each.segment.records["offset"][place].as_py()) for each in given for place in sorted(each.faults)
    ]


def _sealed(given: Unsealed, keys: Mapping[Place, DataKey | None]) -> Segment:
    records, sizes = given.segment.records, value_sizes(given.segment)
    letters = {}
    for place in sorted(given.faults):
        record = {name: records[name][place].as_py() for name in ("offset", *SEALED_COLUMNS)}
        at = (given.source, record["offset"])
        headers = tuple((each["key"], each["value"]) for each in record["headers"] or ())
        content = Content(key=record["key"], value=record["value"], headers=headers)
        key = keys[at]
        letters[place] = SealedLetter(
            faults=given.faults[place],
            size_bytes=int(sizes[place]),
            sealed=None if key is None else key.seal(msgspec.msgpack.encode(content), _bound_to(at)),
        )
    return replace(given.segment, records=_without(records, list(letters)), letters=letters)


def _without(records: pa.Table, places: Sequence[int]) -> pa.Table:
    """With nulls in place of what is sealed. `take` copies what stays: no buffer holds the other bytes any more."""
    masked = np.zeros(records.num_rows, np.bool_)
    masked[list(places)] = True
    kept = pa.array(np.arange(records.num_rows), mask=masked)
    for name in SEALED_COLUMNS:
        at = records.schema.get_field_index(name)
        records = records.set_column(at, records.schema.field(at), records[name].take(kept))
    return records


def _bound_to(place: Place) -> bytes:
    return place_of(LETTER, *place)
