"""Packs with a defect: what is changed, and the step that must be refused (None: it holds).

Each defect passes all earlier steps. FILES damages a good pack; VIEWS shows the same site in another way; LOGGED and
SIGNED are about what stands in the log.
"""

from __future__ import annotations

import base64
import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.base.digest import digest_bytes
from appliance.trust import certificates, enrollment, keys
from tests.unit.trust.verifier import pack_maker
from tests.unit.trust.verifier.pack_maker import (
    CUSTODIANS,
    IDENTITY,
    NOW,
    POST_QUANTUM,
    PUBLISHER,
    Site,
    bundle_paths,
    edit_json,
    resign_checkpoint,
)

EARLIER = NOW - dt.timedelta(hours=1)


def remove(name: str) -> Callable[[Path], object]:
    return lambda pack: (pack / name).unlink()


def write(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda pack: pack_maker.put(pack / name, data)


def link(pack: Path) -> None:
    (pack / "docs").symlink_to("/etc")


def linked_file(pack: Path) -> None:
    (pack / "tlog-policy").unlink()
    (pack / "tlog-policy").symlink_to(pack / "trust-config.json")


def pipe(pack: Path) -> None:
    os.mkfifo(pack / "artifacts/pipe")


def flip(name: str, where: int = -10) -> Callable[[Path], object]:
    def change(pack: Path) -> None:
        data = bytearray((pack / name).read_bytes())
        data[where] ^= 1
        (pack / name).write_bytes(data)

    return change


def append(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda pack: (pack / name).write_bytes((pack / name).read_bytes() + data)


def swap_bundles(pack: Path) -> None:
    first, second = bundle_paths(pack)
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def respell(pack: Path, change: Callable[[bytes], bytes]) -> None:
    (path, *_) = bundle_paths(pack)
    data = change(path.read_bytes())
    assert data != path.read_bytes()
    path.write_bytes(data)


def edit_token(old: str, new: str) -> Callable[[Path], object]:
    """Other bytes (hex) in the timestamp token of the first bundle, where no signature covers them."""

    def change(document: dict[str, Any]) -> None:
        (stamp,) = document["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
        token = base64.b64decode(stamp["signedTimestamp"])
        assert token.count(bytes.fromhex(old)) == 1
        stamp["signedTimestamp"] = base64.b64encode(token.replace(bytes.fromhex(old), bytes.fromhex(new))).decode()

    return lambda pack: edit_json(bundle_paths(pack)[0], change)


STRANGER = rb"\n\u2014 nobody AAAAAAAA\n"  # a line that every reader of checkpoints ignores


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a required file is missing": (remove("tlog-policy"), "pack"),
    "a folder is a link": (link, "pack"),
    "a file is a link": (linked_file, "pack"),
    "a file is a pipe": (pipe, "pack"),
    "a name has a space": (write("docs/a b", b""), "pack"),
    "a name has two dots": (write("docs/a..b", b""), "pack"),
    "a name is not ASCII": (write("docs/\u0430", b""), "pack"),
    "two names differ in case": (write("START-here.txt", b""), "pack"),
    "a checkpoint is too large": (append("log/checkpoint", b"\n" * 65_536), "pack"),
    "a bundle has another name": (write("bundles/x.sigstore.json", b""), "pack"),
    "the first root is another one": (append("tuf/metadata/1.root.json", b"\n"), "root"),
    "the second root is not signed": (write("tuf/metadata/2.root.json", b'{"signed":{},"signatures":[]}'), "root"),
    "the timestamp is altered": (flip("tuf/metadata/timestamp.json"), "metadata"),
    "the snapshot is missing": (remove("tuf/metadata/2.snapshot.json"), "metadata"),
    "the targets name a key twice": (
        lambda pack: edit_json(
            pack / "tuf/metadata/3.targets.json", lambda d: d["signatures"].append(d["signatures"][0])
        ),
        "metadata",
    ),
    "the metadata is deep": (write("tuf/metadata/timestamp.json", b"[" * 100_000), "metadata"),
    "the trust config is not the target": (append("trust-config.json", b"\n"), "targets"),
    "the policy is not the target": (flip("trust-policy.json", 40), "targets"),
    "a verifier is not the target": (append("verifiers/verify.py", b"\n"), "targets"),
    "a verifier is no target": (write("verifiers/other.py", b""), "targets"),
    "the checkpoint is altered": (flip("log/checkpoint", 30), "checkpoint"),
    "an entry is altered": (flip("log/tile/entries/000.p/11", 100), "tree"),
    "a tile is altered": (flip("log/tile/0/000.p/11"), "tree"),
    "a tile is missing": (remove("log/tile/0/000.p/11"), "tree"),
    "a tile has more entries": (append("log/tile/entries/000.p/11", b"\0\1x"), "tree"),
    "the bundles are swapped": (swap_bundles, "statement"),
    "a bundle is not JSON": (lambda pack: bundle_paths(pack)[0].write_bytes(b"{"), "format"),
    "a bundle ends with a line": (lambda pack: respell(pack, lambda data: data + b"\n"), "format"),
    "a bundle has the older media type": (
        lambda pack: respell(pack, lambda data: data.replace(b"bundle.v0.3+json", b"bundle+json;version=0.3")),
        "format",
    ),
    "the members of a bundle stand in another order": (
        lambda pack: edit_json(bundle_paths(pack)[0], lambda d: d.update(mediaType=d.pop("mediaType"))),
        "format",
    ),
    "a bundle has a key's name": (
        lambda pack: edit_json(bundle_paths(pack)[0], lambda d: d["dsseEnvelope"]["signatures"][0].update(keyid="")),
        "format",
    ),
    "the checkpoint of a bundle is signed by one more": (
        lambda pack: respell(pack, lambda data: data.replace(b'\\n"}},"canon', STRANGER + b'"}},"canon')),
        "format",
    ),
    "the token of a bundle has another version": (edit_token("020103310f300d", "020105310f300d"), "timestamp"),
    "the token of a bundle lists another hash": (
        edit_token("020103310f300d06096086480165030402010500", "020103310f300d06096086480165030402030500"),
        "timestamp",
    ),
    "an artifact is unknown": (write("artifacts/other", b"other"), "subject"),
}


def two_thresholds(root: Any) -> None:
    root.roles["root"].threshold = 2
    root.roles["targets"].threshold = 2


def change_policy(**changes: Any) -> Callable[[Site], dict[str, Any]]:
    return lambda site: {"policy": site.policy(**changes)}


def narrow(use: str, **changes: Any) -> Callable[[Site], dict[str, Any]]:
    def change(site: Site) -> dict[str, Any]:
        policy = site.policy()
        policy["windows"] = [{**each, **changes} if each["use"] == use else each for each in policy["windows"]]
        return {"policy": policy}

    return change


def drop(use: str) -> Callable[[Site], dict[str, Any]]:
    def change(site: Site) -> dict[str, Any]:
        policy = site.policy()
        policy["windows"] = [each for each in policy["windows"] if each["use"] != use]
        return {"policy": policy}

    return change


def replace_config(old: bytes, new: bytes) -> Callable[[Site], dict[str, Any]]:
    return lambda site: {"trust_config": site.enclave.trust_config.replace(old, new)}


def bad_cosignature(site: Site) -> dict[str, Any]:
    note = site.cosigned(["ann", "ben", "cem"])
    head, _, last = note.rstrip(b"\n").rpartition(b" ")
    raw = bytearray(base64.b64decode(last))
    raw[-1] ^= 1
    return {"checkpoint": head + b" " + base64.b64encode(raw) + b"\n"}


def witness_twice(site: Site) -> dict[str, Any]:
    note = site.cosigned(["ann"])
    return {"checkpoint": note + site.cosigned(["ann", "ben"], EARLIER)[len(site.log.checkpoint().note) :]}


def two_logs(site: Site) -> dict[str, Any]:
    policy = site.tlog_policy()
    return {"tlog_policy": policy.replace(b"witness ann", policy.split(b"\n")[0] + b"\nwitness ann")}


def other_origin(site: Site) -> dict[str, Any]:
    head = site.log.checkpoint()
    return {"checkpoint": resign_checkpoint(site, "log.other.appliance.internal", head.size, head.root)}


def other_root(site: Site) -> dict[str, Any]:
    head = site.log.checkpoint()
    return {"checkpoint": site.cosigned(note=resign_checkpoint(site, head.origin, head.size, bytes(32)))}


VIEWS: dict[str, tuple[Callable[[Site], dict[str, Any]], str | None]] = {
    "a root by two classical keys and ML-DSA": (
        lambda _: {"rotations": 1, "signers": (*CUSTODIANS[:2], POST_QUANTUM)},
        None,
    ),
    "a root by one classical key and ML-DSA": (
        lambda _: {"rotations": 1, "signers": (CUSTODIANS[0], POST_QUANTUM), "root_changes": two_thresholds},
        "root",
    ),
    "a root by two of three": (lambda _: {"rotations": 1, "signers": CUSTODIANS[:2]}, "root"),
    "targets by the publisher": (lambda _: {"signers": [PUBLISHER]}, "metadata"),
    "the policy is not canonical": (change_policy(version=0), "policy"),
    "the policy names another log": (change_policy(origin="log.other"), "policy"),
    "the policy has an unknown member": (change_policy(extra=1), "policy"),
    "tlog-policy names two logs": (two_logs, "policy"),
    "tlog-policy has no quorum": (lambda _: {"tlog_policy": b"\n"}, "policy"),
    "the trust config names another log": (replace_config(b"https://log.north", b"https://log.south"), "policy"),
    "the checkpoint has another origin": (other_origin, "checkpoint"),
    "the checkpoint has another root": (other_root, "tree"),
    "one witness of two": (lambda site: {"checkpoint": site.cosigned(["ann"])}, "witness"),
    "a cosignature is wrong": (bad_cosignature, "witness"),
    "a witness stands twice": (witness_twice, "witness"),
    "no witness is asked for": (
        lambda site: {"checkpoint": site.log.checkpoint().note, "tlog_policy": site.tlog_policy(0)},
        None,
    ),
    "the root had expired": (lambda _: {"expires": {"root": NOW}}, "expiry"),
    "the timestamp had expired": (lambda _: {"expires": {"timestamp": EARLIER}}, "expiry"),
    "expired when nobody witnessed": (
        lambda site: {
            "checkpoint": site.log.checkpoint().note,
            "tlog_policy": site.tlog_policy(0),
            "expires": {"targets": EARLIER},
        },
        "expiry",
    ),
    "expired since, but not when witnessed": (
        lambda site: {"checkpoint": site.cosigned(when=EARLIER), "expires": {"targets": NOW}},
        None,
    ),
    "another identity provider": (change_policy(issuer="https://idp.other"), "identity"),
    "the log key's window starts later": (narrow("log", first_index=8), "window"),
    "the issuing key's window ended": (narrow("issuing", until="2026-02-01T00:00:00Z"), "window"),
    "the timestamp key's window ended by index": (narrow("timestamp", last_index=6), "window"),
    "the CT key's window starts later": (narrow("ct", **{"from": "2026-03-02T00:00:00Z"}), "window"),
    "the issuing key has no window": (drop("issuing"), "window"),
    "nobody may sign models": (change_policy(signers=[]), "signer"),
    "two approvals are needed": (
        change_policy(approvals=[{"scope": "live", "threshold": 2, "approvers": [f"{IDENTITY}approver"]}]),
        "approval",
    ),
}


def enroll(site: Site, **changes: Any) -> None:
    """A person's key: enrolled by the root key, then used for a certificate."""
    person, identity = keys.generate("p256"), "https://north.appliance.internal/approvers/kim"
    signer = changes.pop("signer", None) or keys.FileKeys(site.enclave.folder / "enclave").load("root")
    site.log.append([enrollment.enroll(person.public, role="approver", identity=identity, root=signer, when=NOW)])
    issue(site, person, identity, changes)


def issue(site: Site, person: keys.SigningKey, identity: str, changes: dict[str, Any]) -> None:
    leaf, enclave = keys.generate("p256"), site.enclave
    certificate = certificates.issue_leaf(
        leaf.public, identity=changes.pop("identity", identity), issuer=enclave.issuer, ct_key=enclave.ct_key, now=NOW,
        token_subject=changes.pop("token_subject", keys.key_id(person.public)), authority=enclave.authority,
        authority_key=changes.pop("authority_key", enclave.authority_key),
    )  # fmt: skip
    members = {
        "kind": "certificate", "role": "approver", "key_id": keys.key_id(person.public),
        "possession": text(person.sign(keys.spki(leaf.public))), "certificate": text(certificates.to_der(certificate)),
    }  # fmt: skip
    site.enter(**{**members, **changes})


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def successor(site: Site, signer: keys.SigningKey | None = None) -> None:
    """A second root key, and a person that it enrolls."""
    first, second = keys.FileKeys(site.enclave.folder / "enclave").load("root"), keys.generate("p384")
    site.log.append([enrollment.succeed(second.public, root=signer or first, when=NOW)])
    enroll(site, signer=second)


def late_role_key(site: Site) -> None:
    public = keys.generate("p256").public
    site.enter(kind="role-key", role="approver", key_id=keys.key_id(public), public=text(keys.spki(public)))


LOGGED: dict[str, tuple[Callable[[Site], object], str | None]] = {
    "a person's key": (enroll, None),
    "enrolled by nobody": (lambda site: enroll(site, signer=keys.generate("p384")), "issuance"),
    "a certificate for another person": (lambda site: enroll(site, identity=f"{IDENTITY}approver"), "issuance"),
    "a certificate by another authority": (lambda site: enroll(site, authority_key=keys.generate("p384")), "issuance"),
    "a certificate without possession": (lambda site: enroll(site, possession=text(b"x" * 70)), "issuance"),
    "a certificate that names another key": (
        lambda site: enroll(site, token_subject=site.keys.key_id("approver")),
        "issuance",
    ),
    "a certificate for another role": (lambda site: enroll(site, role="operator"), "issuance"),
    "a key that is not enrolled": (
        lambda site: issue(site, keys.generate("p256"), f"{IDENTITY}approver", {}),
        "issuance",
    ),
    "a person's key by a second root key": (successor, None),
    "a second root key by nobody": (lambda site: successor(site, keys.generate("p384")), "issuance"),
    "a role key behind the head": (late_role_key, None),
    "a revocation with another member": (lambda site: site.enter(kind="revocation", extra=1), "tree"),
    "an unrelated entry": (lambda site: site.enter(kind="audit", action="x"), None),
    "the identity from the start": (lambda site: site.revoke("identity", f"{IDENTITY}data-scientist"), "revoked"),
    "the identity from later on": (lambda site: site.revoke("identity", f"{IDENTITY}data-scientist", 8), None),
    "the role key": (lambda site: site.revoke("role-key", site.keys.key_id("data-scientist")), "revoked"),
    "the issuing authority": (lambda site: site.revoke("issuing", site.certificate_digest("issuing")), "revoked"),
    "the timestamp authority": (lambda site: site.revoke("timestamp", site.certificate_digest("timestamp")), "revoked"),
    "the CT key": (lambda site: site.revoke("ct", digest_bytes(keys.spki(site.enclave.ct_key.public))), "revoked"),
    "the statement": (lambda site: site.revoke("statement", f"sha256:{bundle_name(site)}"), "revoked"),
    "another statement": (lambda site: site.revoke("statement", "sha256:" + "0" * 64), None),
}


def bundle_name(site: Site) -> str:
    (path,) = bundle_paths(site.enclave.folder)
    return path.name.partition(".")[0]


SIGNED: dict[str, tuple[Callable[[Site], object], str | None]] = {
    "a certificate that was issued in secret": (lambda site: site.model_in_secret(), "entry"),
    "a model by an approver": (lambda site: site.model(role="approver"), "signer"),
    "live, approved by somebody else only": (lambda site: (site.approve(role="operator"), site.stage()), "approval"),
    "live, approved by somebody else besides": (
        lambda site: (site.approve(role="operator"), site.approve(), site.stage()),
        None,
    ),
    "live, approved for another scope": (lambda site: (site.approve(scope="x"), site.stage()), "approval"),
    "live, another package approved": (lambda site: (site.approve(b"other"), site.stage()), "approval"),
    "live without approval": (lambda site: site.stage(), "approval"),
    "live no more": (lambda site: (site.stage(), site.stage("approved")), None),
    "approved only": (lambda site: (site.model(), site.stage("approved")), None),
}
