"""Identity of artifacts, the pinned environment of jobs, and the comparison of rebuilt files."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.governance.lineage import FileRecord
from appliance.governance.package import Identity, Metric
from appliance.training.environment import CPU_CLASS, code_digest, job_environment
from appliance.training.package import Content, identity_of, read_package, write_package
from appliance.training.reproduce import check_here, compare

IDENTITY = Identity(
    code=code_digest(),
    data="sha256:" + "a" * 64,
    recipe={
        "model": "m",
        "owner": "o",
        "purpose": "p",
        "staleness_limit": "30d",
        "slo": {"latency_p99_ms": "50.0", "availability_percent": "99.5", "metric": "roc_auc", "minimum": "0.8"},
    },
    views=[],
    environment="sha256:" + "b" * 64,
    hardware=CPU_CLASS,
    seed=7,
    threads=2,
)
CONTENT = Content(
    kind="classifier",
    model=b"onnx",
    metrics={},
    primary_metric=Metric(name="roc_auc", value="0.9", direction="maximize", holdout="sha256:" + "a" * 64),
    card="# m\n",
    reference={},
    interface={},
)


@pytest.mark.parametrize(
    "change",
    [
        {"code": "x"},
        {"data": "x"},
        {"recipe": {}},
        {"views": [{}]},
        {"environment": "x"},
        {"hardware": "x"},
        {"seed": 8},
        {"threads": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_that_decides_the_bytes_decides_the_id(change):
    assert msgspec.structs.replace(IDENTITY, **change).artifact_id != IDENTITY.artifact_id


def test_a_package_reads_back_and_is_the_same_twice(tmp_path):
    for name in ("a", "b"):
        write_package(tmp_path / name, IDENTITY, CONTENT)
    assert identity_of(read_package(tmp_path / "a")) == IDENTITY
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_the_first_file_that_differs_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    right = [
        FileRecord(path=f"runs/x/{name}", digest=digest_bytes(data), size=1)
        for name, data in (("a", b"1"), ("b", b"2"))
    ]
    assert compare(right, tmp_path) == ("a", "b")
    wrong = [right[0], replace(right[1], digest=digest_bytes(b"3"))]
    with pytest.raises(ApplianceError, match="b: expected sha256:") as caught:
        compare(wrong, tmp_path)
    assert caught.value.code.id == "APL-TRAINING-009"
    (tmp_path / "b").unlink()
    with pytest.raises(ApplianceError, match="got no such file"):
        compare(right, tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [({"code": "sha256:0"}, "code"), ({"environment": "sha256:0"}, "lock"), ({"hardware": "gpu-x"}, "gpu-x")],
)
def test_elsewhere_nothing_is_claimed(change, word):
    check_here(IDENTITY, environment=IDENTITY.environment)
    with pytest.raises(ApplianceError, match=word) as caught:
        check_here(msgspec.structs.replace(IDENTITY, **change), environment=IDENTITY.environment)
    assert caught.value.code.id == "APL-TRAINING-010"


def test_a_job_sees_one_instruction_set_and_its_threads():
    pinned = job_environment(3, gpu=False)
    assert pinned["OMP_NUM_THREADS"] == pinned["OPENBLAS_NUM_THREADS"] == "3"
    assert pinned["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in job_environment(3, gpu=True)
