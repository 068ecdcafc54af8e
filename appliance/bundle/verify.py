"""Verifies a bundle: who released it, and that it is all there and nothing else. The only way to a `VerifiedBundle`.

Checks, in this order; one that fails ends those that rest on it
1. The steps of an audit pack over ``trust/`` (`trust.auditor`): roots, policy, log, witnesses, rollback, statements.
2. `manifest`: it is canonical and within its limits. It was read once; nobody reads it again.
3. `release`: an accepted release statement names its digest, and that of every signature beside ``trust/``.
4. `older`: no later release of this bundle was verified here before, and no other one of the same version.
5. `layout`: every file in the folder is a member or a signature, plain, with a name that every medium takes.
6. `member`: every member is there with its size and digest.

What was seen is remembered only after everything held. The host's clock is not asked. A run that was interrupted can go
on behind the files that it hashed (`resume`).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from appliance.base import atomic
from appliance.base.digest import PREFIX, digest_bytes
from appliance.base.errors import ApplianceError, Code
from appliance.base.progress import Progress
from appliance.bundle import codes, manifest, seen
from appliance.bundle.hashing import BLOCK_BYTES, Hashed, hash_files
from appliance.bundle.manifest import Manifest
from appliance.bundle.resume import HashedRecord
from appliance.bundle.tree import Listing, list_folder
from appliance.trust import statements
from appliance.trust.auditor.audit import Question, audit_pack
from appliance.trust.verdict import Link, Verdict

TRUST = "trust"
SHOWN = 100  # files of one fault that a verdict names; of more it tells the number
_STEP = {
    codes.MANIFEST_INVALID.id: "manifest",
    codes.NOT_RELEASED.id: "release",
    codes.ROLLED_BACK.id: "older",
}


@dataclass(frozen=True, kw_only=True)
class BundleQuestion:
    """Attributes:
    root_digest: of the first root of who releases, from paper.
    memory: this host's own folder; None remembers nothing, and then rollback is not established.
    not_older_than: the newest witnessed time must be this or later.
    resume: file of what an interrupted run had hashed (`resume`); None hashes everything.
    remembers: whether what holds is written to `memory`; where it is not, it is only compared with it.
    """

    root_digest: str
    memory: Path | None = None
    not_older_than: dt.datetime | None = None
    resume: Path | None = None
    remembers: bool = True


@dataclass(frozen=True, kw_only=True)
class VerifiedBundle:
    """A bundle whose every byte was accounted for. Made by `verify_bundle` alone; installing takes nothing else.

    Attributes:
        release: digest of the release statement.
    """

    folder: Path
    manifest: Manifest
    manifest_digest: str
    release: str
    verdict: Verdict

    def copy(self, path: str, target: Path) -> None:
        """Copy one member crash-safely, with the digest checked of the very bytes that are written.

        Raises:
            ApplianceError: APL-BUNDLE-023 the medium changed since it was verified, -028 it cannot be read,
                APL-BASE-002. There is no new `target` then.
        """
        member = next(each for each in self.manifest.members if each.path == path)
        hasher = hashlib.sha256()
        with atomic.open_atomic(target, mode=0o755 if member.executable else 0o644) as file:
            for block in _blocks(self.folder / path, path):
                hasher.update(block)
                file.write(block)
            found = PREFIX + hasher.hexdigest()
            if found != member.digest:
                raise ApplianceError(codes.MEMBER_CHANGED, f"expected {member.digest}, got {found}", where=path)


def _blocks(file: Path, path: str) -> Iterator[bytes]:
    """Raises ApplianceError: APL-BUNDLE-028; an error of who writes the blocks is not the medium's."""
    try:
        source = file.open("rb", buffering=0)
    except OSError as error:
        raise ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=path) from error
    with source:
        while True:
            try:
                block = source.read(BLOCK_BYTES)
            except OSError as error:
                raise ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=path) from error
            if not block:
                return
            yield block


class Medium(Protocol):
    """Where a bundle lies; `hash` gives each file of `sizes`, as `hashing.hash_files` does."""

    @property
    def folder(self) -> Path:
        """That in which the manifest and ``trust/`` lie."""

    def list(self) -> Listing: ...

    def hash(self, sizes: Mapping[str, int], progress: Progress) -> Iterator[Hashed]: ...


@dataclass(frozen=True)
class _Folder:
    folder: Path

    def list(self) -> Listing:
        return list_folder(self.folder)

    def hash(self, sizes: Mapping[str, int], progress: Progress) -> Iterator[Hashed]:
        return hash_files(self.folder, sizes, progress)


@dataclass(kw_only=True)
class _Case:
    medium: Medium
    question: BundleQuestion
    progress: Progress
    links: list[Link] = field(default_factory=list)
    established: list[str] = field(default_factory=list)
    not_established: list[str] = field(default_factory=list)

    def holds(self, step: str, detail: str, path: str = "") -> None:
        self.links.append(Link(kind=step, name="bundle", path=path, ok=True, detail=detail))

    def refuse(self, step: str, code: Code, detail: str, path: str = "") -> None:
        self.links.append(Link(kind=step, name="bundle", path=path, ok=False, detail=f"{code.id} {detail}"))

    @property
    def folder(self) -> Path:
        return self.medium.folder

    @property
    def ok(self) -> bool:
        return all(link.ok for link in self.links)

    def verdict(self) -> Verdict:
        return Verdict(
            subject=str(self.folder),
            links=tuple(self.links),
            established=tuple(self.established),
            not_established=(*self.not_established, "that what was released does what it should"),
        )


def verify_bundle(folder: Path, question: BundleQuestion, progress: Progress) -> tuple[Verdict, VerifiedBundle | None]:
    """The verdict, and the bundle where it holds. A bundle that does not hold is a verdict, not an error.

    Raises:
        ApplianceError: APL-BUNDLE-029 there is none, APL-BASE-002 the memory or the record of a resumed run cannot be
            written, APL-BUNDLE-028 that record may be written by others.
    """
    verdict, accepted = _verify(_Folder(folder), question, progress)
    if accepted is None:
        return verdict, None
    found, release = accepted
    return verdict, VerifiedBundle(
        folder=folder, manifest=found, manifest_digest=manifest.digest(found), release=release, verdict=verdict
    )


def verify_medium(medium: Medium, question: BundleQuestion, progress: Progress) -> Verdict:
    """The verdict on a bundle that lies in another form than one folder. Nothing is installed from it as it is, and
    `BundleQuestion.resume` is not for it.

    Raises:
        ApplianceError: see `verify_bundle`.
    """
    return _verify(medium, question, progress)[0]


def _verify(
    medium: Medium, question: BundleQuestion, progress: Progress
) -> tuple[Verdict, tuple[Manifest, str] | None]:
    folder = medium.folder
    if not (folder / manifest.NAME).is_file() or not (folder / TRUST).is_dir():
        raise ApplianceError(codes.NO_BUNDLE, "manifest.json or trust/ is missing", where=str(folder))
    case = _Case(medium=medium, question=question, progress=progress)
    with tempfile.TemporaryDirectory(prefix="bundle-") as scratch:
        trust = Path(scratch) / TRUST
        release = _judge_release(case, trust)
        if release is None:
            return case.verdict(), None
        found, statement = release
        _judge_files(case, found, statement.subjects, medium.list())
        if not case.ok:
            return case.verdict(), None
        case.established.append(f"{len(found.members)} files, {found.size_bytes} bytes, are those that were released")
        case.established.append(f"it is release {found.version} of {found.bundle}")
        if question.memory is not None and question.remembers:
            audit_pack(trust, _of_pack(question), progress)  # held a moment ago; now it is remembered as well
            seen.remember(question.memory, found, manifest.digest(found))
        return case.verdict(), (found, statement.digest)


def _of_pack(question: BundleQuestion) -> Question:
    return Question(root_digest=question.root_digest, memory=question.memory, not_older_than=question.not_older_than)


def _judge_release(case: _Case, trust: Path) -> tuple[Manifest, statements.Statement] | None:
    """Checks 1 to 4. `trust` is where a copy of ``trust/`` is made, so that what was judged is what is read."""
    try:
        _copy_trust(case.folder / TRUST, trust)
    except ApplianceError as error:
        case.refuse("pack", error.code, error.message, error.where or "")
        return None
    try:
        data = _read(case.folder / manifest.NAME, manifest.MAX_BYTES)
        pack = audit_pack(trust, _of_pack_without_memory(case, trust), case.progress)
        case.links += pack.links
        case.established += pack.established
        case.not_established += pack.not_established[:-1]
        if not pack.ok:
            return None
        found = manifest.parse(data)
        case.holds("manifest", f"{len(found.members)} members", manifest.NAME)
        statement = _release_of(trust, digest_bytes(data))
        case.holds("release", f"{statement.digest} names {digest_bytes(data)}", manifest.NAME)
        if case.question.memory is None:
            case.not_established.append("that no later release was here before: nothing is remembered")
        else:
            before = seen.check(case.question.memory, found, digest_bytes(data))
            case.holds("older", f"{found.version}: {before}")
    except ApplianceError as error:
        case.refuse(_STEP.get(error.code.id, "manifest"), error.code, error.message, error.where or "")
        return None
    return found, statement


def _of_pack_without_memory(case: _Case, trust: Path) -> Question:
    # The pack is judged by what is remembered, but remembers nothing itself before the files hold: it is given a copy.
    memory = case.question.memory
    if memory is None:
        return _of_pack(case.question)
    copy = trust.with_name("memory")
    if memory.is_dir():
        shutil.copytree(memory, copy)
    return Question(root_digest=case.question.root_digest, memory=copy, not_older_than=case.question.not_older_than)


def _copy_trust(source: Path, target: Path) -> None:
    """Raises ApplianceError: APL-BUNDLE-024, -025, -028, naming the file."""
    listing = list_folder(source)
    for fault in listing.faults:
        raise ApplianceError(fault.code, fault.detail, where=f"{TRUST}/{fault.path}")
    for path, size in listing.sizes.items():
        atomic.make_folder((target / path).parent)
        (target / path).write_bytes(_read(source / path, max(size, 1)))


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=str(path)) from error


def _release_of(trust: Path, digest: str) -> statements.Statement:
    """The accepted release statement about the manifest with this digest.

    Raises:
        ApplianceError: APL-BUNDLE-026.
    """
    for path in sorted((trust / "bundles").iterdir()):
        statement = statements.statement_of(path.read_bytes())  # which the steps of the pack accepted
        if statement.predicate_type == statements.RELEASE and statement.subjects.get(manifest.NAME) == digest:
            return statement
    raise ApplianceError(codes.NOT_RELEASED, f"no release statement names {digest}", where=manifest.NAME)


def _judge_files(case: _Case, found: Manifest, subjects: Mapping[str, str], listing: Listing) -> None:
    """Checks 5 and 6."""
    wanted = {each.path: (each.size_bytes, each.digest) for each in found.members}
    signatures = {
        path: size
        for path, size in listing.sizes.items()
        if manifest.is_signature(path) and not path.startswith(f"{TRUST}/")
    }
    faults = [(each.code, each.path, each.detail) for each in listing.faults]
    faulty = {each.path for each in listing.faults}
    for path in listing.sizes:
        if path not in wanted and path not in signatures and path != manifest.NAME and not path.startswith("trust/"):
            faults.append((codes.MEMBER_EXTRA, path, "no manifest lists it"))
        if path in signatures and path not in subjects:
            faults.append((codes.MEMBER_EXTRA, path, "the release does not name it"))
    to_hash = {path: size for path, size in signatures.items() if path in subjects}
    for path in manifest.SIGNATURES:
        if path in subjects and path not in signatures and path not in faulty:
            faults.append((codes.MEMBER_MISSING, path, "the release names it"))
    for path, (size, _) in wanted.items():
        there = listing.sizes.get(path)
        if there is None:
            faults += [] if path in faulty else [(codes.MEMBER_MISSING, path, f"expected {size} bytes")]
        elif there != size:
            faults.append((codes.MEMBER_CHANGED, path, f"expected {size} bytes, got {there}"))
        else:
            to_hash[path] = size
    changed = [each for each in faults if each[0] is codes.MEMBER_CHANGED]
    accounted = [each for each in faults if each[0] is not codes.MEMBER_CHANGED]
    _tell(case, "layout", accounted, f"{len(listing.sizes)} files, all accounted for")
    expected = {path: wanted[path][1] if path in wanted else subjects[path] for path in to_hash}
    record = HashedRecord(case.question.resume, manifest.digest(found)) if case.question.resume else None
    ended = False
    try:
        changed += _hash(case, to_hash, expected, record)
        ended = True
    finally:
        if record is not None:
            record.close(ended=ended)
    _tell(case, "member", changed, f"{len(to_hash)} files have the size and digest that were released")


def _hash(
    case: _Case, sizes: Mapping[str, int], expected: Mapping[str, str], record: HashedRecord | None
) -> list[tuple[Code, str, str]]:
    """The files that are not as expected; those that an earlier run hashed are not read."""
    known = {path for path in sizes if record is not None and record.digest(case.folder, path) == expected[path]}
    to_hash = {path: size for path, size in sizes.items() if path not in known}
    if known:
        case.not_established.append(f"that {len(known)} files, which an interrupted run hashed, were not changed since")
    changed = []
    case.progress.begin("verify files", sum(to_hash.values()))
    for each in case.medium.hash(to_hash, case.progress):
        if each.fault:
            changed.append((codes.UNREADABLE, each.path, f"{each.fault} after {each.size_bytes} bytes"))
        elif each.digest != expected[each.path]:
            changed.append((codes.MEMBER_CHANGED, each.path, f"expected {expected[each.path]}, got {each.digest}"))
        elif record is not None and each.stamp is not None:
            record.add(each.path, each.digest, each.stamp)
    return changed


def _tell(case: _Case, step: str, faults: list[tuple[Code, str, str]], holds: str) -> None:
    for code, path, detail in sorted(faults, key=lambda each: each[1])[:SHOWN]:
        case.refuse(step, code, detail, path)
    if len(faults) > SHOWN:
        case.refuse(step, faults[-1][0], f"and {len(faults) - SHOWN} more files")
    if not faults:
        case.holds(step, holds)
