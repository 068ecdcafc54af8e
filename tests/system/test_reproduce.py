"""`appliance reproduce`: in a fresh process and folder, from signed statements alone, the same bytes."""

import json

import pytest

from tests.product import MODEL, OFFLINE
from tests.system.flips import flipped, rewrite

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("options", [(), ("--from-lake",)], ids=["pinned set", "from the lake"])
def test_the_model_is_rebuilt_byte_for_byte(demo, options):
    ended = demo.product.run("reproduce", MODEL, *options, role="auditor", prefix=OFFLINE)
    assert ended.code == 0, ended.said[-3000:]
    assert ended.printed["identical"]
    assert ended.printed["artifact_id"] == demo.printed["models"][0]["artifact_id"]
    assert {"model.onnx", "package.json", "metrics.json", "reference.json"} <= set(ended.printed["files"])


def test_one_flipped_byte_of_the_training_set_is_named(copied):
    (rows,) = copied.folder.glob("runs/training-sets/*/rows.parquet")
    data = rows.read_bytes()
    rewrite(rows, flipped(data, len(data) // 2, 1))
    ended = copied.run("reproduce", MODEL, role="auditor")
    assert ended.code != 0
    assert rows.parent.name in json.dumps(ended.error)


def test_a_flipped_byte_of_the_package_that_names_the_identity_is_named(copied):
    (package,) = copied.folder.glob("runs/*/package/package.json")
    rewrite(package, flipped(package.read_bytes(), 20, 1))
    ended = copied.run("reproduce", MODEL, role="auditor")
    assert ended.code != 0
    assert "package/package.json" in ended.error["where"]
