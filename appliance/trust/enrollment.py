"""Which keys count for which identity, by the log alone.

Entries, canonical JSON::

    kind "root-key", key_id, public, time, signature        a root authority's key
    kind "role-key", role, key_id, public, time             the key of a role, at the head of the log
    kind "enrollment", identity, role, key_id, public, time, signature

Rules
1. The ceremony writes the head: one root key and the role keys, none of them signed. It ends at the first entry of
   another kind.
2. After the head a root key or an enrollment counts when a root key that counts signed it: base64 over the canonical
   entry without `signature`. Others are ignored: whoever can write to the log cannot give a key to a role.
3. A key counts for one role and identity; a second enrollment of the same key is ignored.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.clock import rfc3339
from appliance.base.errors import ApplianceError
from appliance.trust import keys
from appliance.trust.keys import PublicKey

_KINDS = {
    "root-key": {"kind", "key_id", "public", "time", "signature"},
    "role-key": {"kind", "role", "key_id", "public", "time"},
    "enrollment": {"kind", "identity", "role", "key_id", "public", "time", "signature"},
}
_MARKS = (b'"kind":"root-key"', b'"kind":"enrollment"', b'"kind":"role-key"')


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """A key that counts.

    Attributes:
        identity: the SAN of what it signs; None for a role key of the ceremony, whose identity is that of its role.
    """

    role: str
    public: PublicKey
    identity: str | None
    index: int


def head(root: PublicKey, roles: Mapping[str, bytes], when: dt.datetime) -> list[bytes]:
    """The entries with which a log begins; `roles` maps roles to public keys (DER)."""
    entries = [_entry("root-key", keys.spki(root), when, signature=None)]
    return entries + [_entry("role-key", public, when, role=role) for role, public in sorted(roles.items())]


def enroll(public: PublicKey, *, role: str, identity: str, root: keys.SigningKey, when: dt.datetime) -> bytes:
    """The entry that gives a key to an identity, signed by the root."""
    return _signed("enrollment", public, root, when, role=role, identity=identity)


def succeed(public: PublicKey, *, root: keys.SigningKey, when: dt.datetime) -> bytes:
    """The entry that makes `public` a root key, signed by the root before it."""
    return _signed("root-key", public, root, when)


def enrolled(entries: Iterable[bytes]) -> Mapping[str, Enrolled]:
    """Key id -> what it counts for, from the entries of a verified log."""
    found: dict[str, Enrolled] = {}
    roots: list[PublicKey] = []
    at_head = True
    for index, entry in enumerate(entries):
        document = _parse(entry)
        at_head = at_head and document is not None and document["kind"] != "enrollment"
        if document is None:
            continue
        public = _public_of(document)
        if public is None or (not at_head and not _is_by(document, roots)):
            continue
        if document["kind"] == "root-key":
            roots.append(public)
        elif document["kind"] == "enrollment" or at_head:
            who = Enrolled(role=document["role"], public=public, identity=document.get("identity"), index=index)
            found.setdefault(document["key_id"], who)
    return found


def _signed(kind: str, public: PublicKey, root: keys.SigningKey, when: dt.datetime, **members: str) -> bytes:
    document = parse_canonical(_entry(kind, keys.spki(public), when, **members))
    signature = base64.b64encode(root.sign(canonical(document))).decode()
    return canonical({**document, "signature": signature})


def _entry(kind: str, public: bytes, when: dt.datetime, **members: str | None) -> bytes:
    return canonical(
        {
            "kind": kind,
            "key_id": keys.key_id(keys.parse_public(public)),
            "public": base64.b64encode(public).decode(),
            "time": rfc3339(when),
            **members,
        }
    )


def _parse(entry: bytes) -> dict[str, Any] | None:
    if not any(mark in entry for mark in _MARKS):
        return None
    try:
        document = parse_canonical(entry)
    except ApplianceError:
        return None
    if not isinstance(document, dict) or _KINDS.get(str(document.get("kind"))) != set(document):
        return None
    return document


def _public_of(document: Mapping[str, Any]) -> PublicKey | None:
    try:
        public = keys.parse_public(base64.b64decode(document["public"], validate=True))
    except (ApplianceError, ValueError, TypeError):
        return None
    return public if keys.key_id(public) == document["key_id"] else None


def _is_by(document: Mapping[str, Any], roots: Iterable[PublicKey]) -> bool:
    if "signature" not in document:
        return False
    unsigned = canonical({name: value for name, value in document.items() if name != "signature"})
    try:
        signature = base64.b64decode(document["signature"], validate=True)
    except (ValueError, TypeError):
        return False
    return any(keys.is_signature(root, signature, unsigned) for root in roots)
