"""``package.json`` of a model package: the contract between training, which writes it, and everybody who reads it.

Rules
1. Canonical JSON; unknown, missing or mistyped fields are refused.
2. Owner, SLO and staleness limit have a refusal of their own: a model without them cannot exist (APL-MODEL-002).
3. ``files`` names every other file of the folder with its digest; a file that it does not name is refused, and so are
   links and folders.
4. Numbers that are not whole are decimal text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from appliance.base.canonical import parse_canonical
from appliance.base.digest import digest_bytes, digest_file, digest_json
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.governance import codes

MANIFEST = "package.json"
MODEL = "model.onnx"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024  # recipes and contracts; ours have 10 kB
DUTIES = ("owner", "slo", "staleness")

Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}\Z")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of the manifest."""


class Slo(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model promises to those who call it; numbers as decimal text."""

    latency_p99_ms: Text
    availability_percent: Text
    metric: Text
    minimum: Text


class Metric(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metric that decides between versions, measured on the held-out rows of the training set `holdout`."""

    name: Text
    value: Text
    direction: Literal["maximize", "minimize"]
    holdout: Digest


class Identity(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides a model's bytes.

    Attributes:
        code: digest of the code that trains.
        data: content digest of the training set.
        recipe: resolved, every default written out.
        views: declarations of the feature views that it reads.
        environment: digest of the lock of the training environment.
    """

    code: Digest
    data: Digest
    recipe: dict[str, Any]
    views: list[dict[str, Any]]
    environment: Digest
    hardware: Text
    seed: int
    threads: int

    @property
    def artifact_id(self) -> str:
        return digest_json(msgspec.to_builtins(self))


class PackageManifest(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the module's rules. `interface` says how to call the model; lineage ids are not in a package, because they
    hold random snapshot ids and the same inputs must give the same bytes."""

    format: Literal["appliance-model-package/1"]
    artifact_id: Digest
    name: Name
    kind: Text
    owner: Text
    purpose: Text
    slo: Slo
    staleness: Text
    primary_metric: Metric
    identity: Identity
    interface: dict[str, Any]
    files: Annotated[dict[FileName, Digest], Meta(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package whose files are as its manifest says. `digest` is that of ``package.json``."""

    folder: Path
    manifest: PackageManifest
    digest: str


def parse_manifest(data: bytes, *, where: str = MANIFEST) -> PackageManifest:
    """Raises:
    ApplianceError: APL-MODEL-002 owner, SLO or staleness is missing or empty, APL-MODEL-001 anything else.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ApplianceError(
            codes.PACKAGE_INVALID, f"{len(data)} bytes, at most {MAX_MANIFEST_BYTES} are allowed", where=where
        )
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ApplianceError(codes.PACKAGE_INVALID, f"not JSON: {error}", where=where) from error
    if not isinstance(document, dict):
        raise ApplianceError(codes.PACKAGE_INVALID, "not a JSON object", where=where)
    missing = [duty for duty in DUTIES if not document.get(duty)]
    if missing:
        raise ApplianceError(codes.DUTY_MISSING, f"{', '.join(missing)} missing or empty", where=where)
    try:
        manifest = msgspec.convert(parse_canonical(data), PackageManifest, strict=True)
        duration_us(manifest.staleness)
    except (msgspec.ValidationError, ApplianceError) as error:
        raise ApplianceError(codes.PACKAGE_INVALID, str(error), where=where) from error
    if manifest.artifact_id != manifest.identity.artifact_id:
        raise ApplianceError(
            codes.PACKAGE_INVALID,
            f"expected artifact id {manifest.identity.artifact_id} of its identity, got {manifest.artifact_id}",
            where=where,
        )
    metric_value(manifest.primary_metric.value)
    if MODEL not in manifest.files or MANIFEST in manifest.files:
        raise ApplianceError(codes.PACKAGE_INVALID, f"files must name {MODEL} and not {MANIFEST}", where=where)
    return manifest


def load_package(folder: Path) -> Package:
    """Read a package and check every file of it.

    Raises:
        ApplianceError: see `parse_manifest`; APL-MODEL-010 a file is not as the manifest says, naming it.
    """
    path = folder / MANIFEST
    data = _read(path)
    manifest = parse_manifest(data, where=str(path))
    check_files(folder, manifest)
    return Package(folder=folder, manifest=manifest, digest=digest_bytes(data))


def check_files(folder: Path, manifest: PackageManifest) -> None:
    """Compare the folder with the manifest.

    Raises:
        ApplianceError: APL-MODEL-010, naming the first file that was altered, is missing or was added.
    """
    for name, expected in sorted(manifest.files.items()):
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise ApplianceError(codes.MODEL_TAMPERED, f"{name} is missing or not a regular file", where=str(path))
        found = digest_file(path)
        if found != expected:
            raise ApplianceError(codes.MODEL_TAMPERED, f"{name}: expected {expected}, got {found}", where=str(path))
    added = sorted({path.name for path in folder.iterdir()} - {*manifest.files, MANIFEST})
    if added:
        raise ApplianceError(
            codes.MODEL_TAMPERED, f"{added[0]} does not belong to the package", where=str(folder / added[0])
        )


def metric_value(text: str) -> Decimal:
    """Raises:
    ApplianceError: APL-MODEL-001, not a finite decimal number.
    """
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ApplianceError(codes.PACKAGE_INVALID, f"{text!r} is not a number") from error
    if not value.is_finite():
        raise ApplianceError(codes.PACKAGE_INVALID, f"the metric is {text}")
    return value


def is_better(candidate: Metric, other: Metric) -> bool:
    """Whether `candidate` is strictly better on the same holdout; the metrics must be comparable."""
    left, right = metric_value(candidate.value), metric_value(other.value)
    return left > right if candidate.direction == "maximize" else left < right


def is_comparable(one: Metric, other: Metric) -> bool:
    return (one.name, one.direction, one.holdout) == (other.name, other.direction, other.holdout)


def _read(path: Path) -> bytes:
    try:
        if path.is_symlink():
            raise ApplianceError(codes.PACKAGE_INVALID, f"{MANIFEST} is a link", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise ApplianceError(
            codes.PACKAGE_INVALID, f"{MANIFEST} cannot be read: {error.strerror}", where=str(path)
        ) from error
