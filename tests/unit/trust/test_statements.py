"""Statements have one form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.base.canonical import canonical
from appliance.base.errors import ApplianceError
from appliance.trust import statements

DIGEST = "sha256:" + "a" * 64


def test_round_trip() -> None:
    payload = statements.model(name="m", package_digest=DIGEST, files={"model.onnx": DIGEST}, predicate={"x": ["1.5"]})
    parsed = statements.parse_statement(payload)
    assert parsed.subjects == {"m/package.json": DIGEST, "m/model.onnx": DIGEST}
    assert (parsed.predicate_type, parsed.predicate) == (statements.MODEL, {"x": ["1.5"]})


def edited(**changes: Any) -> bytes:
    document = json.loads(statements.make_statement(statements.MODEL, {"m": DIGEST}, {}))
    document.update(changes)
    return canonical({name: value for name, value in document.items() if value is not None})


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "Expected `object`"),
        (edited(extra=1), "unknown field"),
        (edited(predicate=None), "missing required field"),
        (edited(_type="https://in-toto.io/Statement/v0.1"), "expected type"),
        (edited(subject=[]), "no subject"),
        (edited(subject=[{"name": "m", "digest": {"sha256": "A" * 64}}]), "is not sha256"),
        (edited(subject=[{"name": "m", "digest": {"sha512": "a" * 128}}]), "other digests"),
        (edited(subject=[{"name": "m", "digest": {"sha256": "a" * 64}}] * 2), "listed twice"),
        (json.dumps(json.loads(edited()), indent=1).encode(), "canonical form"),
    ],
)
def test_other_forms_are_refused(payload: bytes, message: str) -> None:
    with pytest.raises(ApplianceError, match=message) as caught:
        statements.parse_statement(payload)
    assert caught.value.code.id == "APL-TRUST-009"
