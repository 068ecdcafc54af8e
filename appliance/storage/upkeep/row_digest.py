"""A digest of a table's rows that does not depend on their order or on the files that they lie in.

Rules
1. Equal multisets of rows have equal digests; rows that differ in one bit of one value do not. NaN counts by its bits,
   null is no value.
2. Every column becomes 64-bit words: numbers and times as they are, text and bytes by BLAKE2b (128 bits) of each
   distinct value, lists by BLAKE2b of the words in them, structs by the words of their fields.
3. The order of rows is that of two 64-bit mixes over the words. They decide order only: SHA-256 is over the words
   themselves in that order, column by column. Different rows with equal mixes would give two digests to one multiset,
   never one digest to two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from appliance.base.canonical import canonical
from appliance.base.digest import PREFIX

Words = NDArray[np.uint64]

_SEEDS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03))
_BY_WIDTH = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_ABSENT = hashlib.blake2b(b"null", digest_size=16, person=b"absent").digest()


def rows_digest(table: pa.Table) -> str:
    """``sha256:<hex>`` over names and types of the columns, and the rows in whatever order.

    Raises:
        TypeError: a column has a type that no table of ours has, such as a map.
    """
    hasher = hashlib.sha256(
        canonical(
            {"rows": table.num_rows, "columns": [{"name": each.name, "type": str(each.type)} for each in table.schema]}
        )
    )
    columns = [_encoded(column.combine_chunks()) for column in table.columns]
    order = _order(columns, table.num_rows)
    for column in columns:
        # Made a second time, because the words of all columns at once would be several times the table.
        for words in _words(column).T:
            hasher.update(words[order].astype("<u8").tobytes())
    return PREFIX + hasher.hexdigest()


def _order(columns: Sequence[pa.Array], rows: int) -> NDArray[np.intp]:
    """By two mixes that each take every other word of a value; of a single word both take it."""
    mixes = [np.full(rows, seed) for seed in _SEEDS]
    for column in columns:
        words = _words(column).T
        for number, each in enumerate(words):
            if rows and (each != each[0]).any():  # what is the same in all rows orders none
                for lane in (number % 2,) if len(words) > 1 else (0, 1):
                    mixes[lane] = _mix(mixes[lane] ^ each)
    return np.lexsort(mixes)


def _mix(value: Words) -> Words:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014), in place."""
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    return value


def _encoded(array: pa.Array) -> pa.Array:
    """Texts as a dictionary, so that each distinct one is hashed and not each row; other columns as they are."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return array.dictionary_encode()
    return array


def _words(array: pa.Array) -> Words:
    """Shape (rows, words of one value)."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        texts = pa.types.is_string(kind.value_type) or pa.types.is_binary(kind.value_type)
        return _text_words(array) if texts else _words(array.dictionary_decode())
    if pa.types.is_struct(kind):
        return np.hstack([_validity(array), *(_words(each) for each in array.flatten())])
    if pa.types.is_list(kind):
        return _list_words(array)
    if pa.types.is_boolean(kind):
        return _words(array.cast(pa.int8()))
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _text_words(array.dictionary_encode())
    if pa.types.is_fixed_size_binary(kind):
        return _words(array.cast(pa.binary()))
    if pa.types.is_decimal(kind):
        return _words(array.view(pa.binary(kind.byte_width)))
    if pa.types.is_primitive(kind) and kind.bit_width in _BY_WIDTH:
        plain = array.view(_BY_WIDTH[kind.bit_width])
        words: Words = plain.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)[:, None]
        return np.hstack([_validity(array), words]) if array.null_count else words
    raise TypeError(f"rows with a column of type {kind} have no digest")


def _validity(array: pa.Array) -> Words:
    words: Words = array.is_valid().to_numpy(zero_copy_only=False).astype(np.uint64)[:, None]
    return words


def _text_words(encoded: pa.DictionaryArray) -> Words:
    values = encoded.dictionary.cast(pa.large_binary()).to_pylist()
    digests = b"".join(hashlib.blake2b(value, digest_size=16).digest() for value in values) + _ABSENT
    places = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    words: Words = np.frombuffer(digests, "<u8").astype(np.uint64).reshape(-1, 2)[places]
    return words


def _list_words(array: pa.Array) -> Words:
    inner = _words(array.flatten())
    width = inner.shape[1] * 8
    lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(lengths) * width
    data = memoryview(inner.astype("<u8").tobytes())
    digests = b"".join(
        hashlib.blake2b(data[end - length * width : end], digest_size=16).digest()
        for length, end in zip(lengths.tolist(), ends.tolist(), strict=True)
    )
    words = np.frombuffer(digests, "<u8").astype(np.uint64).reshape(-1, 2)
    return np.hstack([_validity(array), words])
