"""Whom to believe: TUF metadata, Sigstore's TrustedRoot (0.1, 0.2) and a site's trust policy.

TUF 1.0 lies in a folder: a chain of roots from a pinned digest, then timestamp, snapshot and targets.
1. `1.root.json` has the pinned digest; root N + 1 is signed by the thresholds of roots N and N + 1 (section 5.3).
2. At least two classical signatures verify on every root, and on what else needs as many. ML-DSA signatures count
   towards a threshold unjudged, and are listed as not established: OpenSSL 3.0 cannot judge them.
3. The other roles are signed by the newest root's keys and name each other's versions (sections 5.4 to 5.6).
4. Expiry is judged later, at the newest witnessed time.

A trusted root is bare or in a ClientTrustConfig. The trust policy says who may sign what, which approvals are needed,
and when each key was in use.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .certificates import Certificate
from .encoding import (
    Period,
    conform,
    decode_base64,
    digest,
    parse_canonical,
    parse_digest,
    parse_json,
    parse_time,
    unique,
)
from .signatures import PublicKey, is_signed, load_key, spki_of
from .verdict import Verdict, require

MAX_ROOTS = 1024
MIN_CLASSICAL = 2  # signatures on a root
_ANY = {"*": object}  # TUF allows members that nobody knows yet
_DOCUMENT = {"signed": dict, "signatures": [{"keyid": str, "sig": str, **_ANY}]}
_COMMON = {"_type": str, "spec_version": str, "version": int, "expires": parse_time, **_ANY}
_FILES = {"*": {"version": int, "length?": int, "hashes?": {"sha256?": str, **_ANY}, **_ANY}}
_ROLES: dict[str, dict[str, Any]] = {
    "root": {
        **_COMMON,
        "consistent_snapshot": bool,
        "keys": {"*": {"keytype": str, "scheme": str, "keyval": {"public": str, **_ANY}, **_ANY}},
        "roles": {"*": {"keyids": [str], "threshold": int}},
    },
    "timestamp": {**_COMMON, "meta": _FILES},
    "snapshot": {**_COMMON, "meta": _FILES},
    "targets": {**_COMMON, "targets": {"*": {"length": int, "hashes": {"sha256": str, **_ANY}, **_ANY}}},
}
Read = Callable[[str], bytes | None]
Targets = dict[str, tuple[int, str]]  # by name: length, and SHA-256 in hex


def check_repository(read: Read, pinned: str, verdict: Verdict) -> tuple[Targets, dict[str, dt.datetime]]:
    """Steps `root` and `metadata`: the targets, and when the newest root and the other three expire.

    `read` gives a file of the pack, or None.
    """
    with verdict.step("root"):
        root = _check_roots(read, pinned, verdict)
    with verdict.step("metadata"):
        timestamp = _open(read("tuf/metadata/timestamp.json"), "timestamp", [root], verdict)
        snapshot = _follow(read, timestamp, "snapshot", root, verdict)
        targets = _follow(read, snapshot, "targets", root, verdict)
    listed = {name: (each["length"], each["hashes"]["sha256"]) for name, each in targets["targets"].items()}
    return listed, {each["_type"]: each["expires"] for each in (root, timestamp, snapshot, targets)}


def _check_roots(read: Read, pinned: str, verdict: Verdict) -> dict[str, Any]:
    """The newest root, from the pinned one by rule 1."""
    data = read("tuf/metadata/1.root.json")
    require(data and digest(data) == pinned, f"expected the first root {pinned}, got {digest(data or b'')}")
    trusted: list[dict[str, Any]] = []
    for version in range(1, MAX_ROOTS + 1):
        root = _open(data, "root", trusted, verdict)
        require(root["version"] == version, f"{version}.root.json says version {root['version']}")
        require(root["consistent_snapshot"], "the repository has no consistent snapshots")
        trusted, data = [root], read(f"tuf/metadata/{version + 1}.root.json")
        if data is None:
            verdict.established.append(f"root {version} of the repository, from the pinned {pinned}")
            return root
    raise ValueError(f"more than {MAX_ROOTS} roots")


def _follow(read: Read, by: dict[str, Any], role: str, root: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    """The file of a role that the file `by` names."""
    named = require(by["meta"].get(f"{role}.json"), f"no {role} is named")
    version, hashes = named["version"], named["hashes"] or {}
    data = read(f"tuf/metadata/{version}.{role}.json")
    signed = _open(data, role, [root], verdict)
    require(signed["version"] == version, f"{role} is of version {signed['version']}, not {version}")
    size, sha256 = len(data or b""), hashlib.sha256(data or b"").hexdigest()
    same = named["length"] in (None, size) and hashes.get("sha256") in (None, sha256)
    require(same, f"{role} is another file")
    return signed


def _open(data: bytes | None, role: str, roots: list[dict[str, Any]], verdict: Verdict) -> dict[str, Any]:
    """The signed part of a role's file, which these roots vouch for; a root vouches for itself as well."""
    document = conform(parse_json(require(data, f"the metadata of {role} is missing")), _DOCUMENT)
    require(document["signed"].get("_type") == role, f"not the metadata of {role}")
    signed: dict[str, Any] = conform(document["signed"], _ROLES[role], role)
    require(signed["spec_version"].startswith("1."), "not TUF 1")
    for root in [*roots, signed] if role == "root" else roots:
        _check_threshold(document, role, root, verdict)
    return signed


def _check_threshold(document: dict[str, Any], role: str, root: dict[str, Any], verdict: Verdict) -> None:
    """Rule 2, by the keys that `root` gives to the role."""
    entry = require(root["roles"].get(role), f"the root has no role {role}")
    signatures = unique((each["keyid"], each["sig"]) for each in document["signatures"])
    message, good, unjudged = _canonical(document["signed"]), set(), set()
    for key_id, signature in signatures.items():
        if key_id not in entry["keyids"] or not signature:
            continue
        value = require(root["keys"].get(key_id), f"the root has no key {key_id[:80]}")
        if value["keytype"].startswith("ml-dsa"):
            unjudged.add(value["keyval"]["public"])
        elif is_signed(key := _key(value), bytes.fromhex(signature), message):
            good.add(spki_of(key))  # by key and not by id: one key under two ids counts once
    threshold = entry["threshold"]
    require(threshold > 0, f"the threshold of {role} is {threshold}")
    enough = len(good) >= (MIN_CLASSICAL if role == "root" else min(MIN_CLASSICAL, threshold))
    by = f"{len(good)} classical and {len(unjudged)} ML-DSA keys of root {root['version']}"
    require(enough and len(good) + len(unjudged) >= threshold, f"{role} is signed by {by}, which needs {threshold}")
    fact = f"ML-DSA signature of the {role}"
    if unjudged and fact not in verdict.not_established:
        verdict.not_established.append(fact)


def _key(value: dict[str, Any]) -> PublicKey:
    kind, scheme, public = value["keytype"], value["scheme"], value["keyval"]["public"]
    if kind == scheme == "ed25519":
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    curves = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384")
    require(scheme in curves and kind in ("ecdsa", scheme), f"keys of type {kind, scheme} are not accepted")
    return load_key(public.encode(), pem=True)


def _canonical(value: Any) -> bytes:
    """OLPC canonical JSON, which TUF signs: only quote and backslash are escaped."""
    if isinstance(value, str):
        return b'"%s"' % value.replace("\\", "\\\\").replace('"', '\\"').encode()
    if isinstance(value, dict):
        return b"{%s}" % b",".join(_canonical(name) + b":" + _canonical(value[name]) for name in sorted(value))
    if isinstance(value, list):
        return b"[%s]" % b",".join(_canonical(each) for each in value)
    return json.dumps(value).encode()


_PERIOD = {"start?": parse_time, "end?": parse_time}
_LOG = {
    "publicKey": {"rawBytes": decode_base64, "keyDetails": str, "validFor?": _PERIOD},
    "logId": {"keyId": decode_base64},
    "baseUrl?": str, "hashAlgorithm?": str, "checkpointKeyId?": dict, "operator?": str,
}  # fmt: skip
_AUTHORITY = {
    "certChain": {"certificates": [{"rawBytes": decode_base64}]},
    "subject?": dict, "uri?": str, "validFor?": _PERIOD, "operator?": str,
}  # fmt: skip
_TYPE = "application/vnd.dev.sigstore.trustedroot"
_ROOT = {
    "mediaType": {_TYPE + form for form in ("+json;version=0.1", "+json;version=0.2", ".v0.1+json", ".v0.2+json")},
    "tlogs?": [_LOG], "certificateAuthorities?": [_AUTHORITY],
    "ctlogs?": [_LOG], "timestampAuthorities?": [_AUTHORITY],
}  # fmt: skip
_CONFIG_TYPE = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
_CONFIG = {"mediaType": {_CONFIG_TYPE}, "trustedRoot": _ROOT, "signingConfig?": dict}
_WINDOW = {
    "use": {"log", "ct", "issuing", "timestamp"}, "id": parse_digest, "first_index": int, "last_index": (int, None),
    "from": (parse_time, None), "until": (parse_time, None),
}  # fmt: skip
_POLICY = {
    "format": {"https://appliance.internal/formats/trust-policy/v1"},
    "version": int, "issuer": str, "origin": str, "site": str,
    "signers": [{"identities": [str], "predicate_type": str}],
    "approvals": [{"approvers": [str], "scope": str, "threshold": int}],
    "windows": [_WINDOW],
}  # fmt: skip
Found = TypeVar("Found")


class Log:
    """A transparency log or a certificate log; `name` is the host of its address."""

    def __init__(self, fields: dict[str, Any]) -> None:
        spki = fields["publicKey"]["rawBytes"]
        self.id: bytes = fields["logId"]["keyId"]
        self.key, self.spki_digest = load_key(spki), digest(spki)
        self.name: str = (fields["baseUrl"] or "").split("://")[-1].rstrip("/")
        self.period = Period(**fields["publicKey"]["validFor"] or {})


class Authority:
    """An issuing or timestamp authority: its chain, anchor last."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.chain = [Certificate(each["rawBytes"]) for each in fields["certChain"]["certificates"]]
        self.period = Period(**fields["validFor"] or {})
        require(self.chain, "an authority has no certificates")

    def was_valid(self, times: Iterable[dt.datetime]) -> bool:
        return all(each.validity.covers(times) for each in self.chain)


def accept(
    known: Iterable[Authority], check: Callable[[list[Certificate]], Found], reason: str
) -> list[tuple[Authority, Found]]:
    """The authorities whose chain the check accepts, with what it found. ValueError: none, with the last's reason."""
    found = []
    for each in known:
        try:
            found.append((each, check(each.chain)))
        except ValueError as error:
            reason = str(error)
    return require(found, reason)


class TrustedRoot:
    def __init__(self, data: bytes) -> None:
        document = parse_json(data)
        is_config = isinstance(document, dict) and document.get("mediaType") == _CONFIG_TYPE
        root = conform(document, _CONFIG)["trustedRoot"] if is_config else conform(document, _ROOT)
        self.logs = [Log(each) for each in root["tlogs"] or []]
        self.ct_logs = [Log(each) for each in root["ctlogs"] or []]
        self.authorities = [Authority(each) for each in root["certificateAuthorities"] or []]
        self.timestampers = [Authority(each) for each in root["timestampAuthorities"] or []]


def parse_policy(data: bytes) -> dict[str, Any]:
    """As `_POLICY` says; `signers` are identities by predicate type, `windows` periods by (use, id)."""
    policy: dict[str, Any] = conform(parse_canonical(data), _POLICY)
    require(policy["version"] >= 1, "the version of the policy is below 1")
    for scope, rule in unique((each["scope"], each) for each in policy["approvals"]).items():
        require(rule["threshold"] >= 1, f"scope {scope} needs no approval")
    policy["signers"] = unique((each["predicate_type"], each["identities"]) for each in policy["signers"])
    policy["windows"] = unique(_window(each) for each in policy["windows"])
    return policy


def _window(fields: dict[str, Any]) -> tuple[tuple[str, str], Period]:
    first, last = fields["first_index"], fields["last_index"]
    require(first >= 0, "a window starts before the log")
    return (fields["use"], fields["id"]), Period(start=fields["from"], end=fields["until"], first=first, last=last)


def matches(pattern: str, identity: str) -> bool:
    """An identity is exact, or ends with ``/*`` and takes one more segment."""
    if pattern.endswith("/*"):
        return re.fullmatch(re.escape(pattern[:-1]) + r"[a-z0-9.-]+", identity) is not None
    return pattern == identity
