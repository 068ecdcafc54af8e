"""Signing split over machines, and what a repository refuses to publish."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.base import atomic
from appliance.base.canonical import canonical
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import keys
from appliance.trust.tuf import client, metadata, repository, signing
from tests.unit.trust.tuf.conftest import CUSTODIANS, KEYS, NOW, TARGETS, Medium, named

PUBLISHER = KEYS["publisher"]
STAYING = {"ben": "ed25519", "cem": "ed25519", "lattice": "ml-dsa-65/1"}


def first_draft(*custodians: str) -> bytes:
    return signing.draft_root(
        custodians=[key.public for key in named(*custodians)], publisher=PUBLISHER.public, now=NOW
    )


def code_of(caught: pytest.ExceptionInfo[ApplianceError]) -> str:
    return caught.value.code.id


def test_three_laptops_and_one_operator(tmp_path: Path) -> None:
    """Each custodian's key stays in a folder of its own; only requests and responses travel."""
    laptops = {name: keys.FileKeys(tmp_path / name / "keys") for name in ("ann", "ben", "lattice")}
    for name, store in laptops.items():
        store.create("custodian", "mldsa65" if name == "lattice" else "ed25519")
    absent = keys.generate("ed25519")  # in a safe; three of four are enough
    operator = tmp_path / "operator"

    def travel(draft: bytes, root: bytes | None) -> list[bytes]:
        stick = tmp_path / "stick"
        atomic.write_bytes(stick / "request.json", signing.signing_request(draft, root=root))
        for name, store in laptops.items():
            response = signing.sign_request((stick / "request.json").read_bytes(), store.load("custodian"))
            atomic.write_bytes(stick / f"{name}.json", response)
        return [(stick / f"{name}.json").read_bytes() for name in laptops]

    publics = [store.load("custodian").public for store in laptops.values()]
    draft = signing.draft_root(custodians=[*publics, absent.public], publisher=PUBLISHER.public, now=NOW)
    root = signing.assemble(draft, travel(draft, None), root=None)
    listed = repository.draft_targets(operator, TARGETS, now=NOW)
    targets = signing.assemble(listed, travel(listed, root), root=root)
    repository.publish(operator, root=root, targets=targets, publisher=PUBLISHER, now=NOW)
    trusted = client.refresh(
        str(operator), tmp_path / "state", pinned_root_digest=digest_bytes(root), reference_time=NOW
    )
    assert trusted.read("trust-config.json") == TARGETS["trust-config.json"]
    assert sorted(path.name for path in tmp_path.glob("*/keys")) == ["keys"] * 3


class TestRequests:
    def test_the_summary_of_a_root(self, medium: Medium) -> None:
        before = repository.newest_root(medium.folder)
        assert before is not None
        publics = [key.public for key in named("dora", "ben", "cem", "lattice")]
        draft = signing.draft_root(custodians=publics, publisher=PUBLISHER.public, now=NOW, previous=before)
        summary = signing.parse_request(signing.signing_request(draft, root=before)).summary
        ids = {name: metadata.library_key(KEYS[name].public).keyid for name in (*CUSTODIANS, "dora")}
        stays = {name: f"root: = {ids[name]} ({scheme})" for name, scheme in STAYING.items()}
        assert summary[0] == "root version 2, valid until 2036-02-27T12:00:00Z"
        assert summary[2] == f"root before: {medium.pinned}"
        said = [line for line in summary if line.startswith("root: ")]
        assert said[0] == "root: 3 of 4 keys"
        assert set(said[1:]) == {*stays.values(), f"root: + {ids['dora']} (ed25519)", f"root: - {ids['ann']}"}

    def test_a_forged_root_before_hides_no_key(self, tmp_path: Path) -> None:
        """The marks are worth as much as what the draft is compared with; all keys are listed all the same."""
        forged = Medium(folder=tmp_path / "forged", state=tmp_path / "s", custodians=("dora", "ben", "cem", "lattice2"))
        forged.create()
        before = repository.newest_root(forged.folder)
        publics = [key.public for key in named(*forged.custodians)]
        draft = signing.draft_root(custodians=publics, publisher=PUBLISHER.public, now=NOW, previous=before)
        summary = signing.parse_request(signing.signing_request(draft, root=before)).summary
        assert f"root: = {metadata.library_key(KEYS['dora'].public).keyid} (ed25519)" in summary
        assert summary[2] == f"root before: {forged.pinned}"

    @pytest.mark.parametrize("kind", ["root", "targets"])
    def test_a_draft_with_more_than_the_summary_tells_is_not_signed(self, medium: Medium, kind: str) -> None:
        root = repository.newest_root(medium.folder)
        if kind == "root":
            document = json.loads(first_draft(*CUSTODIANS))
            document["signed"]["consistent_snapshot"] = False
        else:
            document = json.loads(repository.draft_targets(medium.folder, TARGETS, now=NOW))
            keyid = metadata.library_key(KEYS["dora"].public).keyid
            key = metadata.library_key(KEYS["dora"].public).to_dict()
            document["signed"]["delegations"] = {
                "keys": {keyid: key},
                "roles": [{"keyids": [keyid], "name": "x", "paths": ["*"], "terminating": True, "threshold": 1}],
            }
        draft = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        with pytest.raises(ApplianceError, match="the draft holds more than a summary tells") as caught:
            signing.signing_request(draft, root=root if kind == "targets" else None)
        assert code_of(caught) == "APL-TUF-010"

    def test_the_summary_of_targets(self, medium: Medium) -> None:
        targets = {"trust-config.json": b"2", "new.json": b"3"}
        draft = repository.draft_targets(medium.folder, targets, now=NOW)
        request = signing.signing_request(
            draft, root=repository.newest_root(medium.folder), previous=repository.newest_targets(medium.folder)
        )
        assert list(signing.parse_request(request).summary[3:]) == [
            f"+ new.json {digest_bytes(b'3')}",
            f"~ trust-config.json {digest_bytes(b'2')}, was {digest_bytes(TARGETS['trust-config.json'])}",
            "- verifiers/verify.py",
        ]

    @pytest.mark.parametrize(
        "change",
        [
            {"summary": ["nothing changes"]},
            {"version": 7},
            {"digest": digest_bytes(b"")},
            {"role": "targets"},
            {"format": "other"},
            {"draft": "!"},
            {"more": 1},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_request_that_says_something_else_is_not_signed(self, change: dict[str, Any]) -> None:
        request = json.loads(signing.signing_request(first_draft(*CUSTODIANS), root=None))
        with pytest.raises(ApplianceError) as caught:
            signing.sign_request(canonical({**request, **change}), KEYS["ann"])
        assert code_of(caught) == "APL-TUF-010"

    def test_another_draft_under_the_same_text_is_not_signed(self) -> None:
        request = json.loads(signing.signing_request(first_draft(*CUSTODIANS), root=None))
        request["draft"] = base64.b64encode(first_draft("dora", "ben", "cem", "lattice")).decode()
        with pytest.raises(ApplianceError, match="the text of the request is not about its draft"):
            signing.sign_request(canonical(request), KEYS["ann"])

    def test_a_key_of_nobody_does_not_sign(self) -> None:
        request = signing.signing_request(first_draft(*CUSTODIANS), root=None)
        with pytest.raises(ApplianceError) as caught:
            signing.sign_request(request, KEYS["dora"])
        assert code_of(caught) == "APL-TUF-011"


class TestAssembling:
    @pytest.mark.parametrize(
        ("signers", "message"),
        [
            (("ann", "ben"), "is signed by 2 keys of root version 1, expected 3"),
            (("ann", "lattice"), "is signed by 2 keys"),
            (("ann", "ben", "cem"), "lacks the ML-DSA-65 signature"),
            (("ann", "ann", "ann"), "is signed by 1 keys"),
        ],
    )
    def test_too_few(self, signers: tuple[str, ...], message: str) -> None:
        draft = first_draft(*CUSTODIANS)
        request = signing.signing_request(draft, root=None)
        with pytest.raises(ApplianceError, match=message) as caught:
            signing.assemble(draft, [signing.sign_request(request, KEYS[name]) for name in signers], root=None)
        assert code_of(caught) == "APL-TUF-003"

    def test_two_lattices_and_one_curve_are_too_few(self) -> None:
        draft = first_draft("ann", "ben", "lattice", "lattice2")
        request = signing.signing_request(draft, root=None)
        responses = [signing.sign_request(request, KEYS[name]) for name in ("ann", "lattice", "lattice2")]
        with pytest.raises(ApplianceError, match="has 1 classical signatures, expected 2"):
            signing.assemble(draft, responses, root=None)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"signature": "00" * 64}, "APL-TUF-003"),
            ({"signature": "no"}, "APL-TUF-003"),
            ({"key_id": "0" * 64}, "APL-TUF-011"),
            ({"digest": digest_bytes(b"")}, "APL-TUF-010"),
            ({"version": 2}, "APL-TUF-010"),
            ({"more": 1}, "APL-TUF-010"),
        ],
    )
    def test_a_response_that_does_not_fit_is_named(self, change: dict[str, Any], code: str) -> None:
        draft = first_draft(*CUSTODIANS)
        request = signing.signing_request(draft, root=None)
        responses = [signing.sign_request(request, KEYS[name]) for name in CUSTODIANS]
        responses[2] = canonical({**json.loads(responses[2]), **change})
        with pytest.raises(ApplianceError) as caught:
            signing.assemble(draft, responses, root=None)
        assert code_of(caught) == code
        assert "more" in change or caught.value.where == "response 3"


class TestDrafts:
    @pytest.mark.parametrize(
        "custodians",
        [("ann", "ben"), ("ann", "ann", "ben"), ("ann", "lattice", "lattice2"), ("ann", "ben", "publisher")],
    )
    def test_keys_that_break_the_rules(self, custodians: tuple[str, ...]) -> None:
        with pytest.raises(ApplianceError) as caught:
            first_draft(*custodians)
        assert code_of(caught) == "APL-TUF-013"

    @pytest.mark.parametrize("name", ["", "/a", "a/", "../a", "a/../b", ".", "a b", "a//b", "a\n"])
    def test_names_that_are_not_allowed(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ApplianceError) as caught:
            repository.draft_targets(tmp_path / "medium", {name: b""}, now=NOW)
        assert code_of(caught) == "APL-TUF-013"
        assert list(tmp_path.iterdir()) == []


class TestPublishing:
    def files(self, medium: Medium) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (medium.folder / "metadata").iterdir()}

    def test_once(self, medium: Medium) -> None:
        before = self.files(medium)
        with pytest.raises(ApplianceError) as caught:
            medium.create()
        assert (code_of(caught), self.files(medium)) == ("APL-TUF-009", before)

    def test_longer(self, medium: Medium) -> None:
        """The publisher alone can do that."""
        made = repository.publish(medium.folder, publisher=PUBLISHER, now=NOW)
        assert (made.root, made.targets, made.snapshot, made.timestamp) == (1, 1, 2, 2)
        assert medium.refresh().versions["timestamp"] == 2

    def test_another_publisher(self, medium: Medium) -> None:
        before = self.files(medium)
        with pytest.raises(ApplianceError) as caught:
            repository.publish(medium.folder, publisher=KEYS["publisher2"], now=NOW)
        assert (code_of(caught), self.files(medium)) == ("APL-TUF-011", before)

    def test_a_target_that_is_not_there(self, medium: Medium) -> None:
        before = self.files(medium)
        for path in (medium.folder / "targets").glob("*trust-config.json"):
            path.write_bytes(b"something else")
        with pytest.raises(ApplianceError, match=r"target trust-config.json with sha256:\w+ is not here"):
            repository.publish(medium.folder, publisher=PUBLISHER, now=NOW)
        assert self.files(medium) == before

    def test_a_replaced_key_no_longer_counts_under_the_targets(self, medium: Medium) -> None:
        """So a rotation signs the targets again; a new root alone is not published."""
        before = self.files(medium)
        root = repository.newest_root(medium.folder)
        publics = [key.public for key in named("ann", "ben", "cem", "lattice2")]
        draft = signing.draft_root(custodians=publics, publisher=PUBLISHER.public, now=NOW, previous=root)
        request = signing.signing_request(draft, root=root)
        responses = [signing.sign_request(request, KEYS[name]) for name in ("ann", "ben", "lattice", "lattice2")]
        with pytest.raises(ApplianceError) as caught:
            repository.publish(
                medium.folder, root=signing.assemble(draft, responses, root=root), publisher=PUBLISHER, now=NOW
            )
        assert (code_of(caught), self.files(medium)) == ("APL-TUF-003", before)

    def test_a_root_of_another_chain(self, medium: Medium, tmp_path: Path) -> None:
        other = Medium(folder=tmp_path / "other", state=tmp_path / "s")
        other.custodians = ("dora", "ben", "cem", "lattice2")
        other.create()
        other.rotate(*CUSTODIANS)
        with pytest.raises(ApplianceError) as caught:
            repository.publish(medium.folder, root=repository.newest_root(other.folder), publisher=PUBLISHER, now=NOW)
        assert code_of(caught) == "APL-TUF-003"

    def test_a_crash_at_any_write_shows_the_state_before_and_can_be_repeated(self, medium: Medium) -> None:
        medium.refresh()
        real = atomic.write_bytes
        for limit in range(4):
            left = [limit]

            def write(path: Path, data: bytes, *, mode: int = 0o644, left: list[int] = left) -> None:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                real(path, data, mode=mode)

            with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(atomic, "write_bytes", write)
                medium.update(new=b"%d" % limit)
            trusted = medium.refresh()
            assert (trusted.versions["targets"], "new.json" in trusted.targets) == (1, False)
        medium.update(new=b"done")
        assert medium.refresh().read("new.json") == b"done"
