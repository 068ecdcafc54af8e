"""The manifest is strict, and a model without duties cannot exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.base.errors import ApplianceError
from appliance.governance.package import is_better, load_package
from tests.unit.governance.conftest import manifest, write_package


def test_a_right_package(tmp_path: Path) -> None:
    package = load_package(write_package(tmp_path / "p"))
    assert (package.manifest.name, package.manifest.slo.latency_p99_ms) == ("thermal", "50.0")
    assert set(package.manifest.files) == {"model.onnx", "metrics.json", "model_card.md"}


@pytest.mark.parametrize("duty", ["owner", "slo", "staleness"])
@pytest.mark.parametrize("value", [..., "", None])
def test_no_owner_slo_or_staleness(tmp_path: Path, duty: str, value: Any) -> None:
    with pytest.raises(ApplianceError, match=f"{duty} missing or empty") as caught:
        load_package(write_package(tmp_path / "p", **{duty: value}))
    assert caught.value.code.id == "APL-MODEL-002"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, "unknown field"),
        ({"kind": ...}, "missing required field `kind`"),
        ({"purpose": 7}, "Expected `str`"),
        ({"format": "appliance-model-package/9"}, "Invalid enum value"),
        ({"identity": {}}, "missing required field"),
        ({"artifact_id": "sha256:" + "0" * 64}, "expected artifact id sha256:"),
        ({"name": "../up"}, "matching regex"),
        ({"staleness": "soon"}, "expected a duration"),
        ({"slo": {"latency_p99_ms": "50"}}, "missing required field `availability_percent`"),
        ({"metric": {"value": "much"}}, "'much' is not a number"),
        ({"metric": {"value": "NaN"}}, "the metric is NaN"),
        ({"metric": {"direction": "up"}}, "Invalid enum value"),
        ({"files": {"metrics.json": "sha256:" + "0" * 64}}, "files must name model.onnx"),
        ({"files": {"../model.onnx": "sha256:" + "0" * 64}}, "matching regex"),
        # A newline at the end is not the end of the text.
        ({"name": "incident_risk\n"}, "matching regex"),
        ({"files": {"model.onnx\n": "sha256:" + "0" * 64}}, "matching regex"),
        ({"files": {"model.onnx": "sha256:" + "0" * 64 + "\n"}}, "matching regex"),
    ],
)
def test_malformed_manifests(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ApplianceError, match=message) as caught:
        load_package(write_package(tmp_path / "p", **changes))
    assert caught.value.code.id == "APL-MODEL-001"


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"[" * 100_000, b'{"owner": "spaced"}'])
def test_what_is_no_manifest(tmp_path: Path, data: bytes) -> None:
    folder = write_package(tmp_path / "p")
    (folder / "package.json").write_bytes(data)
    with pytest.raises(ApplianceError):
        load_package(folder)


def test_files_are_compared(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "p")
    card = folder / "model_card.md"
    card.write_bytes(b"# card!")
    with pytest.raises(ApplianceError, match=r"model_card\.md: expected") as caught:
        load_package(folder)
    assert (caught.value.code.id, caught.value.where) == ("APL-MODEL-010", str(card))
    card.unlink()
    with pytest.raises(ApplianceError, match=r"model_card\.md is missing"):
        load_package(folder)
    card.symlink_to(folder / "metrics.json")
    with pytest.raises(ApplianceError, match="not a regular file"):
        load_package(folder)
    card.unlink()
    card.write_bytes(b"# card")
    (folder / "payload.so").write_bytes(b"")
    with pytest.raises(ApplianceError, match=r"payload\.so does not belong"):
        load_package(folder)


@pytest.mark.parametrize(
    ("direction", "candidate", "other", "better"),
    [
        ("maximize", "0.81", "0.80", True),
        ("maximize", "0.80", "0.8000", False),
        ("maximize", "0.79", "0.80", False),
        ("minimize", "0.79", "0.80", True),
        ("minimize", "9", "10", True),
        ("minimize", "1e1", "10", False),
    ],
)
def test_better_means_strictly_better(direction: str, candidate: str, other: str, better: bool, tmp_path: Path) -> None:
    metrics = [
        load_package(
            write_package(tmp_path / name, metric={"value": value, "direction": direction})
        ).manifest.primary_metric
        for name, value in (("a", candidate), ("b", other))
    ]
    assert is_better(*metrics) is better


def test_the_manifest_of_these_tests_is_complete() -> None:
    assert "files" not in manifest()
