"""Compiled decoding of reading batches: bytes in, columns out, one pass.

Rules
1. No size that the bytes claim is believed: every step is checked against the end of the block.
2. Nothing is allocated from a claimed size; the caller allocates from the number of bytes that are there.
3. A record that does not decode ends its block (Avro records carry no length, so the next one cannot be found);
   rows of that record are taken back. The next block starts afresh.
4. Strings are numbered in order of first sight, one numbering for all columns.

Avro 1.11 binary encoding: longs are zig-zag varints of at most 10 bytes, doubles are 8 bytes little endian, an array
is blocks of items, a negative count being followed by the block's size, closed by a count of 0.
"""

from __future__ import annotations

import numba as nb
import numpy as np

MAX_TEXT_BYTES = 512  # of one string; longer ones are no device, measure or unit
MAX_TEXTS = 1 << 18  # distinct strings of one file; a fleet of so many devices writes more than one file
MIN_READING_BYTES = 12  # long 1, three strings 1 each, double 8
MIN_RECORD_BYTES = 6  # three strings, two longs, an empty array

TRUNCATED, BAD_LONG, BAD_TEXT, BAD_ARRAY, TRAILING, TOO_MANY = 1, 2, 3, 4, 5, 6
REASONS = {
    TRUNCATED: "the bytes end inside a record",
    BAD_LONG: "a number has more than 64 bits",
    BAD_TEXT: f"a text is longer than {MAX_TEXT_BYTES} bytes or has a negative length",
    BAD_ARRAY: "the array of readings claims a size that its bytes do not hold",
    TOO_MANY: f"the file holds more than {MAX_TEXTS} distinct texts",
    TRAILING: "the block holds bytes after its last record",
}


@nb.njit(cache=True, inline="always")
def _long(data, at, end):  # type: ignore[no-untyped-def]
    """Value, next position, fault."""
    bits = nb.uint64(0)
    shift = 0
    while True:
        if at >= end:
            return nb.int64(0), at, TRUNCATED
        byte = data[at]
        at += 1
        if shift == 63 and byte > 1:
            return nb.int64(0), at, BAD_LONG
        bits |= nb.uint64(byte & 0x7F) << nb.uint64(shift)
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            return nb.int64(0), at, BAD_LONG
    return nb.int64(bits >> nb.uint64(1)) ^ -nb.int64(bits & nb.uint64(1)), at, 0


@nb.njit(cache=True, inline="always")
def _text(data, at, end):  # type: ignore[no-untyped-def]
    """Start, next position, fault of a length-prefixed string."""
    length, at, fault = _long(data, at, end)
    if fault:
        return at, at, fault
    if length < 0 or length > MAX_TEXT_BYTES:
        return at, at, BAD_TEXT
    if at + length > end:
        return at, at, TRUNCATED
    return at, at + length, 0


@nb.njit(cache=True, inline="always")
def _number(data, start, stop, starts, lengths, hashes, slots, count):  # type: ignore[no-untyped-def]
    """The number of the string, which is `count` when it is new; FNV-1a, open addressing."""
    hashed = nb.uint64(14695981039346656037)
    for at in range(start, stop):
        hashed = (hashed ^ nb.uint64(data[at])) * nb.uint64(1099511628211)
    hashed ^= hashed >> nb.uint64(29)
    mask = nb.uint64(slots.size - 1)
    slot = hashed & mask
    length = stop - start
    while True:
        number = slots[slot] - 1
        if number < 0:
            slots[slot] = count + 1
            starts[count], lengths[count], hashes[count] = start, length, hashed
            return np.int32(count)
        if hashes[number] == hashed and lengths[number] == length:
            there = starts[number]
            same = True
            for at in range(length):
                if data[there + at] != data[start + at]:
                    same = False
                    break
            if same:
                return number
        slot = (slot + nb.uint64(1)) & mask


@nb.njit(cache=True)
def decode_blocks(data, blocks, words, numbers, values, record_numbers, record_words, faults):  # type: ignore[no-untyped-def]
    """Decode blocks of records.

    Args:
        data: all bytes, uint8, shape (n_bytes,).
        blocks: int64, shape (n_blocks, 4): start, end, claimed count of records, ordinal of the first record.
        words: int32 out, shape (5, max_rows): device, firmware, measure, quality, unit as string numbers.
        numbers: int64 out, shape (4, max_rows): event_time, sequence, record, index.
        values: float64 out as uint64 bits, shape (max_rows,).
        record_numbers: int64 out, shape (5, max_records): sequence, produced_at, record, first_row, readings.
        record_words: int32 out, shape (2, max_records): device, firmware.
        faults: int64 out, shape (n_blocks, 4): reason or 0, record, position, records lost with it.

    Returns:
        rows, records, and the strings as starts and lengths in `data`, each of shape (n_strings,).
    """
    starts, lengths = np.empty(MAX_TEXTS, np.int64), np.empty(MAX_TEXTS, np.int64)
    hashes = np.empty(MAX_TEXTS, np.uint64)
    slots = np.zeros(2 * MAX_TEXTS, np.int32)  # number + 1; 0 is free
    known = 0
    row = 0
    records = 0
    for block in range(blocks.shape[0]):
        at, end, claimed, ordinal = blocks[block, 0], blocks[block, 1], blocks[block, 2], blocks[block, 3]
        fault = 0
        done = 0
        while done < claimed:
            first_row = row
            record_at = at
            device_from, device_to, fault = _text(data, at, end)
            if fault:
                break
            firmware_from, firmware_to, fault = _text(data, device_to, end)
            if fault:
                break
            sequence, at, fault = _long(data, firmware_to, end)
            if fault:
                break
            produced_at, at, fault = _long(data, at, end)
            if fault:
                break
            _, at, fault = _text(data, at, end)  # the trace id stays in the raw bytes
            if fault:
                break
            if known + 2 > MAX_TEXTS:
                fault = TOO_MANY
                break
            device = _number(data, device_from, device_to, starts, lengths, hashes, slots, known)
            known += device == known
            firmware = _number(data, firmware_from, firmware_to, starts, lengths, hashes, slots, known)
            known += firmware == known
            index = 0
            while fault == 0:
                items, at, fault = _long(data, at, end)
                if fault or items == 0:
                    break
                if items < 0:
                    size, at, fault = _long(data, at, end)
                    items = -items
                    if fault == 0 and (size < 0 or size > end - at):
                        fault = BAD_ARRAY
                if fault == 0 and (items < 0 or items > (end - at) // MIN_READING_BYTES):
                    fault = BAD_ARRAY
                if fault:
                    break
                for _ in range(items):
                    event_time, at, fault = _long(data, at, end)
                    if fault:
                        break
                    measure_from, measure_to, fault = _text(data, at, end)
                    if fault:
                        break
                    at = measure_to + 8
                    if at > end:
                        fault = TRUNCATED
                        break
                    bits = nb.uint64(0)
                    for byte in range(8):
                        bits |= nb.uint64(data[measure_to + byte]) << nb.uint64(8 * byte)
                    quality_from, quality_to, fault = _text(data, at, end)
                    if fault:
                        break
                    unit_from, at, fault = _text(data, quality_to, end)
                    if fault:
                        break
                    if known + 3 > MAX_TEXTS:
                        fault = TOO_MANY
                        break
                    measure = _number(data, measure_from, measure_to, starts, lengths, hashes, slots, known)
                    known += measure == known
                    quality = _number(data, quality_from, quality_to, starts, lengths, hashes, slots, known)
                    known += quality == known
                    unit = _number(data, unit_from, at, starts, lengths, hashes, slots, known)
                    known += unit == known
                    words[0, row], words[1, row], words[2, row] = device, firmware, measure
                    words[3, row], words[4, row] = quality, unit
                    numbers[0, row], numbers[1, row] = event_time, sequence
                    numbers[2, row], numbers[3, row] = ordinal + done, index
                    values[row] = bits
                    row += 1
                    index += 1
            if fault:
                row = first_row
                at = record_at
                break
            record_words[0, records], record_words[1, records] = device, firmware
            record_numbers[0, records], record_numbers[1, records] = sequence, produced_at
            record_numbers[2, records], record_numbers[3, records] = ordinal + done, first_row
            record_numbers[4, records] = index
            records += 1
            done += 1
        if fault == 0 and at != end:
            fault = TRAILING
        faults[block, 0], faults[block, 1] = fault, ordinal + done
        faults[block, 2], faults[block, 3] = at, claimed - done
    return row, records, starts[:known].copy(), lengths[:known].copy()
