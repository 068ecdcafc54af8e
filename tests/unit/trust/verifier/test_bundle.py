"""The steps of a bundle that stands alone: every kind that is in use, and each defect by the step that it fails."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.trust import witness_policy
from appliance.trust.verifier.bundle import Artifact, Demand, verify_bundle
from appliance.trust.verifier.log import WitnessPolicy
from appliance.trust.verifier.policy import TrustedRoot
from appliance.trust.verifier.verdict import Refused, Verdict
from tests.unit.trust.verifier.bundle_cases import DEFECTS, KINDS, Document, entry_of
from tests.unit.trust.verifier.pack_maker import WITNESSES, witness_key
from tests.unit.trust.verifier.sigstore_maker import ARTIFACT, IDENTITY, ISSUER, ORIGIN, Scene, make_key


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


def judge(
    folder: Path,
    document: Document | bytes,
    root: Document,
    *,
    digest_only: bool = False,
    policy: bytes | None = None,
    artifact: bytes = ARTIFACT,
    **demand: str,
) -> Verdict:
    path = folder / "artifact"
    path.write_bytes(artifact)
    digest = hashlib.sha256(artifact).digest()
    about = Artifact(sha256=digest) if digest_only else Artifact(path=path)
    wanted = Demand(**{"identity": IDENTITY, "issuer": ISSUER, **demand}, artifact=about)  # type: ignore[arg-type]
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    verdict = Verdict()
    try:
        witnesses = WitnessPolicy(policy) if policy else None
        verify_bundle(data, TrustedRoot(json.dumps(root).encode()), wanted, witnesses, verdict)
    except Refused as refused:
        verdict.refused = refused
    return verdict


def step_of(verdict: Verdict) -> str | None:
    return verdict.refused.step if verdict.refused else None


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_bundles(scene: Scene, tmp_path: Path, name: str) -> None:
    document = scene.bundle(**KINDS[name])  # type: ignore[arg-type]
    for digest_only in (False, True):
        verdict = judge(tmp_path, document, scene.trusted_root(), digest_only=digest_only)
        assert verdict.refused is None, verdict.refused
    assert ("inclusion: the bundle has only the log's promise" in verdict.not_established) == ("proof" in KINDS[name])
    assert "revocation" in verdict.not_established


@pytest.mark.parametrize(
    "kinds",
    [
        {"ca": "rsa", "ct": "rsa", "log": "rsa", "tsa": "p256", "leaf": "rsa"},
        {"ca": "p256", "ct": "ed25519", "log": "ed25519", "tsa": "p384", "leaf": "p384"},
        {"ca": "ed25519", "ct": "p384", "log": "p384", "tsa": "rsa", "leaf": "ed25519"},
    ],
    ids=lambda kinds: kinds["ca"],
)
@pytest.mark.parametrize("kind", ["hashedrekord/0.0.1", "dsse/0.0.1", "hashedrekord/0.0.2", "dsse/0.0.2"])
def test_kinds_of_keys(tmp_path: Path, kinds: dict[str, str], kind: str) -> None:
    scene = Scene(tmp_path, **kinds)
    verdict = judge(tmp_path, scene.bundle(kind, token=True), scene.trusted_root())
    assert verdict.refused is None, verdict.refused


def test_a_trust_config_serves_as_trusted_root(scene: Scene, tmp_path: Path) -> None:
    media = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
    config = {"mediaType": media, "trustedRoot": scene.trusted_root(), "signingConfig": {}}
    assert step_of(judge(tmp_path, scene.bundle(), config)) is None


def test_several_authorities_and_logs(tmp_path: Path) -> None:
    """The right one is found by id, by signature and by its window."""
    one, other = Scene(tmp_path), Scene(tmp_path)
    root, more = one.trusted_root(), other.trusted_root()
    for name in ("tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"):
        root[name] = more[name] + root[name]
    again = copy.deepcopy(root["certificateAuthorities"][1])
    again["validFor"]["end"] = "1999-01-01T00:00:00Z"
    root["certificateAuthorities"].insert(0, again)
    assert step_of(judge(tmp_path, one.bundle("dsse/0.0.2"), root)) is None


@pytest.fixture(scope="module")
def good(scene: Scene) -> Document:
    return scene.bundle("dsse/0.0.1", token=True)


@pytest.mark.parametrize("name", DEFECTS)
def test_defects(scene: Scene, good: Document, tmp_path: Path, name: str) -> None:
    change, step = DEFECTS[name]
    document = copy.deepcopy(good)
    change(document)
    assert step_of(judge(tmp_path, document, scene.trusted_root())) == step


CERTIFICATES: dict[str, tuple[dict[str, Any], str]] = {
    "no certificate timestamp": ({"scts": 0}, "sct"),
    "two certificate timestamps": ({"scts": 2}, "sct"),
    "two names": ({"names": 2}, "identity"),
    "for servers": ({"code": False}, "certificate"),
    "an authority": ({"authority": True}, "certificate"),
    "of tomorrow": ({"days": 1}, "time"),
    "of yesterday": ({"days": -1}, "time"),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates(scene: Scene, tmp_path: Path, name: str) -> None:
    change, step = CERTIFICATES[name]
    leaf = make_key("p256")
    document = scene.bundle("dsse/0.0.2", leaf=leaf, certificate=scene.certify(leaf, **change))
    assert step_of(judge(tmp_path, document, scene.trusted_root())) == step


def test_keys_that_are_not_trusted(scene: Scene, good: Document, tmp_path: Path) -> None:
    stranger = Scene(tmp_path).trusted_root()
    steps = {
        "certificateAuthorities": "certificate",
        "ctlogs": "sct",
        "tlogs": "promise",
        "timestampAuthorities": "timestamp",
    }
    for name, step in steps.items():
        assert step_of(judge(tmp_path, good, {**scene.trusted_root(), name: stranger[name]})) == step
        assert step_of(judge(tmp_path, good, {**scene.trusted_root(), name: []})) == step


def test_an_authority_that_is_listed_without_the_one_above_it(scene: Scene, good: Document, tmp_path: Path) -> None:
    """The certificate that stamps is no anchor of itself."""
    root = copy.deepcopy(scene.trusted_root())
    (authority,) = root["timestampAuthorities"]
    del authority["certChain"]["certificates"][1:]
    assert step_of(judge(tmp_path, good, root)) == "timestamp"


@pytest.mark.parametrize("name", ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"])
def test_windows_are_judged_at_signed_times(scene: Scene, good: Document, tmp_path: Path, name: str) -> None:
    before, after = ((scene.when + dt.timedelta(hours=hours)).isoformat()[:19] + "Z" for hours in (-1, 1))
    for period, step in (
        ({"start": before}, None),
        ({"start": before, "end": after}, None),
        ({"start": before, "end": before}, "window"),
        ({"start": after}, "window"),
    ):
        assert step_of(judge(tmp_path, good, scene.trusted_root(**{name: period}))) == step


def test_identity_issuer_and_artifact(scene: Scene, good: Document, tmp_path: Path) -> None:
    root = scene.trusted_root()
    assert step_of(judge(tmp_path, good, root, identity=IDENTITY[:-1])) == "identity"
    assert step_of(judge(tmp_path, good, root, issuer="https://other")) == "identity"
    assert step_of(judge(tmp_path, good, root, artifact=b"other")) == "subject"
    assert step_of(judge(tmp_path, scene.bundle(), root, artifact=b"other")) == "signature"


def test_an_entry_about_something_else(scene: Scene, tmp_path: Path) -> None:
    """Properly in the tree and promised, but about another signature."""
    one, two = scene.bundle("dsse/0.0.1"), scene.bundle("dsse/0.0.1")
    entry_of(one).update(entry_of(two))
    assert step_of(judge(tmp_path, one, scene.trusted_root())) == "entry"


def test_an_index_that_nobody_signed_must_be_the_proofs(scene: Scene, tmp_path: Path) -> None:
    document = scene.bundle("hashedrekord/0.0.2")
    entry_of(document)["logIndex"] = "3"
    assert step_of(judge(tmp_path, document, scene.trusted_root())) == "inclusion"


def test_witnesses(tmp_path: Path) -> None:
    scene = Scene(tmp_path, log="ed25519")
    lines = witness_policy.make_policy(_log_key(scene), {name: witness_key(name) for name in WITNESSES}, 2)
    document = scene.bundle("hashedrekord/0.0.2", names=("ann", "cem"))
    verdict = judge(tmp_path, document, scene.trusted_root(), policy=lines)
    assert verdict.refused is None
    assert verdict.established[0].startswith("witnessed at")
    fewer = scene.bundle("hashedrekord/0.0.2", names=("ann",))
    assert step_of(judge(tmp_path, fewer, scene.trusted_root(), policy=lines)) == "witness"
    other = witness_policy.make_policy(_log_key(Scene(tmp_path, log="ed25519")), {}, 0)
    assert step_of(judge(tmp_path, document, scene.trusted_root(), policy=other)) == "witness"


def _log_key(scene: Scene) -> Any:
    from appliance.trust import notes

    return notes.log_key(ORIGIN, scene.log_key.public_key())


JUNK = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'"text"',
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"mediaType":1e999}',
    b'{"mediaType":NaN}',
    b'{"mediaType":"a","mediaType":"b"}',
    b"9" * 10_000,
    b'{"mediaType":"\\ud800"}',
]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_is_refused(scene: Scene, tmp_path: Path, junk: bytes) -> None:
    assert step_of(judge(tmp_path, junk, scene.trusted_root())) == "format"


def test_a_name_that_stands_twice_is_refused(scene: Scene, good: Document, tmp_path: Path) -> None:
    data = json.dumps(good).encode().replace(b'"payloadType"', b'"payloadType": "x", "payloadType"')
    assert step_of(judge(tmp_path, data, scene.trusted_root())) == "format"


def test_no_changed_character_verifies(scene: Scene, good: Document, tmp_path: Path) -> None:
    """Every 11th byte, and whatever it breaks is a refusal and no other error."""
    data = json.dumps(good).encode()
    root = scene.trusted_root()
    for position in range(0, len(data), 11):
        bad = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        verdict = judge(tmp_path, bad, root)
        if verdict.refused is None:
            assert data[position : position + 1].isspace() or _is_unsigned(data, position), data[
                position - 40 : position
            ]


def _is_unsigned(data: bytes, position: int) -> bool:
    """What no signature covers: the version of the form, and parts of a token that repeat what is known otherwise."""
    last = max((data.rfind(name, 0, position), name) for name in (b'"mediaType"', b'"signedTimestamp"', b'": {'))
    return last[1] in (b'"mediaType"', b'"signedTimestamp"')
