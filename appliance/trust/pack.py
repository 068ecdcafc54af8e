"""The audit pack: everything that an auditor needs of a site, in one folder or tar file, and nothing secret.

Rules (docs/reference/trust_formats.md)
1. A pack shows the log as the witnesses saw it: its checkpoint is the newest witnessed one, its tiles exactly those of
   that tree, whatever was appended meanwhile. Where the policy wants no witness it is the newest checkpoint.
2. Statements that were signed after that checkpoint are left out and counted: they are in the next pack.
3. It appears complete, by rename, and only if its log passes the log check. The same site state gives the same bytes.
4. Reading: names, kinds and sizes of files are checked before anything is parsed; links and special files are refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.base import archive, atomic
from appliance.base import codes as base_codes
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.trust import codes, cosigning, custody, log_check, notes
from appliance.trust.anchor import Anchor
from appliance.trust.tiles import WIDTH, Tree, pack_entries, shape, tile_path

MAX_FILES = 200_000
MAX_PACK_BYTES = 1 << 40
LIMITS = {"tuf/metadata": 4 << 20, "bundles": 32 << 20, "log/checkpoint": 1 << 16}
REQUIRED = (
    *custody.COPIES,
    "log/checkpoint",
    "tuf/metadata/1.root.json",
    "tuf/metadata/timestamp.json",
)
_NAME = re.compile(r"[A-Za-z0-9._/-]+")
_BUNDLE = re.compile(r"bundles/[0-9a-f]{64}\.sigstore\.json")
START_HERE = """Audit pack of {origin}: {size} log entries.

Nothing in this folder is to be believed because it lies here. You need the digest of the first root, from paper:

    python3 verifiers/verify.py pack --root-digest sha256:... .
    bash verifiers/verify.sh pack . sha256:...

Debian 12 with python3-cryptography, openssl and jq is enough; no network, and any clock. The verifiers are here for
convenience: take them from a medium that you trust, or compare their digests with those that the custodians signed.
docs/ says how to check everything by hand and how the formats are made.
"""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What went into a pack; `later` counts the statements that were signed after its checkpoint."""

    folder: Path
    size: int
    root: bytes
    statements: int
    later: int


def export_pack(
    anchor: Anchor,
    target: Path,
    *,
    artifacts: Mapping[str, Path],
    extras: Mapping[str, bytes],
    progress: Progress,
) -> Exported:
    """Write the new pack `target`: a folder, or one tar file when the name ends with ``.tar``.

    Args:
        artifacts: name below ``artifacts/`` -> file.
        extras: path in the pack -> content, for documents.

    Raises:
        ApplianceError: APL-TRUST-015 the target exists, APL-TRUST-017 the log is not witnessed yet, APL-TRUST-002 or
            -003 it is damaged, APL-BASE-002. Nothing was left behind.
    """
    if target.exists():
        raise ApplianceError(codes.TARGET_EXISTS, f"{target} exists", where=str(target))
    head, tree = cosigning.newest_witnessed(anchor)
    draft = target.with_name(f".tmp-{target.name}.d")
    try:
        atomic.remove_tree(draft)
        later = _write(anchor, head, tree, draft, artifacts, extras, progress)
        check = log_check.check_log(draft / "log", anchor.log_key)
        if not check.ok:
            raise ApplianceError(codes.LOG_BROKEN, f"{check.bad[0].path}: {check.bad[0].reason}", where=str(target))
        if target.suffix == ".tar":
            members = {path.relative_to(draft).as_posix(): path for path in draft.rglob("*") if path.is_file()}
            archive.pack(target, members)
            atomic.remove_tree(draft)
        else:
            draft.rename(target)
            atomic.fsync_folder(target.parent)
    except OSError as error:
        atomic.remove_tree(draft)
        raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(target)) from error
    except BaseException:
        atomic.remove_tree(draft)
        raise
    count = sum(1 for _ in (anchor.folder / "bundles").glob("*.sigstore.json"))
    return Exported(folder=target, size=head.size, root=head.root, statements=count - later, later=later)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder of a pack, for as long as the block runs: `path` itself, or what the tar file there holds.

    Raises:
        ApplianceError: APL-BASE-005 the file is no archive; APL-TRUST-026 the folder is no pack.
    """
    with tempfile.TemporaryDirectory(prefix="pack-") as scratch:
        folder = Path(scratch) / "pack" if path.is_file() else path
        if path.is_file():
            archive.unpack(path, folder, max_bytes=MAX_PACK_BYTES)
        if not (folder / custody.COPIES[0]).is_file():
            raise ApplianceError(codes.PACK_INVALID, f"no pack: {custody.COPIES[0]} is missing", where=str(path))
        yield folder


def check_form(folder: Path) -> None:
    """Rule 4.

    Raises:
        ApplianceError: APL-TRUST-026, naming the file.
    """
    count, lowered = 0, set[str]()
    for path, status in _walk(folder):
        name = path.relative_to(folder).as_posix()
        bundle = name.startswith("bundles/") and not _BUNDLE.fullmatch(name)
        if not _NAME.fullmatch(name) or ".." in name or bundle or name.lower() in lowered:
            raise ApplianceError(codes.PACK_INVALID, f"the name {name!r} is not allowed", where=str(path))
        lowered.add(name.lower())
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise ApplianceError(codes.PACK_INVALID, f"{name} is a link or a special file", where=str(path))
        limit = next((most for place, most in LIMITS.items() if name == place or name.startswith(f"{place}/")), None)
        if limit is not None and status.st_size > limit:
            raise ApplianceError(codes.PACK_INVALID, f"{name} has {status.st_size} bytes, at most {limit} are allowed")
        count += 1
        if count > MAX_FILES:
            raise ApplianceError(codes.PACK_INVALID, f"more than {MAX_FILES} files", where=str(folder))
    for name in REQUIRED:
        if not (folder / name).is_file():
            raise ApplianceError(codes.PACK_INVALID, f"{name} is missing", where=str(folder / name))


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        for path in sorted(folder.iterdir()):
            status = path.lstat()
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(path)
    except OSError as error:
        raise ApplianceError(codes.PACK_INVALID, f"cannot be read: {error.strerror}", where=str(folder)) from error


def _write(
    anchor: Anchor,
    head: notes.Checkpoint,
    tree: Tree,
    draft: Path,
    artifacts: Mapping[str, Path],
    extras: Mapping[str, bytes],
    progress: Progress,
) -> int:
    """Everything but the check; gives how many statements were left out."""
    folder = anchor.folder
    for name in custody.COPIES:
        atomic.write_bytes(draft / name, (folder / name).read_bytes())
    for place in ("tuf/metadata", "tuf/targets", "certificates"):
        for path in sorted((folder / place).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                atomic.write_bytes(draft / path.relative_to(folder), path.read_bytes())
    _write_tiles(tree, draft / "log", progress)
    atomic.write_bytes(draft / "log" / "checkpoint", head.note)
    later = 0
    (draft / "bundles").mkdir()
    for path in sorted((folder / "bundles").glob("[!.]*.sigstore.json")):
        data = path.read_bytes()
        if tree_size(data) > head.size:
            later += 1
        else:
            atomic.write_bytes(draft / "bundles" / path.name, data)
    (draft / "artifacts").mkdir()
    for name, path in sorted(artifacts.items()):
        archive.check_member_path(name)
        atomic.write_bytes(draft / "artifacts" / name, path.read_bytes())
    for name, data in _published_verifiers(folder).items():
        atomic.write_bytes(draft / "verifiers" / name, data, mode=0o755)
    start = START_HERE.format(origin=head.origin, size=head.size).encode()
    for name, data in {"START-HERE.txt": start, **extras}.items():
        archive.check_member_path(name)
        atomic.write_bytes(draft / name, data)
    return later


def _published_verifiers(trust: Path) -> dict[str, bytes]:
    from appliance.trust.tuf import repository

    contents = repository.contents(trust / "tuf")
    return {name: contents[name] for name in custody.VERIFIERS if name in contents}


def tree_size(bundle: bytes) -> int:
    """Size of the tree that a bundle's proof leads to; unverified. 0 when there is none to be read."""
    try:
        (entry,) = json.loads(bundle)["verificationMaterial"]["tlogEntries"]
        return int(entry["inclusionProof"]["treeSize"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0


def _write_tiles(tree: Tree, folder: Path, progress: Progress) -> None:
    progress.begin("log", tree.size)
    for level, full, width in shape(tree.size):
        for number in range(full + (width > 0)):
            wide = WIDTH if number < full else width
            atomic.write_bytes(folder / tile_path(level, number, wide), b"".join(tree.hashes(level, number)))
            if level == 0:
                path = folder / tile_path("entries", number, wide)
                atomic.write_bytes(path, pack_entries(tree.bundle(number)))
                progress.advance(wide)
