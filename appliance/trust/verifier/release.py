"""A released bundle: the evidence in ``trust/``, the manifest that it names, and every file beside it.

The steps after those of the pack: `manifest`, `release`, `older`, `layout`, `member`. All files of a fault are named.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .encoding import conform, digest, parse_canonical, parse_digest, parse_number, unique
from .entries import show_progress
from .pack import Statement
from .verdict import Verdict, require

RELEASE = "https://slsa.dev/provenance/v1"
MANIFEST = "manifest.json"
SIGNATURES = ("apt/dists/appliance/InRelease", "apt/dists/appliance/Release.gpg", "apt/appliance.gpg")
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_MEMBERS = 200_000
SHOWN = 100
BLOCK_BYTES = 1024 * 1024
_PART = r"[A-Za-z0-9_+%@=,][A-Za-z0-9._+~%@=,-]{0,127}(?<!\.)"


def _path(text: str) -> str:
    good = len(text) <= 240 and re.fullmatch(f"{_PART}(/{_PART}){{0,7}}", text)
    require(good, f"the name {text[:80]!r} is not allowed")
    return text


def parse_version(text: str) -> tuple[int, ...]:
    require(re.fullmatch(r"\d{1,6}\.\d{1,6}\.\d{1,6}", text, re.ASCII), f"not a version: {text[:40]!r}")
    return tuple(parse_number(each) for each in text.split("."))


_FORM = {
    "format": {"appliance-bundle/1"},
    "bundle": lambda text: require(re.fullmatch(r"[a-z][a-z0-9-]{0,30}", text), "not a name of a bundle")[0],
    "version": lambda text: ".".join(map(str, parse_version(text))),
    "made_at": str,
    "architecture": str,
    "lock": parse_digest,
    "source": parse_digest,
    "members": [{"path": _path, "size_bytes": int, "digest": parse_digest, "executable": bool, "part": str}],
}


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release that was verified: what the state remembers. `manifest` is the digest of its manifest."""

    bundle: str
    version: str
    manifest: str


def verify_release(folder: Path, statements: list[Statement], known: dict[str, Release], verdict: Verdict) -> Release:
    """The steps after `pack`; `known` are the releases that were verified before, by bundle."""
    with verdict.step("manifest"):
        data = _read(folder / MANIFEST)
        document = conform(parse_canonical(data), _FORM, MANIFEST)
        require(len(document["members"]) <= MAX_MEMBERS, f"more than {MAX_MEMBERS} members")
        members = unique((each["path"], (each["size_bytes"], each["digest"])) for each in document["members"])
        require(list(members) == sorted(members), "the members are not in order")
        bad = [path for path in members if path in (MANIFEST, *SIGNATURES) or path.startswith("trust/")]
        require(not bad, f"{''.join(bad[:1])} cannot be a member")
        require(not _clash(list(members)), f"two names differ only in case: {_clash(list(members))}")
    found = Release(bundle=document["bundle"], version=document["version"], manifest=digest(data))
    with verdict.step("release"):
        named = [each for each in statements if each.kind == RELEASE and each.subjects.get(MANIFEST) == found.manifest]
        (statement, *_) = require(named, f"no release statement names {found.manifest}")
    before = known.get(found.bundle)
    if before:
        with verdict.step("older"):
            newer = parse_version(found.version) > parse_version(before.version)
            same = (found.version, found.manifest) == (before.version, before.manifest)
            require(newer or same, f"this is {found.version}, {before.version} {before.manifest} was verified before")
    else:
        verdict.not_established.append("that no later release was here before: none is remembered")
    wanted = dict(members)
    with verdict.step("layout"):
        there: dict[str, int] = {}
        faults = list(_list(folder, "", there))
        signatures = [path for path in SIGNATURES if path in statement.subjects]
        wanted |= {path: (there.get(path, 0), statement.subjects[path]) for path in signatures}
        faults += [f"{path}: no manifest lists it" for path in there if path not in (*wanted, MANIFEST)]
        faulty = {each.partition(": ")[0] for each in faults}
        faults += [f"{path}: missing" for path in wanted if path not in there and path not in faulty]
        clash = _clash(list(there))
        faults += [f"{clash}: differs from another name only in case"] if clash else []
        _none(faults)
    with verdict.step("member"), ThreadPoolExecutor(os.cpu_count()) as pool:
        ordered = sorted(wanted)
        hashed = pool.map(lambda path: _judge(folder, path, *wanted[path]), ordered)
        _none([fault for _, fault in zip(show_progress(ordered, "files"), hashed, strict=True) if fault])
    size = sum(size for size, _ in members.values())
    verdict.established.append(f"{len(members)} files, {size} bytes, are release {found.version} of {found.bundle}")
    verdict.established.append(f"released by {statement.signer}")
    return found


def _none(faults: list[str]) -> None:
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    require(not faults, "; ".join(sorted(faults)[:SHOWN]) + more)


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    require(len(data) <= MAX_MANIFEST_BYTES, f"more than {MAX_MANIFEST_BYTES} bytes")
    return data


def _list(folder: Path, prefix: str, there: dict[str, int]) -> Iterator[str]:
    """Sizes of the files beside ``trust/``, into `there`; gives what may not lie there."""
    for entry in sorted(os.scandir(folder / prefix), key=lambda entry: entry.name):
        path, status = f"{prefix}{entry.name}", entry.stat(follow_symlinks=False)
        if path == "trust":
            continue
        if len(there) > 2 * MAX_MEMBERS:
            yield f"{path}: more than {2 * MAX_MEMBERS} files"
            return
        try:
            _path(path)
        except ValueError:
            yield f"{path}: the name is not allowed"
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _list(folder, f"{path}/", there)
        elif not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            yield f"{path}: a link or a special file"
        else:
            there[path] = status.st_size


def _clash(paths: list[str]) -> str | None:
    """A name, of a file or of a folder above one, that another one differs from only in case."""
    seen: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            name = "/".join(parts[:end])
            if seen.setdefault(name.lower(), name) != name:
                return name
    return None


def _judge(folder: Path, path: str, size: int, expected: str) -> str:
    """What is wrong with a file; it is read to its size and no further."""
    hasher, read = hashlib.sha256(), 0
    try:
        with os.fdopen(os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            while read <= size and (block := file.read(min(BLOCK_BYTES, size - read + 1))):
                hasher.update(block)
                read += len(block)
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    if read != size:
        return f"{path}: expected {size} bytes, got {'more' if read > size else read}"
    return "" if f"sha256:{hasher.hexdigest()}" == expected else f"{path}: not the bytes that were released"
