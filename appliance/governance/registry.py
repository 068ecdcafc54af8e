"""The model registry: immutable versions, stages, and who moved them.

Layout: ``models/<name>/<version>/`` (read-only packages), ``registry.db`` (an index in SQLite), ``lock``.

Rules
1. A version never changes; its folder appears complete by rename, after every check has passed.
2. Every change is made on behalf of a recorded audit intent (`Audit.current`) and by its role.
3. Order of a change: checks, package, signed statement, move in the transparency log, database. What the log says has
   happened; a crash before it leaves an unused folder or statement, a crash after it is caught up from the log.
4. The database may be deleted: it is rebuilt from the log and the packages. When a row disagrees with a move that it
   has taken in, somebody changed it by hand: APL-MODEL-013.
5. A candidate must be better than what is there: `appliance.governance.candidates`.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from appliance.base import atomic
from appliance.base.clock import Clock, rfc3339
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.governance import approvals, codes, loading, stages
from appliance.governance.audit import Audit, Intent
from appliance.governance.candidates import Rival, check_better
from appliance.governance.package import (
    MANIFEST,
    Package,
    PackageManifest,
    load_package,
    parse_manifest,
)
from appliance.governance.package_store import package_folder, store_package
from appliance.governance.registry_index import RegistryIndex, Row
from appliance.governance.roles import RoleKeys, role_of
from appliance.governance.stages import History, Move, Stage, Standing
from appliance.trust import statements
from appliance.trust.anchor import Anchor
from appliance.trust.tlog import TransparencyLog

_log = logging.getLogger(__name__)

APPROVAL_LIFETIME = dt.timedelta(days=365)


class StatementSigner(Protocol):
    """`trust.signer.Signer` is one."""

    def sign(self, statement: bytes, role: str) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A registered version."""

    name: str
    version: int
    stage: Stage
    folder: Path
    manifest: PackageManifest
    standing: Standing

    @property
    def id(self) -> str:
        """``name/version``."""
        return f"{self.name}/{self.version}"


@dataclass(kw_only=True)
class Registry:
    """The registry in `folder`."""

    folder: Path
    log: TransparencyLog
    keys: RoleKeys
    signer: StatementSigner
    audit: Audit
    anchor: Anchor
    clock: Clock

    def register(self, package: Path, *, lineage: str | None = None, incumbent: str | None = None) -> ModelVersion:
        """Take a package in as a new candidate and sign the model statement.

        Args:
            lineage: id of the model's lineage document.
            incumbent: what the live version reaches on the candidate's holdout, as decimal text, when it was measured.

        Raises:
            ApplianceError: APL-MODEL-001, -002 or -010 the package is not valid, -003 it is registered, -004 it is not
                better, APL-AUDIT-004 there is no intent, APL-BASE-002 it cannot be written. Nothing was registered.
        """
        intent = self.audit.current()
        made = load_package(package)
        name = made.manifest.name
        with self._locked():
            history = self._indexed()
            self._check_new(made, history, incumbent)
            version = 1 + max((standing.version for standing in history.of(name)), default=0)
            store_package(self.folder, made, version)
            files = statements.model_signing(
                name=f"{name}-{version}", files={**made.manifest.files, MANIFEST: made.digest}
            )
            self.signer.sign(files, intent.role)
            statement = statements.model(
                name=f"{name}/{version}",
                package_digest=made.digest,
                files=made.manifest.files,
                predicate={
                    **_predicate(made.manifest),
                    "lineage": lineage,
                    "incumbent": incumbent,
                    "model_signing": digest_bytes(files),
                },
            )
            self.signer.sign(statement, intent.role)
            move = self._move(
                intent,
                name=name,
                version=version,
                artifact_id=made.manifest.artifact_id,
                package=made.digest,
                start=None,
                to="candidate",
                statement=digest_bytes(statement),
            )
            return self._publish(intent, [move], name, version)

    def approve(
        self, name: str, version: int, *, reason: str, lifetime: dt.timedelta = APPROVAL_LIFETIME
    ) -> ModelVersion:
        """Sign an approval of a candidate, or renew that of an approved or live version, as the intent's role.

        Raises:
            ApplianceError: APL-MODEL-006 it is retired or the reason is empty, APL-MODEL-008 the same key registered
                it, APL-MODEL-010 or -011 the package is not the signed one.
        """
        intent = self.audit.current()
        with self._locked():
            standing = self._standing(name, version, self._indexed())
            if standing.stage == "retired" or not reason.strip() or role_of(intent.role) != approvals.ROLE:
                raise ApplianceError(
                    codes.STAGE_REFUSED,
                    f"{name}/{version} is {standing.stage}; an approval needs a reason and the role approver",
                )
            if self.keys.key_id(intent.role) == standing.registrar_key:
                raise ApplianceError(
                    codes.APPROVAL_SAME_KEY, f"key {standing.registrar_key} registered {name}/{version}"
                )
            self._check_signed(standing)
            now = self.clock.now()
            statement = approvals.make_approval(standing, reason=reason, now=now, expires=now + lifetime)
            self.signer.sign(statement, intent.role)
            stage: Stage = "approved" if standing.stage == "candidate" else standing.stage
            move = self._step(intent, standing, stage, statement=digest_bytes(statement), reason=reason)
            return self._publish(intent, [move], name, version)

    def promote(self, name: str, version: int) -> ModelVersion:
        """Make an approved version live; the one that was live is approved again and kept for `rollback`.

        Raises:
            ApplianceError: APL-MODEL-006 it is not approved, or why it may not be loaded.
        """
        intent = self.audit.current()
        with self._locked():
            history = self._indexed()
            standing = self._standing(name, version, history)
            if standing.stage not in ("candidate", "approved"):
                raise ApplianceError(codes.STAGE_REFUSED, f"{name}/{version} is {standing.stage}, expected approved")
            self.check_loadable(name, version)
            live = history.live(name)
            moves = [self._step(intent, live, "approved", reason=f"replaced by version {version}")] if live else []
            return self._publish(intent, [*moves, self._step(intent, standing, "live")], name, version)

    def rollback(self, name: str, *, reason: str) -> ModelVersion:
        """Make the version live that was live before the present one.

        Raises:
            ApplianceError: APL-MODEL-015 there is none, or why it may not be loaded.
        """
        intent = self.audit.current()
        with self._locked():
            history = self._indexed()
            live = history.live(name)
            target = self.rollback_target(name, history)
            if live is None or target is None:
                raise ApplianceError(codes.NO_ROLLBACK, f"no version of {name} was live before")
            self.check_loadable(name, target.version)
            moves = [self._step(intent, live, "approved", reason=reason), self._step(intent, target, "live")]
            return self._publish(intent, moves, name, target.version)

    def retire(self, name: str, version: int, *, reason: str) -> ModelVersion:
        """End a version for good.

        Raises:
            ApplianceError: APL-MODEL-006, it is retired.
        """
        intent = self.audit.current()
        with self._locked():
            standing = self._standing(name, version, self._indexed())
            if standing.stage == "retired":
                raise ApplianceError(codes.STAGE_REFUSED, f"{name}/{version} is retired already")
            return self._publish(intent, [self._step(intent, standing, "retired", reason=reason)], name, version)

    def get(self, name: str, version: int) -> ModelVersion:
        """Raises:
        ApplianceError: APL-MODEL-005 there is none, APL-MODEL-013 the database was changed by hand.
        """
        return self._version(self._standing(name, version, self._indexed()))

    def find(self, text: str) -> ModelVersion:
        """``name/version``, or ``name`` for its live version, else its newest.

        Raises:
            ApplianceError: APL-MODEL-005.
        """
        name, slash, version = text.partition("/")
        if slash:
            if not version.isdecimal():
                raise ApplianceError(codes.MODEL_UNKNOWN, f"expected name/version, got {text!r}")
            return self.get(name, int(version))
        found = self.live(name) or next(reversed(self.list(name)), None)
        if found is None:
            raise ApplianceError(codes.MODEL_UNKNOWN, f"there is no {name}")
        return found

    def list(self, name: str | None = None) -> Sequence[ModelVersion]:
        """All versions (of a name), oldest first."""
        history = self._indexed()
        names = [name] if name is not None else sorted({key[0] for key in history.versions})
        return [self._version(standing) for each in names for standing in history.of(each)]

    def live(self, name: str) -> ModelVersion | None:
        standing = self._indexed().live(name)
        return self._version(standing) if standing else None

    def rollback_target(self, name: str, history: History | None = None) -> Standing | None:
        """The version that `rollback` would make live."""
        history = history or self._history()
        live = history.live(name)
        for version in reversed(history.lives.get(name, [])):
            standing = history.versions[name, version]
            if standing.stage == "approved" and (live is None or version != live.version):
                return standing
        return None

    def lineage_of(self, name: str, version: int) -> str | None:
        """Lineage id of a version's model document, from its signed statement.

        Raises:
            ApplianceError: APL-MODEL-005 there is none, APL-MODEL-011 the statement does not verify.
        """
        standing = self._standing(name, version, self._indexed())
        found: str | None = loading.verify_model(standing, self.anchor).statement.predicate["lineage"]
        return found

    def check_loadable(self, name: str, version: int) -> loading.Loadable:
        """See `loading.check_loadable`; the database is compared with the log as well (APL-MODEL-013)."""
        self._indexed()
        return loading.check_loadable(self.folder, self.anchor, name, version, now=self.clock.now())

    def _locked(self) -> Any:
        return atomic.exclusive(self.folder / "lock")

    def _history(self) -> History:
        return stages.replay(self.anchor.entries())

    def _indexed(self) -> History:
        """The history, after the database was brought up to it and compared."""
        history = self._history()
        index = RegistryIndex(self.folder / "registry.db")
        index.compare([self._row(standing) for _, standing in sorted(history.versions.items())])
        return history

    def _row(self, standing: Standing) -> Row:
        return Row(
            name=standing.name,
            version=standing.version,
            artifact_id=standing.artifact_id,
            package=standing.package,
            stage=standing.stage,
            registrar=standing.registrar,
            registered_at=standing.registered_at,
            statement=standing.statement,
            approval=standing.approval,
            move=standing.moves[-1],
        )

    def _standing(self, name: str, version: int, history: History) -> Standing:
        standing = history.versions.get((name, version))
        if standing is None:
            raise ApplianceError(codes.MODEL_UNKNOWN, f"there is no {name}/{version}")
        return standing

    def _version(self, standing: Standing) -> ModelVersion:
        folder = package_folder(self.folder, standing.name, standing.version)
        path = folder / MANIFEST
        try:
            manifest = parse_manifest(path.read_bytes(), where=str(path))
        except OSError as error:
            raise ApplianceError(
                codes.MODEL_TAMPERED, f"{MANIFEST} cannot be read: {error.strerror}", where=str(path)
            ) from error
        return ModelVersion(
            name=standing.name,
            version=standing.version,
            stage=standing.stage,
            folder=folder,
            manifest=manifest,
            standing=standing,
        )

    def _check_signed(self, standing: Standing) -> None:
        folder = package_folder(self.folder, standing.name, standing.version)
        loading.check_package(folder, standing, loading.verify_model(standing, self.anchor))

    def _check_new(self, made: Package, history: History, incumbent: str | None) -> None:
        others = [self._version(standing) for standing in history.of(made.manifest.name)]
        for other in others:
            if other.manifest.artifact_id == made.manifest.artifact_id:
                raise ApplianceError(
                    codes.ALREADY_REGISTERED, f"{other.id} has artifact id {made.manifest.artifact_id}"
                )
        rivals = [Rival(id=each.id, stage=each.stage, metric=each.manifest.primary_metric) for each in others]
        check_better(made.manifest.primary_metric, rivals, incumbent)

    def _step(
        self, intent: Intent, standing: Standing, to: Stage, *, statement: str | None = None, reason: str = ""
    ) -> Move:
        return self._move(
            intent,
            name=standing.name,
            version=standing.version,
            artifact_id=standing.artifact_id,
            package=standing.package,
            start=standing.stage,
            to=to,
            statement=statement,
            reason=reason,
        )

    def _move(self, intent: Intent, *, reason: str = "", **fields: Any) -> Move:
        return Move(
            **fields,
            reason=reason[: stages.MAX_REASON_CHARACTERS],
            time=rfc3339(self.clock.now()),
            role=role_of(intent.role),
            key_id=self.keys.key_id(intent.role),
            intent=intent.index,
        )

    def _publish(self, intent: Intent, moves: Sequence[Move], name: str, version: int) -> ModelVersion:
        self.log.append([stages.sign_move(move, self.keys, intent.role) for move in moves])
        try:
            history = self._indexed()
        except ApplianceError as error:
            # It has happened: the log says so. The database catches up with the next command.
            _log.warning("registry index not updated", extra={"reason": str(error)})
            history = self._history()
        return self._version(self._standing(name, version, history))


def _predicate(manifest: PackageManifest) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(manifest)
    kept = ("artifact_id", "name", "kind", "owner", "purpose", "slo", "staleness", "primary_metric", "identity")
    return {name: document[name] for name in kept}
