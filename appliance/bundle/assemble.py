"""Lays out a bundle from its lock, the store of inputs and our repository. Asks no network.

Rules
1. The folder appears complete, by rename: a build that was killed leaves a draft beside it, which the next one removes.
2. Every byte that goes in is hashed while it is written: an input is what the lock says, whatever lies in the store.
3. Modes are 0644 and 0755, times that of the lock; neither is told by the manifest, both are the same for all builders.
4. There is one name for each file: nothing is linked to the store.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.digest import PREFIX, digest_bytes
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import apt_repository, codes, lock, manifest, own_parts, sbom
from appliance.bundle.lock import Input, Lock
from appliance.bundle.manifest import Manifest, Member, Part
from appliance.bundle.settle import settle
from appliance.bundle.store import Store
from appliance.bundle.tree import list_folder

UV = Path(".venv-uv/bin/uv")  # builds our wheel
GO = Path(".venv-servers/bin/go")  # tells the modules of a program
_PARTS: dict[str, Part] = {
    "apt": "apt",
    "wheels": "wheels",
    "servers": "servers",
    "models": "models",
    "ansible": "ansible",
    "docs": "docs",
    "sbom": "sbom",
    "install.sh": "start",
    "verify.sh": "verifier",
    "verify.pyz": "verifier",
    "START-HERE.txt": "start",
}


def assemble(
    locked: Lock,
    *,
    version: str,
    root: Path,
    store: Store,
    target: Path,
    progress: Progress,
) -> Manifest:
    """Make the new folder `target`.

    Args:
        root: our repository, with the environments that ``make servers`` and ``make dev`` made.

    Raises:
        ApplianceError: APL-BUNDLE-011 the target exists, -012 an input is missing in the store, -013 one is not what
            the lock says, -010 the repository cannot be used, APL-BASE-002, -003. There is no `target` then.
    """
    if target.exists():
        raise ApplianceError(codes.TARGET_EXISTS, f"{target} exists", where=str(target))
    missing = store.missing(locked)
    if missing:
        some = ", ".join(each.path for each in missing[:3])
        raise ApplianceError(codes.INPUT_MISSING, f"{len(missing)} inputs, the first: {some}", where=str(store.folder))
    draft = target.with_name(f".tmp-{target.name}.d")
    try:
        atomic.remove_tree(draft)
        atomic.make_folder(draft)
        made = _fill(locked, version, root, store, draft, progress)
        atomic.write_bytes(draft / manifest.NAME, manifest.render(made))
        settle(draft, made)
        draft.rename(target)
        atomic.fsync_folder(target.parent)
    except OSError as error:
        atomic.remove_tree(draft)
        raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(target)) from error
    except BaseException:
        atomic.remove_tree(draft)
        raise
    return made


def _fill(locked: Lock, version: str, root: Path, store: Store, draft: Path, progress: Progress) -> Manifest:
    digests: dict[str, str] = {}
    executables: set[str] = set()
    progress.begin("assemble inputs", sum(each.size_bytes for each in locked.inputs))
    for each in locked.inputs:
        _put(each, store, draft, progress)
        digests[each.path] = each.digest
        executables |= {each.path} if each.executable else set()
    apt_repository.write(locked, draft)
    written = lock.render(locked)
    progress.begin("make our own parts", None)
    with tempfile.TemporaryDirectory(prefix="source-") as scratch:
        source = own_parts.copy_source(root, Path(scratch) / "source")
        for name in own_parts.ansible_files(source):
            _write(draft / name, (source.folder / name).read_bytes())
        wheel = Path(scratch) / "wheel"
        own_parts.build_wheel(source, root / UV, wheel, locked.made_at)
        for path in sorted(wheel.iterdir()):
            _write(draft / "wheels" / path.name, path.read_bytes())
        pages = Path(scratch) / "docs"
        own_parts.build_docs(source, pages, locked.made_at)
        for path in sorted(each for each in pages.rglob("*") if each.is_file()):
            _write(draft / "docs" / path.relative_to(pages), path.read_bytes())
    for name, (data, executable, _) in own_parts.small_files(
        bundle=locked.bundle, version=version, lock=written
    ).items():
        _write(draft / name, data)
        executables |= {name} if executable else set()
    progress.begin("write the bill of materials", None)
    members = _members(draft, digests, executables)
    inside = sbom.read_inside(draft, members, root / GO, sorted(root.glob("servers/*/lock")))
    bill = sbom.render(locked, version=version, members=members, inside=inside)
    _write(draft / sbom.NAME, bill)
    members.append(
        Member(path=sbom.NAME, size_bytes=len(bill), digest=digest_bytes(bill), executable=False, part="sbom")
    )
    return Manifest(
        format="appliance-bundle/1",
        bundle=locked.bundle,
        version=version,
        made_at=locked.made_at,
        architecture=locked.architecture,
        lock=digest_bytes(written),
        source=source.digest,
        members=sorted(members, key=lambda each: each.path),
    )


def _put(each: Input, store: Store, draft: Path, progress: Progress) -> None:
    """Copy an input out of the store; raises APL-BUNDLE-013."""
    target, hasher = draft / each.path, hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with store.path(each.digest).open("rb") as source, target.open("wb") as file:
        while block := source.read(1 << 20):
            hasher.update(block)
            file.write(block)
            progress.advance(len(block))
    found = PREFIX + hasher.hexdigest()
    if found != each.digest:
        raise ApplianceError(codes.INPUT_CHANGED, f"expected {each.digest}, got {found}", where=each.path)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _members(draft: Path, digests: dict[str, str], executables: set[str]) -> list[Member]:
    """Raises ApplianceError: APL-BUNDLE-014, a file has a name that no medium takes."""
    listing = list_folder(draft)
    for fault in listing.faults:
        raise ApplianceError(codes.LAYOUT_REFUSED, fault.detail, where=fault.path)
    members = []
    for path, size in sorted(listing.sizes.items()):
        if manifest.is_signature(path):
            continue
        digest = digests.get(path) or digest_bytes((draft / path).read_bytes())
        members.append(
            Member(
                path=path,
                size_bytes=size,
                digest=digest,
                executable=path in executables,
                part=_PARTS.get(path.partition("/")[0], "lock"),
            )
        )
    return members
