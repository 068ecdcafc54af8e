"""Every value of every form replaced by every kind of value: whatever is wrong is a refusal, never another error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.base.canonical import canonical
from appliance.base.errors import ApplianceError
from appliance.trust.verifier import entries, envelope, pack, policy
from appliance.trust.verifier.encoding import digest
from appliance.trust.verifier.verdict import EXPECTED, Refused, Verdict
from tests.unit.trust.verifier.conftest import Made
from tests.unit.trust.verifier.pack_maker import CUSTODIANS, NOW, PUBLISHER, bundle_paths
from tests.unit.trust.verifier.sigstore_maker import Scene

REPLACEMENTS: tuple[Any, ...] = (None, True, -1, 2**60, "x", "\u2014", "", [], [None], {}, {"x": None})
GONE = object()


def mutations(document: Any) -> Iterator[Any]:
    """The document with one value replaced or left out, in all ways."""
    for path in paths(document):
        for value in (*REPLACEMENTS, GONE):
            changed = copy.deepcopy(document)
            place = changed
            for step in path[:-1]:
                place = place[step]
            if value is GONE:
                del place[path[-1]]
            else:
                place[path[-1]] = value
            yield changed


def paths(value: Any) -> Iterator[tuple[Any, ...]]:
    listed = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in listed:
        yield (name,)
        yield from ((name, *rest) for rest in paths(each))


def survive(function: Callable[[bytes], object], documents: Iterator[Any], encode: Callable[[Any], bytes]) -> None:
    causes: list[BaseException | None] = []
    for document in documents:
        try:
            data = encode(document)
        except (ValueError, ApplianceError):  # our own writer has no form for it
            continue
        try:
            function(data)
        except EXPECTED:
            continue
        except Refused as refused:
            causes.append(refused.__cause__)
    assert [cause for cause in causes if not isinstance(cause, EXPECTED)] == []


def to_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_trusted_roots(made: Made) -> None:
    config = json.loads(made.site.enclave.trust_config)
    survive(policy.TrustedRoot, mutations(config), to_json)


def test_policies(made: Made) -> None:
    survive(policy.parse_policy, mutations(json.loads((made.folder / "trust-policy.json").read_bytes())), canonical)


def test_statements(made: Made) -> None:
    bundle = envelope.Bundle(bundle_paths(made.folder)[0].read_bytes())
    assert bundle.envelope is not None
    survive(lambda data: pack.Statement(data, "x", NOW), mutations(json.loads(bundle.envelope["payload"])), canonical)


def test_bundles(made: Made) -> None:
    survive(envelope.Bundle, mutations(json.loads(bundle_paths(made.folder)[0].read_bytes())), to_json)


@pytest.mark.parametrize("kind", list(envelope._KINDS))
def test_log_entries(tmp_path: Path, kind: str) -> None:
    scene = Scene(tmp_path)
    document = scene.bundle(kind, token=False)
    good = envelope.Bundle(to_json(document))

    def check(body: bytes) -> None:
        changed = copy.copy(good)
        changed.body = body
        envelope.check_entry(changed, good.certificate, lambda _: b"")

    body = json.loads(good.body)
    survive(check, mutations(body), to_json)


def test_entries_about_keys(made: Made) -> None:
    root = policy.TrustedRoot(made.site.enclave.trust_config)
    log = list(made.site.log.entries())
    revocation = {"kind": "revocation", "target": "ct", "id": "x", "from_index": 0, "reason": "", "statement": "",
                  "time": "2026-01-01T00:00:00Z"}  # fmt: skip
    stage = {"kind": "model-stage", "package": "x", "to": "live"}
    known = [json.loads(each) for each in log if b'"kind":"' in each]

    def take(data: bytes) -> None:
        register = entries.Register(root=root, site="north")
        for index, each in enumerate(log[:6]):
            register.add(index, each)
        register.add(6, data)

    for document in (*known, revocation, stage):
        survive(take, mutations(document), canonical)


def test_tuf_metadata(made: Made) -> None:
    """Signed again after each change, so that the change is looked at."""
    files = {path.name: path.read_bytes() for path in (made.folder / "tuf/metadata").iterdir()}
    for name, data in files.items():
        signers = CUSTODIANS if "root" in name or "targets" in name else [PUBLISHER]

        def check(changed: bytes, name: str = name) -> None:
            content = {**files, name: changed}
            read = {f"tuf/metadata/{each}": content[each] for each in content}.get
            policy.check_repository(read, digest(content["1.root.json"]), Verdict())

        document = json.loads(data)

        def resign(changed: Any, signers: Any = signers) -> bytes:
            signed = policy._canonical(changed)
            signatures = [{"keyid": each.public_key.keyid, "sig": each.sign(signed).signature} for each in signers]
            return to_json({"signed": changed, "signatures": signatures})

        check(resign(document["signed"]))
        survive(check, mutations(document["signed"]), resign)
        survive(check, mutations(document), to_json)
