"""A writer or reader in a process of its own: to be killed, or to have its memory measured.

``stall PATH WORDS…``  puts the file, and waits for ever after `STALL_BYTES` of it; says ``middle`` then.
``memory PATH WORDS…`` puts the file and reads it back in pieces; says how many bytes of memory that took at most.
"""

import hashlib
import io
import os
import sys
import time
from pathlib import Path

from tests.integration.storage.stores import open_by_words

STALL_BYTES = 20 << 20
PIECE_BYTES = 1 << 20


class Stalling(type(Path())):
    """A file that is read to its end once, for its digest, and then only in part."""

    opened = 0

    def open(self, *arguments, **options):
        self.opened += 1
        file = super().open(*arguments, **options)
        return file if self.opened == 1 else StallingFile(file)


class StallingFile(io.BufferedReader):
    def __init__(self, file):
        super().__init__(file.detach())
        self.given = 0

    def read(self, size=-1):
        if self.given >= STALL_BYTES:
            print("middle", flush=True)
            time.sleep(600)
        data = super().read(size)
        self.given += len(data)
        return data


def peak_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def main(action, path, *words):
    store = open_by_words(*words)
    if action == "stall":
        store.put_file(Stalling(path))
        return
    store.read(store.put(b"warm" + os.urandom(8)))
    before = peak_bytes()
    digest = store.put_file(Path(path))
    hash = hashlib.sha256()
    with store.open(digest) as file:
        while piece := file.read(PIECE_BYTES):
            hash.update(piece)
    assert digest == f"sha256:{hash.hexdigest()}"
    print(peak_bytes() - before, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
