"""A bundle as an ISO 9660 image, which every system mounts read-only; made by Debian's ``xorriso``.

Rules
1. The same bundle gives the same image, byte for byte: the instant of the lock for all times, the order of paths for
   the data, owner root, and modes by the manifest, whatever the folder's are.
2. Rock Ridge keeps names as they are. There is no second tree of names (Joliet): what is verified is what is seen.
3. Nothing goes in that is not in the manifest or signs it, and every member is hashed before.
4. The image appears complete, by rename.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.base import atomic, process
from appliance.base import codes as base_codes
from appliance.base.clock import EPOCH, parse_rfc3339
from appliance.base.digest import digest_file
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import codes, release
from appliance.bundle.forecast import image_bytes, require_room
from appliance.bundle.hashing import hash_files
from appliance.bundle.manifest import Manifest

_LEVEL = "iso_9660_level=3"  # a file may be greater than 4 GiB
_LIMIT_S = 24 * 3600.0
_TAIL = 500  # characters of xorriso's last words that go into a message


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that was written."""

    path: Path
    size_bytes: int
    digest: str


def write(folder: Path, target: Path, progress: Progress) -> Image:
    """Write the bundle in `folder` to the new file `target`.

    Raises:
        ApplianceError: APL-BUNDLE-011 the target exists, -020 to -025 and -028 the folder is no bundle that could be
            verified, -029 it is none, -049, APL-BASE-002, -003 xorriso is missing or failed. There is no `target` then.
    """
    if target.exists():
        raise ApplianceError(codes.TARGET_EXISTS, f"{target} exists", where=str(target))
    made = release.read_manifest(folder)
    sizes = release.listed_files(folder, made)
    require_room(target, image_bytes(sum(sizes.values()), len(sizes)), 3)
    _hash(folder, made, progress)
    draft, words, log = (target.with_name(f".tmp-{target.name}{end}") for end in ("", ".commands", ".log"))
    try:
        draft.unlink(missing_ok=True)  # of a run that was killed: xorriso would add to it
        log.unlink(missing_ok=True)
        atomic.write_bytes(words, _commands(made, sorted(sizes)).encode())
        _run(folder, draft, words, log, made, progress)
        image = Image(path=target, size_bytes=draft.stat().st_size, digest=digest_file(draft))
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.rename(target)
        atomic.fsync_folder(target.parent)
    except OSError as error:
        raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(target)) from error
    finally:
        for each in (draft, words, log):
            each.unlink(missing_ok=True)
    return image


def volume_id(made: Manifest) -> str:
    """The label that a mounted image shows, as ``CORE_1_2_0``."""
    return re.sub(r"[^A-Z0-9]", "_", f"{made.bundle}_{made.version}".upper())[:32]


def _hash(folder: Path, made: Manifest, progress: Progress) -> None:
    expected = {each.path: each.digest for each in made.members}
    progress.begin("hash files", made.size_bytes)
    for each in hash_files(folder, {each.path: each.size_bytes for each in made.members}, progress):
        if each.fault:
            raise ApplianceError(codes.UNREADABLE, each.fault, where=each.path)
        if each.digest != expected[each.path]:
            told = f"expected {expected[each.path]}, got {each.digest}"
            raise ApplianceError(codes.MEMBER_CHANGED, told, where=each.path)


def _commands(made: Manifest, paths: list[str]) -> str:
    """What xorriso does; names of a bundle hold no quotes, blanks or patterns (`member_path`)."""
    instant = parse_rfc3339(made.made_at).strftime("%Y%m%d%H%M%S00")
    lines = [f"-volid {volume_id(made)}", f"-compliance {_LEVEL}", "-rockridge on", "-joliet off", "-padding 300k"]
    lines += [f"-volume_date {which} {instant}" for which in ("all_file_dates", "uuid", "c", "m")]
    lines += [f"-map '{path}' '/{path}'" for path in paths]
    lines += ["-chown_r 0 / --", "-chgrp_r 0 / --"]
    lines += ["-find / -type d -exec chmod 0555 --", "-find / -type f -exec chmod 0444 --"]
    lines += [f"-chmod 0555 '/{each.path}' --" for each in made.members if each.executable]
    lines += [f"-find '/{path}' -exec sort_weight {len(paths) - place} --" for place, path in enumerate(paths)]
    return "\n".join([*lines, "-commit", "-end", ""])


def _run(folder: Path, draft: Path, words: Path, log: Path, made: Manifest, progress: Progress) -> None:
    epoch_s = int((parse_rfc3339(made.made_at) - EPOCH).total_seconds())
    command = ["xorriso", "-no_rc", "-abort_on", "FAILURE", "-report_about", "WARNING", "-temp_mem_limit", "64m"]
    command += ["-outdev", f"stdio:{draft}", "-cdx", str(folder), "-options_from_file", str(words)]
    told = {"SOURCE_DATE_EPOCH": str(epoch_s), "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    progress.begin("write image", made.size_bytes)
    running = process.start(command, log_path=log, extra_environment=told, tied=True)
    written, until = 0, time.monotonic() + _LIMIT_S
    try:
        while (code := running.returncode()) is None and time.monotonic() < until:
            time.sleep(0.05)
            size = draft.stat().st_size if draft.exists() else 0
            progress.advance(size - written)
            written = size
    finally:
        running.stop(grace_s=1.0)
    if code != 0:
        said = log.read_text(encoding="utf-8", errors="replace").strip()[-_TAIL:] if log.exists() else ""
        full = "No space left" in said or "exceeds free space" in said
        raise ApplianceError(
            base_codes.WRITE_FAILED if full else base_codes.PROCESS_FAILED,
            f"xorriso ended with {code}: {said}",
            where=str(draft),
        )
