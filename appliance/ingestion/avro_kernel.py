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
MIN_READING_BYTES = 12  # long 1, three strings 1 each, double 8
MIN_RECORD_BYTES = 6  # three strings, two longs, an empty array

TRUNCATED, BAD_LONG, BAD_TEXT, BAD_ARRAY, TRAILING = 1, 2, 3, 4, 5
REASONS = {
    TRUNCATED: "the bytes end inside a record",
    BAD_LONG: "a number has more than 64 bits",
    BAD_TEXT: f"a text is longer than {MAX_TEXT_BYTES} bytes or has a negative length",
    BAD_ARRAY: "the array of readings claims a size that its bytes do not hold",
    TRAILING: "the block holds bytes after its last record",
}


@nb.njit(cache=True, inline="always")
def _long(data, at, end):  # type: ignore[no-untyped-def]
    """Value, next position, fault."""
    bits = nb.uint64(0)
    shift = nb.uint64(0)
    while True:
        if at >= end:
            return nb.int64(0), at, TRUNCATED
        byte = data[at]
        at += 1
        if shift == 63 and byte > 1:
            return nb.int64(0), at, BAD_LONG
        bits |= nb.uint64(byte & 0x7F) << shift
        if byte < 128:
            break
        shift += nb.uint64(7)
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


@nb.njit(cache=True)
def _grown(starts, lengths, hashes, count):  # type: ignore[no-untyped-def]
    size = starts.size * 2
    more_starts, more_lengths = np.empty(size, np.int64), np.empty(size, np.int64)
    more_hashes = np.empty(size, np.uint64)
    more_starts[:count], more_lengths[:count], more_hashes[:count] = starts[:count], lengths[:count], hashes[:count]
    slots = np.full(size * 2, -1, np.int32)
    mask = nb.uint64(slots.size - 1)
    for number in range(count):
        slot = more_hashes[number] & mask
        while slots[slot] >= 0:
            slot = (slot + nb.uint64(1)) & mask
        slots[slot] = number
    return more_starts, more_lengths, more_hashes, slots


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
        number = slots[slot]
        if number < 0:
            slots[slot] = count
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
    starts, lengths = np.empty(1024, np.int64), np.empty(1024, np.int64)
    hashes = np.empty(1024, np.uint64)
    slots = np.full(2048, -1, np.int32)
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
            if known + 2 >= starts.size:
                starts, lengths, hashes, slots = _grown(starts, lengths, hashes, known)
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
                    if known + 3 >= starts.size:
                        starts, lengths, hashes, slots = _grown(starts, lengths, hashes, known)
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
