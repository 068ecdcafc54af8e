"""Digests of many files, on all cores, streaming.

Rules
1. A file is opened without following a link, and read to the size that is expected and one byte more: what grows
   meanwhile, or is a terabyte of nothing, ends there.
2. A read error is told of its file; the others go on.
3. Files of one digest run are read in order of path: on optical and rotating media that is about the order in which
   they were written.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

from appliance.base.digest import PREFIX
from appliance.base.progress import Progress
from appliance.bundle.resume import Stamp, stamp_of

BLOCK_BYTES = 1 << 20
_AHEAD = 64  # files that wait for a worker: bounds memory, whatever the number of files


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """`digest` of the file, or why there is none; `size_bytes` is how many bytes were read.

    `stamp` is what tells this file from a changed one; None where it changed while it was read.
    """

    path: str
    digest: str
    size_bytes: int
    fault: str
    stamp: Stamp | None = None


def hash_files(
    folder: Path, sizes: Mapping[str, int], progress: Progress, *, workers: int | None = None
) -> Iterator[Hashed]:
    """Each file of `sizes` (path -> bytes expected), as it gets done; progress counts bytes.

    Hashing releases the interpreter's lock, so that threads are enough: `workers` of them, by default one a core.
    """
    workers = workers or len(os.sched_getaffinity(0))
    lock = threading.Lock()

    def advance(amount: int) -> None:
        with lock:
            progress.advance(amount)

    waiting = iter(sorted(sizes.items()))
    running: set[Future[Hashed]] = set()
    done: SimpleQueue[Future[Hashed]] = SimpleQueue()  # so what was done before an interruption comes before it
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                for path, size in islice(waiting, _AHEAD - len(running)):
                    future = pool.submit(hash_file, folder, path, size, advance)
                    running.add(future)
                    future.add_done_callback(done.put)
                if not running:
                    return
                first = done.get()
                running.remove(first)
                yield first.result()
        finally:
            for each in running:
                each.cancel()


def hash_file(folder: Path, path: str, size: int, advance: Callable[[int], None]) -> Hashed:
    """The digest of one file of `size` bytes; see rule 1."""
    hasher, read = hashlib.sha256(), 0
    try:
        handle = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            before = stamp_of(os.fstat(handle))
            while read <= size and (block := os.read(handle, min(BLOCK_BYTES, size - read + 1))):
                hasher.update(block)
                read += len(block)
                advance(len(block))
            after = stamp_of(os.fstat(handle))
        finally:
            os.close(handle)
    except OSError as error:
        return Hashed(path=path, digest="", size_bytes=read, fault=f"cannot be read: {error.strerror}")
    stamp = after if after == before else None
    return Hashed(path=path, digest=PREFIX + hasher.hexdigest(), size_bytes=read, fault="", stamp=stamp)
