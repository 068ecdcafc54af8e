"""Fetches what a lock names and the store lacks: Debian's packages by apt, wheels by pip, servers from this machine.

Rules
1. Only what has the lock's digest gets into the store; it goes in as soon as it is there, so that a run which was
   stopped is gone on with.
2. One input that cannot be had does not keep the others: each failure is told with its own code, and all at the end.
3. A chunk that fails is tried again one by one, to know which input it was; not when the source gave no answer.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import codes, servers, wheels
from appliance.bundle.apt import Apt
from appliance.bundle.chunks import PIPS_AT_ONCE, Chunk, run_chunks
from appliance.bundle.declaration import Checkout
from appliance.bundle.lock import Input, Lock
from appliance.bundle.store import Store
from appliance.bundle.wheels import Pin

CHUNK_INPUTS = 24
CHUNK_BYTES = 128 << 20
_GENERAL = (codes.SOURCE_UNREACHABLE, codes.NO_SPACE)  # the next input would meet the same


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An input that did not come, and why."""

    input: Input
    error: ApplianceError


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Attributes:
    inputs, bytes: that were put into the store now.
    failures: in order of path; the lock can be assembled when there is none.
    """

    inputs: int
    bytes: int
    failures: list[Failure]


def fetch(lock: Lock, *, checkout: Checkout, store: Store, progress: Progress) -> Fetched:
    """Fill the store. The caller holds `store.exclusive`.

    Raises:
        ApplianceError: APL-BUNDLE-016, there is not room enough; nothing was fetched. APL-BUNDLE-006.
    """
    missing = store.missing(lock)
    _check_space(missing, store)
    progress.begin("fetch inputs", sum(each.size_bytes for each in missing))
    failures: list[Failure] = []
    for kind, at_once, work in (
        ("server", 1, _copier(checkout, store)),
        ("wheel", PIPS_AT_ONCE, _pip_fetcher(checkout, store)),
        ("deb", 1, _apt_fetcher(store)),
    ):
        inputs = [each for each in missing if each.kind == kind]
        for chunk, result in run_chunks(_chunks(inputs), work, at_once=at_once):
            if isinstance(result, ApplianceError):
                failures += _one_by_one(chunk, work, store, result)
            progress.advance(sum(each.size_bytes for each in chunk))
    came = [each for each in missing if store.has(each.digest, each.size_bytes)]
    told = {each.path for each in came} | {each.input.path for each in failures}
    for each in missing:
        if each.path not in told:
            message = f"nothing here fetches inputs of kind {each.kind}"
            failures.append(Failure(input=each, error=ApplianceError(codes.NOT_OFFERED, message, where=each.path)))
    return Fetched(
        inputs=len(came),
        bytes=sum(each.size_bytes for each in came),
        failures=sorted(failures, key=lambda each: each.input.path),
    )


def fetch_packages(inputs: Sequence[Input], *, apt: Apt, store: Store, progress: Progress) -> None:
    """Bring these packages of Debian into the store; `apt` is up to date.

    Raises:
        ApplianceError: as `fetch` tells of single inputs; those that came before are in the store. APL-BUNDLE-016.
    """
    missing = [each for each in inputs if not store.has(each.digest, each.size_bytes)]
    _check_space(missing, store)
    progress.begin("fetch packages of Debian", len(missing))
    for chunk in _chunks(missing):
        _download(chunk, apt, store)
        progress.advance(len(chunk))


def _check_space(missing: Sequence[Input], store: Store) -> None:
    if not missing:
        return
    sizes = [each.size_bytes for each in missing]
    # What the tools are at work on lies on the same disk for a while.
    needed = sum(sizes) + min(sum(sizes), PIPS_AT_ONCE * max(CHUNK_BYTES, *sizes))
    free = shutil.disk_usage(store.incoming("wheels")).free
    if free < needed:
        message = f"expected {needed} bytes free, got {free}"
        raise ApplianceError(codes.NO_SPACE, message, where=str(store.folder))


def _chunks(inputs: Sequence[Input]) -> list[list[Input]]:
    chunks: list[list[Input]] = []
    size = 0
    for each in inputs:
        if not chunks or len(chunks[-1]) == CHUNK_INPUTS or size + each.size_bytes > CHUNK_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(each)
        size += each.size_bytes
    return chunks


def _one_by_one(
    chunk: Chunk[Input], work: Callable[[Chunk[Input]], None], store: Store, error: ApplianceError
) -> list[Failure]:
    failures = []
    for each in chunk:
        if store.has(each.digest, each.size_bytes):
            continue
        if len(chunk) > 1 and error.code not in _GENERAL:
            try:
                work([each])
                continue
            except ApplianceError as own:
                failures.append(Failure(input=each, error=own))
        else:
            failures.append(Failure(input=each, error=error))
    return failures


def _copier(checkout: Checkout, store: Store) -> Callable[[Chunk[Input]], None]:
    def copy(chunk: Chunk[Input]) -> None:
        for each in chunk:
            if store.has(each.digest, each.size_bytes):
                continue
            source = servers.file_of(each, checkout)
            if not source.is_file():
                raise ApplianceError(codes.SERVER_REFUSED, f"{each.name} is not built", where=str(source))
            store.put(source, each.digest)

    return copy


def _pip_fetcher(checkout: Checkout, store: Store) -> Callable[[Chunk[Input]], None]:
    def fetch_wheels(chunk: Chunk[Input]) -> None:
        pins = [Pin(name=each.name, version=each.version, digests=frozenset([each.digest])) for each in chunk]
        wheels.fetch(checkout.pip, pins, store)
        _all_there(chunk, store)

    return fetch_wheels


def _apt_fetcher(store: Store) -> Callable[[Chunk[Input]], None]:
    apt = Apt(store.incoming("apt"))
    asked = False

    def fetch_chunk(chunk: Chunk[Input]) -> None:
        nonlocal asked
        if not asked:
            apt.update()
            asked = True
        _download(chunk, apt, store)

    return fetch_chunk


def _download(chunk: Chunk[Input], apt: Apt, store: Store) -> None:
    folder = store.incoming("debs")
    for each in chunk:
        _check_offered(each, apt)
    apt.download([(each.name, each.version) for each in chunk], folder)
    for each in chunk:
        file = folder / _apt_name(each)
        store.put(file, each.digest)
        file.unlink()
    _all_there(chunk, store)


def _check_offered(each: Input, apt: Apt) -> None:
    stanza = apt.index.find(each.name, each.version)
    if stanza is None:
        others = ", ".join(sorted({one.version for one in apt.index.versions(each.name)})) or "none"
        message = f"{each.name} {each.version} is not offered any more; offered: {others}"
        raise ApplianceError(codes.NOT_OFFERED, message, where=each.path)
    if stanza.digest != each.digest:
        raise ApplianceError(codes.DIGEST_DIFFERS, f"expected {each.digest}, got {stanza.digest}", where=each.path)


def _apt_name(each: Input) -> str:
    """What ``apt-get download`` calls the file: the version with its epoch, then the architecture."""
    architecture = each.path.rpartition("_")[2]
    return f"{each.name}_{each.version.replace(':', '%3a')}_{architecture}"


def _all_there(chunk: Chunk[Input], store: Store) -> None:
    for each in chunk:
        if not store.has(each.digest, each.size_bytes):
            raise ApplianceError(codes.NOT_OFFERED, f"no file of {each.name} {each.version} came", where=each.path)
