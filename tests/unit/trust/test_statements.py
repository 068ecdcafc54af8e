"""Statements have one form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.base.canonical import canonical
from appliance.base.errors import ApplianceError
from appliance.trust import statements

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def test_round_trip() -> None:
    payload = statements.model(name="m", package_digest=DIGEST, files={"model.onnx": DIGEST}, predicate={"x": ["1.5"]})
    parsed = statements.parse_statement(payload)
    assert parsed.subjects == {"m/package.json": DIGEST, "m/model.onnx": DIGEST}
    assert (parsed.predicate_type, parsed.predicate) == (statements.MODEL, {"x": ["1.5"]})


def test_a_release_is_slsa_provenance() -> None:
    parsed = statements.parse_statement(
        statements.release(
            subjects={"bundle.tar": DIGEST, "agent.tar": OTHER},
            build_type="https://appliance.internal/builds/release/v1",
            parameters={"version": "1.2.0"},
            dependencies={"git+file:///src": OTHER},
            builder="https://north.appliance.internal/builders/b1",
            started="2026-03-01T12:00:00Z",
            finished="2026-03-01T12:30:00Z",
        )
    )
    assert parsed.predicate_type == "https://slsa.dev/provenance/v1"
    assert parsed.subjects == {"agent.tar": OTHER, "bundle.tar": DIGEST}
    assert parsed.predicate == {
        "buildDefinition": {
            "buildType": "https://appliance.internal/builds/release/v1",
            "externalParameters": {"version": "1.2.0"},
            "resolvedDependencies": [{"uri": "git+file:///src", "digest": {"sha256": "b" * 64}}],
        },
        "runDetails": {
            "builder": {"id": "https://north.appliance.internal/builders/b1"},
            "metadata": {"startedOn": "2026-03-01T12:00:00Z", "finishedOn": "2026-03-01T12:30:00Z"},
        },
    }


def test_a_node_gives_a_receipt_for_what_it_runs() -> None:
    made = statements.deployment(
        node="e-17", running={"agent": DIGEST}, release_digest=OTHER, deployed_at="2026-03-01T12:00:00Z"
    )
    parsed = statements.parse_statement(made)
    assert (parsed.predicate_type, parsed.subjects) == (statements.DEPLOYMENT, {"agent": DIGEST})
    assert parsed.predicate == {"node": "e-17", "release": OTHER, "deployed_at": "2026-03-01T12:00:00Z"}


@pytest.mark.parametrize(
    ("passed", "result", "levels"),
    [(True, "PASSED", ["SLSA_BUILD_LEVEL_2"]), (False, "FAILED", ["FAILED"])],
)
def test_a_verdict_is_a_slsa_summary(passed: bool, result: str, levels: list[str]) -> None:
    made = statements.verification_summary(
        resource="bundle.tar",
        digest=DIGEST,
        verifier="https://north.appliance.internal/auditors/kim",
        verified_at="2026-03-01T12:00:00Z",
        policy="https://north.appliance.internal/trust-policy.json",
        policy_digest=OTHER,
        inputs={"release": OTHER},
        passed=passed,
        levels=["SLSA_BUILD_LEVEL_2"],
    )
    parsed = statements.parse_statement(made)
    assert (parsed.predicate_type, parsed.subjects) == (
        "https://slsa.dev/verification_summary/v1",
        {"bundle.tar": DIGEST},
    )
    assert (parsed.predicate["verificationResult"], parsed.predicate["verifiedLevels"]) == (result, levels)
    assert parsed.predicate["inputAttestations"] == [{"uri": "release", "digest": {"sha256": "b" * 64}}]
    assert set(parsed.predicate) == {
        *("verifier", "timeVerified", "resourceUri", "policy", "inputAttestations"),
        *("verificationResult", "verifiedLevels", "slsaVersion"),
    }


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
        (edited(subject=[{"name": "m", "digest": {"sha256": "A" * 64}}]), "matching regex"),
        (edited(subject=[{"name": "m", "digest": {"sha256": "a" * 64 + "\n"}}]), "matching regex"),
        (edited(subject=[{"name": "m", "digest": {"sha512": "a" * 128}}]), "unknown field `sha512`"),
        (edited(subject=[{"name": "m", "digest": {"sha256": "a" * 64}}] * 2), "listed twice"),
        (json.dumps(json.loads(edited()), indent=1).encode(), "canonical form"),
    ],
)
def test_other_forms_are_refused(payload: bytes, message: str) -> None:
    with pytest.raises(ApplianceError, match=message) as caught:
        statements.parse_statement(payload)
    assert caught.value.code.id == "APL-TRUST-009"
