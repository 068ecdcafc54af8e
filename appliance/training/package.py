"""Writes a model package: the folder that is signed, registered and served.

Rules
1. Files: ``model.onnx package.json metrics.json model_card.md reference.json``; JSON is canonical, numbers that are
   not whole are decimal text with six digits.
2. Nothing in it depends on time, place, user or run: the same inputs give the same bytes.
3. ``package.json`` names the digest of every other file and everything that decided them (`Identity`). Lineage ids are
   not in it: they hold random snapshot ids and belong to the lineage document of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from appliance.base import atomic
from appliance.base.canonical import canonical, parse_canonical
from appliance.base.digest import digest_bytes
from appliance.governance.package import MANIFEST, Identity, Metric, PackageManifest, Slo

FILES = ("metrics.json", "model.onnx", "model_card.md", "reference.json")


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a job made. `interface` says how to call the model: inputs in order, contracts, threshold, outputs."""

    kind: str
    model: bytes
    metrics: dict[str, Any]
    primary_metric: Metric
    card: str
    reference: dict[str, Any]
    interface: dict[str, Any]


def write_package(folder: Path, identity: Identity, content: Content) -> None:
    """Write the five files into `folder`, ``package.json`` last."""
    files = {
        "metrics.json": canonical(content.metrics),
        "model.onnx": content.model,
        "model_card.md": content.card.encode(),
        "reference.json": canonical(content.reference),
    }
    for name, data in files.items():
        atomic.write_bytes(folder / name, data)
    recipe = identity.recipe
    manifest = PackageManifest(
        format="appliance-model-package/1",
        artifact_id=identity.artifact_id,
        name=recipe["model"],
        kind=content.kind,
        owner=recipe["owner"],
        purpose=recipe["purpose"],
        slo=msgspec.convert(recipe["slo"], Slo),
        staleness=recipe["staleness_limit"],
        primary_metric=content.primary_metric,
        identity=identity,
        interface=content.interface,
        files={name: digest_bytes(data) for name, data in files.items()},
    )
    atomic.write_bytes(folder / MANIFEST, canonical(msgspec.to_builtins(manifest)))


def read_package(folder: Path) -> dict[str, Any]:
    """``package.json`` of a package; the caller has verified it (serving does so by signature).

    Raises:
        ApplianceError: APL-BASE-001. OSError when there is none.
    """
    document: dict[str, Any] = parse_canonical((folder / "package.json").read_bytes())
    return document


def identity_of(document: Mapping[str, Any]) -> Identity:
    """The identity that stands in ``package.json``."""
    return msgspec.convert(document["identity"], Identity)
