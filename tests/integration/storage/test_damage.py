"""Damage below the store: a byte flipped on its drive, a server killed while it writes."""

import os
import random
import threading
import time

import pytest

from appliance.base.digest import digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from appliance.storage.s3.store import PART_BYTES
from tests.integration.storage.killing import gone, kill, running_pid

KILLS = 4
PATIENCE_S = 120
# What a store makes of a flipped byte: it hands it out and our digest tells, or its own checksum refuses the read.
FLIPPED = {
    "folder": {"APL-STORAGE-004"},
    "minio": {"APL-STORAGE-011", "APL-STORAGE-012"},
    "versitygw": {"APL-STORAGE-004"},
}
SIZES = (100_000, 1_000_000, PART_BYTES + 1_000_000)


def flip(drive, digest):
    """Flip one bit in the middle of the largest file that belongs to the object."""
    name = hex_of(digest)
    files = [path for path in drive.rglob("*") if path.is_file() and name[2:] in str(path)]
    path = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


@pytest.mark.parametrize("size", SIZES)
def test_a_bit_flipped_on_the_drive_is_never_read_as_good(kind, size):
    place = kind.make()
    digest = place.store.put(os.urandom(size))
    flip(place.drive, digest)
    with pytest.raises(ApplianceError) as caught:
        place.store.read(digest)
    print(f"{kind.name}, {size} bytes: {caught.value}")
    assert caught.value.code.id in FLIPPED[kind.name]


def test_what_was_acknowledged_outlives_a_killed_server(site, minio, seed):
    """kill -9 at any moment: an object is there as a whole or not at all, and what `put` gave back is there."""
    place, chance = minio.make(), random.Random(seed)
    store, done = place.store, threading.Event()
    acknowledged, lost, told = [], [], set()
    end_s = time.monotonic() + PATIENCE_S

    def write():
        while not done.is_set():
            data = chance.randbytes(chance.choice(SIZES))
            try:
                acknowledged.append(store.put(data))
            except ApplianceError as error:
                told.add(error.code.id)
                lost.append(digest_bytes(data))
                time.sleep(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    moments = random.Random(seed + 1)
    try:
        for _ in range(KILLS):
            before = len(acknowledged)
            while len(acknowledged) < before + 5:
                assert time.monotonic() < end_s
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.3))
            pid = running_pid(site, "minio")
            kill(pid)
            gone(pid, site, "minio")
    finally:
        done.set()
        writer.join()
    for digest in acknowledged:
        store.read(digest)
    whole = [digest for digest in lost if store.holds(digest) and store.read(digest)]
    print(f"{len(acknowledged)} acknowledged, 0 lost, {len(lost)} refused, {len(whole)} of these there as a whole")
    assert len(lost) >= 1
    assert told <= {"APL-STORAGE-011", "APL-STORAGE-012"}
    assert len(place.names()) == len(set(acknowledged) | set(whole))
