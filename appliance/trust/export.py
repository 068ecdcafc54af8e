"""Copies what an auditor needs of a trust folder: no private key, and a log that fits its checkpoint.

Rules
1. The checkpoint is read first; of the log, exactly the tiles of its tree are written, whatever is appended meanwhile.
2. The copy appears complete, by rename, and only if it passes the log check.
"""

from __future__ import annotations

from pathlib import Path

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.errors import ApplianceError
from appliance.trust import codes, log_check
from appliance.trust.anchor import Anchor
from appliance.trust.tiles import WIDTH, Tree, pack_entries, shape, tile_path


def export_trust(anchor: Anchor, target: Path) -> log_check.LogCheck:
    """Write the new folder `target`; gives the check of the copied log.

    Raises:
        ApplianceError: APL-TRUST-015 the target exists, APL-TRUST-002 or -003 the log is damaged, APL-BASE-002.
    """
    if target.exists():
        raise ApplianceError(codes.TARGET_EXISTS, f"{target} exists", where=str(target))
    draft = target.with_name(f".tmp-{target.name}")
    try:
        atomic.remove_tree(draft)
        for name in ("trust-config.json", "log.vkey"):
            atomic.write_bytes(draft / name, (anchor.folder / name).read_bytes())
        for name in ("certificates", "bundles"):
            (draft / name).mkdir()
            for path in sorted((anchor.folder / name).glob("[!.]*")):
                atomic.write_bytes(draft / name / path.name, path.read_bytes())
        head, tree = log_check.open_log(anchor.folder / "log", anchor.log_key)
        _write_tiles(tree, draft / "log")
        atomic.write_bytes(draft / "log" / "checkpoint", head.note)
        check = log_check.check_log(draft / "log", anchor.log_key)
        if not check.ok:
            raise ApplianceError(codes.LOG_BROKEN, f"{check.bad[0].path}: {check.bad[0].reason}", where=str(target))
        draft.rename(target)
        atomic.fsync_folder(target.parent)
    except OSError as error:
        atomic.remove_tree(draft)
        raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(target)) from error
    except ApplianceError:
        atomic.remove_tree(draft)
        raise
    return check


def _write_tiles(tree: Tree, folder: Path) -> None:
    for level, full, width in shape(tree.size):
        for number in range(full + (width > 0)):
            wide = WIDTH if number < full else width
            atomic.write_bytes(folder / tile_path(level, number, wide), b"".join(tree.hashes(level, number)))
            if level == 0:
                path = folder / tile_path("entries", number, wide)
                atomic.write_bytes(path, pack_entries(tree.bundle(number)))
