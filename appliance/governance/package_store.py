"""Where registered packages lie: ``models/<name>/<version>/``, read-only.

Rules
1. A folder appears complete, by rename, after its copied bytes were checked again.
2. A folder that the log does not know is a leftover of an interrupted registration; the next one replaces it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from appliance.base import atomic
from appliance.base import codes as base_codes
from appliance.base.errors import ApplianceError
from appliance.governance import codes
from appliance.governance.package import MANIFEST, Package, load_package


def package_folder(registry: Path, name: str, version: int) -> Path:
    """Where a version lies in the registry folder `registry`."""
    return registry / "models" / name / str(version)


def store_package(registry: Path, package: Package, version: int) -> Path:
    """Copy a checked package to its place, durably; the version is new to the log.

    Raises:
        ApplianceError: APL-BASE-002 it cannot be written, APL-MODEL-001 or -010 it changed meanwhile.
    """
    target = package_folder(registry, package.manifest.name, version)
    draft = target.with_name(f".tmp-{version}")
    try:
        for leftover in (draft, target):
            _remove(leftover)
        for name in (*package.manifest.files, MANIFEST):
            with atomic.open_atomic(draft / name, mode=0o444) as file, (package.folder / name).open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
        if load_package(draft).digest != package.digest:
            raise ApplianceError(codes.PACKAGE_INVALID, "the package changed while it was read", where=str(target))
        draft.rename(target)
        target.chmod(0o555)
        for folder in (target, target.parent, target.parent.parent, registry):
            atomic.fsync_folder(folder)
    except OSError as error:
        _remove(draft)
        raise ApplianceError(base_codes.WRITE_FAILED, f"cannot write: {error.strerror}", where=str(target)) from error
    except ApplianceError:
        _remove(draft)
        raise
    return target


def _remove(folder: Path) -> None:
    if folder.exists():
        folder.chmod(0o755)
        shutil.rmtree(folder)
