"""May this model be loaded? Answered from signed bytes alone: the log, the bundles and the package.

Checks, in this order; each has its own code
1. The version exists in the log, and its stage is one that may be loaded (APL-MODEL-005, -012, -007).
2. The model statement verifies, by the role that registered it, and is about this package (APL-MODEL-011).
3. ``package.json`` and every file are the signed ones (APL-MODEL-010, naming the file).
4. An approval by another key holds now (APL-MODEL-007, -008, -009).

The registry's database is not asked: changing it changes nothing here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.governance import codes, stages
from appliance.governance.approvals import Approval, require_approval
from appliance.governance.package import MANIFEST, PackageManifest, check_files, parse_manifest
from appliance.governance.package_store import package_folder
from appliance.governance.stages import Stage, Standing
from appliance.trust import enrollment, statements
from appliance.trust.anchor import Anchor
from appliance.trust.sigstore_offline import VerifiedStatement

LOADABLE: tuple[Stage, ...] = ("approved", "live")


@dataclass(frozen=True, kw_only=True)
class Loadable:
    """A version that passed every check."""

    folder: Path
    manifest: PackageManifest
    standing: Standing
    statement: VerifiedStatement
    approval: Approval


def check_loadable(
    registry: Path,
    anchor: Anchor,
    name: str,
    version: int,
    *,
    now: dt.datetime,
    allowed: Collection[Stage] = LOADABLE,
) -> Loadable:
    """Check a version before a byte of it is loaded; `registry` is the site's registry folder.

    Raises:
        ApplianceError: see the module's checks; also the log's own errors (APL-TRUST-002, -003).
    """
    entries = anchor.entries()
    standing = stages.replay(entries).versions.get((name, version))
    if standing is None:
        raise ApplianceError(codes.MODEL_UNKNOWN, f"the log knows no {name}/{version}", where=f"{name}/{version}")
    if standing.stage == "retired":
        raise ApplianceError(codes.MODEL_RETIRED, f"{name}/{version} is retired", where=f"{name}/{version}")
    if standing.stage not in allowed:
        raise ApplianceError(
            codes.APPROVAL_MISSING, f"{name}/{version} is a {standing.stage}, not approved", where=f"{name}/{version}"
        )
    folder = package_folder(registry, name, version)
    statement = verify_model(standing, anchor)
    manifest = check_package(folder, standing, statement)
    approval = require_approval(standing, anchor, enrolled=enrollment.enrolled(entries), now=now)
    return Loadable(folder=folder, manifest=manifest, standing=standing, statement=statement, approval=approval)


def verify_model(standing: Standing, anchor: Anchor) -> VerifiedStatement:
    """The model statement of a version, verified against its registration.

    Raises:
        ApplianceError: APL-MODEL-011.
    """
    where = f"{standing.name}/{standing.version}"
    try:
        verified = anchor.verify(anchor.bundle(standing.statement), standing.registrar)
    except ApplianceError as error:
        raise ApplianceError(
            codes.MODEL_UNSIGNED, f"the statement of {where} does not verify: {error.message}", where=error.where
        ) from error
    statement = verified.statement
    if statement.predicate_type != statements.MODEL or verified.key_id != standing.registrar_key:
        raise ApplianceError(
            codes.MODEL_UNSIGNED, f"the statement of {where} is of another kind or by another key", where=where
        )
    if statement.subjects.get(f"{where}/{MANIFEST}") != standing.package:
        raise ApplianceError(codes.MODEL_UNSIGNED, f"the statement of {where} is about another package", where=where)
    return verified


def check_package(folder: Path, standing: Standing, verified: VerifiedStatement) -> PackageManifest:
    """Compare the package with its signed statement.

    Raises:
        ApplianceError: APL-MODEL-010, naming the file.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ApplianceError(
            codes.MODEL_TAMPERED, f"{MANIFEST} cannot be read: {error.strerror}", where=str(path)
        ) from error
    if digest_bytes(data) != standing.package:
        raise ApplianceError(
            codes.MODEL_TAMPERED, f"{MANIFEST}: expected {standing.package}, got {digest_bytes(data)}", where=str(path)
        )
    manifest = parse_manifest(data, where=str(path))
    prefix = f"{standing.name}/{standing.version}/"
    signed = {name.removeprefix(prefix): digest for name, digest in verified.statement.subjects.items()}
    if signed != {**manifest.files, MANIFEST: standing.package}:
        raise ApplianceError(codes.MODEL_UNSIGNED, "the statement names other files than the package", where=str(path))
    check_files(folder, manifest)
    return manifest
