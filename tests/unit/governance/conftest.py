"""A site with roles, a log and an audit."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.base.canonical import canonical
from appliance.base.clock import FixedClock
from appliance.base.digest import digest_bytes, digest_json
from appliance.governance.audit import Audit
from appliance.governance.registry import ModelVersion, Registry
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony
from appliance.trust.anchor import open_anchor
from appliance.trust.ceremony import Enclave
from appliance.trust.signer import Signer
from appliance.trust.tlog import TransparencyLog


@dataclass(frozen=True, kw_only=True)
class Governed:
    folder: Path
    clock: FixedClock
    keys: RoleKeys
    enclave: Enclave
    log: TransparencyLog
    audit: Audit
    signer: Signer


@pytest.fixture
def governed(tmp_path: Path) -> Governed:
    clock = FixedClock(dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC))
    keys = RoleKeys(tmp_path / "keys")
    keys.create_all()
    enclave = ceremony.init_trust(tmp_path / "trust", "north", clock, keys.publics())
    log = enclave.log()
    return Governed(
        folder=tmp_path,
        clock=clock,
        keys=keys,
        enclave=enclave,
        log=log,
        audit=Audit(log, keys, clock),
        signer=Signer(enclave, log, keys, clock),
    )


HOLDOUT = digest_bytes(b"holdout")


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest that is right, with changes; an Ellipsis takes a field away."""
    metric = {"name": "roc_auc", "value": "0.80", "direction": "maximize", "holdout": HOLDOUT}
    metric.update(changes.pop("metric", {}))
    identity = {
        "code": digest_bytes(b"tree"),
        "data": HOLDOUT,
        "recipe": {"estimator": "gradient_boosting", "id": changes.pop("seed_of_id", "")},
        "views": [{"name": "load"}],
        "environment": digest_bytes(b"lock"),
        "hardware": "cpu-x86-64",
        "seed": 7,
        "threads": 2,
    }
    document = {
        "format": "appliance-model-package/1",
        "artifact_id": digest_json(identity),
        "name": "thermal",
        "kind": "classifier",
        "owner": "grid-analytics",
        "purpose": "Warn of hot transformers",
        "slo": {"latency_p99_ms": "50.0", "availability_percent": "99.9", "metric": "roc_auc", "minimum": "0.75"},
        "staleness": "30d",
        "primary_metric": metric,
        "identity": identity,
        "interface": {"inputs": ["load.mean_24h"], "threshold": "0.41"},
        **changes,
    }
    return {name: value for name, value in document.items() if value is not Ellipsis}


def write_package(folder: Path, **changes: Any) -> Path:
    """A package folder; `changes` as in `manifest`."""
    folder.mkdir(parents=True)
    document = manifest(**changes)
    contents = {"model.onnx": canonical(document), "metrics.json": b"{}", "model_card.md": b"# card"}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    document.setdefault("files", {name: digest_bytes(data) for name, data in contents.items()})
    (folder / "package.json").write_bytes(canonical(document))
    return folder


@contextlib.contextmanager
def acting(governed: Governed, role: str, action: str = "model.change") -> Iterator[None]:
    """The block runs on behalf of a recorded intent, as a command does."""
    intent = governed.audit.begin(role=role, action=action, arguments={})
    try:
        yield
    except BaseException:
        governed.audit.end(intent, outcome="failed", detail="")
        raise
    governed.audit.end(intent, outcome="done", detail="")


@pytest.fixture
def registry(governed: Governed) -> Registry:
    return Registry(
        folder=governed.folder / "registry",
        log=governed.log,
        keys=governed.keys,
        signer=governed.signer,
        audit=governed.audit,
        anchor=open_anchor(governed.folder / "trust"),
        clock=governed.clock,
    )


class Steps:
    """Short names for what people do, each as its own role."""

    def __init__(self, governed: Governed, registry: Registry) -> None:
        self.governed = governed
        self.registry = registry
        self._made = 0

    def package(self, value: str = "0.80", **changes: Any) -> Path:
        self._made += 1
        metric = {"value": value, **changes.pop("metric", {})}
        return write_package(
            self.governed.folder / f"package-{self._made}", metric=metric, seed_of_id=f"{self._made}", **changes
        )

    def register(self, value: str = "0.80", **options: Any) -> ModelVersion:
        with acting(self.governed, "data-scientist"):
            return self.registry.register(self.package(value), **options)

    def approve(self, version: int, role: str = "approver", **options: Any) -> ModelVersion:
        with acting(self.governed, role):
            return self.registry.approve("thermal", version, reason="looked at it", **options)

    def promote(self, version: int) -> ModelVersion:
        with acting(self.governed, "operator"):
            return self.registry.promote("thermal", version)

    def rollback(self) -> ModelVersion:
        with acting(self.governed, "operator"):
            return self.registry.rollback("thermal", reason="worse in the field")

    def retire(self, version: int) -> ModelVersion:
        with acting(self.governed, "operator"):
            return self.registry.retire("thermal", version, reason="end")

    def stages(self) -> dict[int, str]:
        return {version.version: version.stage for version in self.registry.list("thermal")}


@pytest.fixture
def steps(governed: Governed, registry: Registry) -> Steps:
    return Steps(governed, registry)
