"""Models: all registered versions, and one of them with everything that its approver read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.base.errors import ApplianceError
from appliance.governance import codes as governance_codes
from appliance.governance import loading
from appliance.governance.approvals import Approval, require_approval
from appliance.governance.package import PackageManifest
from appliance.governance.package_store import package_folder
from appliance.governance.stages import Standing
from appliance.observability.staleness import Staleness
from appliance.portal import bars, status
from appliance.portal.pages.metrics import figures_of
from appliance.portal.pages.reading import Part, read
from appliance.portal.rendering import Page
from appliance.portal.view import PortalData
from appliance.trust import enrollment


@dataclass(frozen=True, kw_only=True)
class Row:
    """A version in the list."""

    standing: Standing
    manifest: Part[PackageManifest]
    known: Part[Staleness]


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of the package as it is now, against its signed digest."""

    name: str
    digest: str
    size_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A column of the drift reference: a histogram from `low` to `high`, or `codes`."""

    name: str
    rows: int
    low: str = ""
    high: str = ""
    bars: bars.Bars | None = None
    codes: tuple[str, ...] = ()


def page(data: PortalData) -> Page:
    rows = [_row(data, standing) for standing in data.models().versions.values()]
    rows.sort(key=lambda row: (row.standing.name, -row.standing.version))
    live = sum(1 for row in rows if row.standing.stage == "live")
    waiting = sum(1 for row in rows if row.standing.stage == "candidate")
    return Page(
        template="models.html",
        context={
            "nav": "models",
            "rows": rows,
            "live": live,
            "waiting": waiting,
            "stages": status.STAGES,
            "freshness": status.FRESHNESS,
        },
    )


def _row(data: PortalData, standing: Standing) -> Row:
    manifest = read("its package", lambda: data.manifest(standing))
    known: Part[Staleness] = Part(None, manifest.failure)
    if manifest:
        known = read("its training set", lambda: data.data_age(manifest.value))
    return Row(standing=standing, manifest=manifest, known=known)


def detail(data: PortalData, name: str, version: int) -> Page:
    """Raises:
    ApplianceError: APL-MODEL-005 there is none, APL-MODEL-001 or -010 its manifest cannot be read.
    """
    standing = data.models().versions.get((name, version))
    if standing is None:
        raise ApplianceError(governance_codes.MODEL_UNKNOWN, f"there is no {name}/{version}", where=f"{name}/{version}")
    manifest = data.manifest(standing)
    folder = package_folder(data.site.registry, name, version)
    signed = read("the signature", lambda: _signed(data, standing))
    approval = read("the approval", lambda: _approval(data, standing))
    loadable = read("the package", lambda: loading.check_package(folder, standing, signed.value) if signed else None)
    metrics = read("metrics.json", lambda: _json(data, standing, "metrics.json"))
    return Page(
        template="model.html",
        context={
            "nav": "models",
            "standing": standing,
            "manifest": manifest,
            "state": status.STAGES[standing.stage],
            "known": read("its training set", lambda: data.data_age(manifest)),
            "freshness": status.FRESHNESS,
            "metrics": metrics,
            "figures": figures_of(metrics.value, manifest) if metrics else None,
            "signed": signed,
            "approval": approval,
            "unchanged": loadable,
            "files": read("the package", lambda: _files(data, standing, manifest)),
            "card": read("the model card", lambda: (folder / "model_card.md").read_text(encoding="utf-8")),
            "drift": read("the drift reference", lambda: drift_reference(_json(data, standing, "reference.json"))),
        },
    )


def _signed(data: PortalData, standing: Standing) -> Any:
    return loading.verify_model(standing, data.anchor)


def _approval(data: PortalData, standing: Standing) -> Approval | None:
    """None while there is none."""
    if standing.approval is None:
        return None
    enrolled = enrollment.enrolled(data.entries())
    return require_approval(standing, data.anchor, enrolled=enrolled, now=data.clock.now())


def _json(data: PortalData, standing: Standing, name: str) -> Mapping[str, Any]:
    path = package_folder(data.site.registry, standing.name, standing.version) / name
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise TypeError(f"{name} holds no JSON object")
    return found


def _files(data: PortalData, standing: Standing, manifest: PackageManifest) -> list[File]:
    folder = package_folder(data.site.registry, standing.name, standing.version)
    digests = {"package.json": standing.package, **manifest.files}
    return [
        File(name=name, digest=digest, size_bytes=(folder / name).stat().st_size if (folder / name).is_file() else None)
        for name, digest in sorted(digests.items())
    ]


def drift_reference(reference: Mapping[str, Any]) -> list[Shape]:
    """Per column what newer data are compared with: its shape over its range, or its codes."""
    found: list[Shape] = []
    for kind, prefix in (("numbers", ""), ("scores", "prediction ")):
        for name, column in sorted(reference.get(kind, {}).items()):
            coarse = [int(count) for count in column["coarse"]]
            found.append(
                Shape(
                    name=prefix + name,
                    rows=int(column["rows"]),
                    low=str(column["low"]),
                    high=str(column["high"]),
                    bars=bars.draw(coarse, [""] * len(coarse), gap=0.0),
                )
            )
    for name, column in sorted(reference.get("codes", {}).items()):
        counts: Mapping[str, int] = column["counts"]
        found.append(Shape(name=name, rows=sum(counts.values()), codes=tuple(sorted(counts))))
    return found
