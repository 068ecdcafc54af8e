"""Gathers what goes into an audit pack of a site: the trust folder, packages of models, verifiers and documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.governance.package_store import package_folder
from appliance.trust import codes, pack
from appliance.trust.pack import Exported
from appliance.wiring.parts import Parts

DOCUMENTS = (
    "howto/audit_pack.md",
    "howto/key_stolen.md",
    "reference/audit_format.md",
    "reference/trust_formats.md",
    "explanation/trust_model.md",
    "explanation/threat_model.md",
)
STAGES = ("approved", "live")


def export(parts: Parts, target: Path, *, models: bool, files: Sequence[Path], progress: Progress) -> Exported:
    """Write the pack `target`; `models` adds the packages that are approved or live.

    Raises:
        ApplianceError: see `pack.export_pack`; APL-TRUST-026, two artifacts would have the same name.
    """
    artifacts: dict[str, Path] = {}
    for path in files:
        _add(artifacts, path.name, path)
    for version in parts.registry.list() if models else ():
        if version.stage in STAGES:
            folder = package_folder(parts.site.registry, version.name, version.version)
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                _add(artifacts, f"{version.name}/{version.version}/{path.relative_to(folder).as_posix()}", path)
    docs = parts.installed / "docs"
    extras = {f"docs/{name}": (docs / name).read_bytes() for name in DOCUMENTS if (docs / name).is_file()}
    return pack.export_pack(parts.anchor, target, artifacts=artifacts, extras=extras, progress=progress)


def _add(artifacts: dict[str, Path], name: str, path: Path) -> None:
    if name in artifacts:
        raise ApplianceError(codes.PACK_INVALID, f"two artifacts are called {name}", where=str(path))
    artifacts[name] = path
