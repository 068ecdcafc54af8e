"""Signing of root and targets, split over machines: a draft, requests, responses, and the signed metadata.

    operator                          each custodian, on a laptop of their own
    draft -> signing_request   ---->  summary, sign_request
    assemble                   <----  response
    repository.publish

Rules
1. A draft is metadata without signatures. A request carries it with the signed metadata that it follows, so that the
   laptop itself works out what would change; the text in the request must be that text. It lists all keys or targets,
   also those that stay, and a draft that holds anything else is not signed: what it follows may be forged.
2. A response holds one signature and names the digest of what was signed.
3. `assemble` verifies each response, and that together they are enough (see `metadata`).
4. Root: three or more custodians and the publisher, threshold 3, for ten years. Targets: the same custodians. Snapshot
   and timestamp: the publisher (TUF section 2.1). Nobody is custodian and publisher at once.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from securesystemslib.exceptions import Error as LibraryError
from securesystemslib.signer import Key, Signature
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.clock import rfc3339
from appliance.base.digest import PREFIX, digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import keys
from appliance.trust.tuf import codes, metadata

THRESHOLD = 3
ROOT_LIFETIME = dt.timedelta(days=3650)
LIFETIME = dt.timedelta(days=3 * 365)  # of all other roles; freshness comes from witnesses
REQUEST_FORMAT = "https://appliance.internal/formats/tuf-signing-request/v1"
RESPONSE_FORMAT = "https://appliance.internal/formats/tuf-signing-response/v1"
CUSTODIAN_ROLES = (Root.type, Targets.type)
PUBLISHER_ROLES = (Snapshot.type, Timestamp.type)
_NAME = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")


class _Request(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    format: str
    role: str
    version: int
    digest: str
    summary: list[str]
    draft: str
    root: str | None
    previous: str | None


class _Response(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    format: str
    role: str
    version: int
    digest: str
    key_id: str
    signature: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request whose text is what it would sign.

    Attributes:
        role: ``root`` or ``targets``.
        digest: of the bytes that are signed; people read it to each other.
        summary: lines for people: what changes, compared with what.
    """

    role: str
    version: int
    digest: str
    summary: tuple[str, ...]
    draft: Metadata[Root] | Metadata[Targets]
    signers: Mapping[str, Key]


def draft_root(
    *,
    custodians: Sequence[keys.PublicKey],
    publisher: keys.PublicKey,
    now: dt.datetime,
    previous: bytes | None = None,
    lifetime: dt.timedelta = ROOT_LIFETIME,
) -> bytes:
    """A root without signatures: the first one, or the one after the signed root `previous`.

    Raises:
        ApplianceError: APL-TUF-013 the keys break rule 4, APL-TUF-008 `previous` is not a root.
    """
    listed = [metadata.library_key(public) for public in custodians]
    online = metadata.library_key(publisher)
    if len({key.keyid for key in (*listed, online)}) != len(listed) + 1:
        raise ApplianceError(codes.DRAFT_REFUSED, "one key stands for two custodians, or for a custodian and publisher")
    classical = sum(key.keytype != metadata.POST_QUANTUM for key in listed)
    if len(listed) < THRESHOLD or classical < metadata.CLASSICAL_SIGNATURES:
        raise ApplianceError(
            codes.DRAFT_REFUSED,
            f"expected {THRESHOLD} or more custodians, {metadata.CLASSICAL_SIGNATURES} of them classical, got "
            f"{len(listed)} and {classical}",
        )
    version = 1 if previous is None else metadata.parse(Root, previous, "root before").signed.version + 1
    root = Root(version=version, expires=_expiry(now, lifetime), consistent_snapshot=True)
    for role in CUSTODIAN_ROLES:
        for key in listed:
            root.add_key(key, role)
        root.roles[role].threshold = THRESHOLD
    for role in PUBLISHER_ROLES:
        root.add_key(online, role)
    return Metadata(root).to_bytes()


def draft_of_targets(
    targets: Mapping[str, bytes], *, version: int, now: dt.datetime, lifetime: dt.timedelta = LIFETIME
) -> bytes:
    """The list of targets without signatures; see `repository.draft_targets`.

    Raises:
        ApplianceError: APL-TUF-013, a name is not allowed.
    """
    listed = {}
    for name, data in sorted(targets.items()):
        if not _NAME.fullmatch(name) or {".", ".."} & set(name.split("/")):
            raise ApplianceError(codes.DRAFT_REFUSED, f"target name {name!r} is not allowed")
        listed[name] = TargetFile.from_data(name, data, ["sha256"])
    return Metadata(Targets(version=version, expires=_expiry(now, lifetime), targets=listed)).to_bytes()


def signing_request(draft: bytes, *, root: bytes | None, previous: bytes | None = None) -> bytes:
    """What an operator gives to a custodian.

    `root` is the newest signed root, none for the first; `previous` the newest signed targets, none for the first ones.

    Raises:
        ApplianceError: APL-TUF-008, one of them is not metadata; APL-TUF-010, a list of targets needs a root.
    """
    request = _judge(draft, root, previous)
    return canonical(
        {
            "format": REQUEST_FORMAT,
            "role": request.role,
            "version": request.version,
            "digest": request.digest,
            "summary": list(request.summary),
            "draft": base64.b64encode(draft).decode(),
            "root": base64.b64encode(root).decode() if root is not None else None,
            "previous": base64.b64encode(previous).decode() if previous is not None else None,
        }
    )


def parse_request(data: bytes) -> Request:
    """Read a request and work out its text again.

    Raises:
        ApplianceError: APL-TUF-010.
    """
    form = _read(data, _Request, REQUEST_FORMAT)
    try:
        draft = base64.b64decode(form.draft, validate=True)
        root, previous = (
            base64.b64decode(each, validate=True) if each is not None else None for each in (form.root, form.previous)
        )
    except binascii.Error as error:
        raise ApplianceError(codes.SIGNING_FILE_REFUSED, f"not base64: {error}") from error
    request = _judge(draft, root, previous)
    said = (form.role, form.version, form.digest, tuple(form.summary))
    if said != (request.role, request.version, request.digest, request.summary):
        raise ApplianceError(codes.SIGNING_FILE_REFUSED, "the text of the request is not about its draft")
    return request


def sign_request(data: bytes, key: keys.SigningKey) -> bytes:
    """The response of one custodian; show `parse_request(data).summary` to the person before.

    Raises:
        ApplianceError: APL-TUF-010 the request does not hold together, APL-TUF-011 the key counts nowhere.
    """
    request = parse_request(data)
    signature = metadata.sign(key, request.draft.signed_bytes)
    if signature.keyid not in request.signers:
        raise ApplianceError(codes.KEY_NOT_IN_ROLE, f"key {signature.keyid} signs neither this {request.role} nor one")
    return canonical(
        {
            "format": RESPONSE_FORMAT,
            "role": request.role,
            "version": request.version,
            "digest": request.digest,
            "key_id": signature.keyid,
            "signature": signature.signature,
        }
    )


def assemble(draft: bytes, responses: Iterable[bytes], *, root: bytes | None) -> bytes:
    """The signed metadata; `root` as in `signing_request`.

    Raises:
        ApplianceError: APL-TUF-010 a response is malformed or about something else, APL-TUF-011 by a key of nobody,
            APL-TUF-003 a signature is wrong or there are too few.
    """
    request = _judge(draft, root, None)
    for number, data in enumerate(responses, 1):
        form = _read(data, _Response, RESPONSE_FORMAT)
        where = f"response {number}"
        if (form.role, form.version, form.digest) != (request.role, request.version, request.digest):
            raise ApplianceError(
                codes.SIGNING_FILE_REFUSED,
                f"expected a signature over {request.digest}, got one over {form.digest}",
                where=where,
            )
        if form.key_id not in request.signers:
            raise ApplianceError(codes.KEY_NOT_IN_ROLE, f"key {form.key_id} signs no {request.role}", where=where)
        signature = Signature(form.key_id, form.signature)
        try:
            request.signers[form.key_id].verify_signature(signature, request.draft.signed_bytes)
        except (LibraryError, ValueError) as error:
            raise ApplianceError(
                codes.TOO_FEW_SIGNATURES, f"the signature by key {form.key_id} is wrong", where=where
            ) from error
        request.draft.signatures[form.key_id] = signature
    check(request.draft, root)
    return request.draft.to_bytes()


def check(signed: Metadata[Root] | Metadata[Targets], root: bytes | None) -> None:
    """Whether the signatures are enough, `root` being the newest signed root before.

    Raises:
        ApplianceError: APL-TUF-003 or -008.
    """
    before = metadata.parse(Root, root, "root").signed if root is not None else None
    where = f"{signed.signed.version}.{signed.signed.type}.json"
    if isinstance(signed.signed, Root):
        metadata.check_root(signed, before, where)
    elif before is not None:
        metadata.check_targets(signed, before, where)


def _judge(draft: bytes, root: bytes | None, previous: bytes | None) -> Request:
    before = metadata.parse(Root, root, "root").signed if root is not None else None
    made: Metadata[Root] | Metadata[Targets] = (
        metadata.parse(Root, draft, "draft") if _is_root(draft) else metadata.parse(Targets, draft, "draft")
    )
    if made.signatures:
        raise ApplianceError(codes.SIGNING_FILE_REFUSED, "the draft is signed already")
    _check_plain(made.signed)
    if isinstance(made.signed, Root):
        signers = _custodians(made.signed) | (_custodians(before) if before else {})
        changes = _root_changes(made.signed, before)
    elif before is None:
        raise ApplianceError(codes.SIGNING_FILE_REFUSED, "a list of targets is judged by a root, and none is given")
    else:
        signers = _custodians(before)
        listed = metadata.parse(Targets, previous, "targets before").signed if previous is not None else None
        changes = _target_changes(made.signed, listed)
    digest = digest_bytes(made.signed_bytes)
    head = [f"{made.signed.type} version {made.signed.version}, valid until {rfc3339(made.signed.expires)}", digest]
    if root is not None:
        head.append(f"root before: {digest_bytes(root)}")
    return Request(
        role=made.signed.type,
        version=made.signed.version,
        digest=digest,
        summary=(*head, *changes),
        draft=made,
        signers=signers,
    )


def keys_of(root: bytes) -> dict[str, frozenset[str]]:
    """Role -> ids (`trust.keys.key_id`) of the keys that a root names for it.

    Raises:
        ApplianceError: APL-TUF-008.
    """
    parsed = metadata.parse(Root, root, "root").signed
    ids = {keyid: keys.key_id(metadata.crypto_key(key)) for keyid, key in parsed.keys.items()}
    return {role: frozenset(ids[keyid] for keyid in each.keyids) for role, each in parsed.roles.items()}


def custodians_of(root: bytes) -> dict[str, keys.PublicKey]:
    """Key id (`trust.keys.key_id`) -> key, of all who may sign roots and targets.

    Raises:
        ApplianceError: APL-TUF-008.
    """
    parsed = metadata.parse(Root, root, "root").signed
    found = [metadata.crypto_key(key) for key in _custodians(parsed).values()]
    return {keys.key_id(public): public for public in found}


def _is_root(draft: bytes) -> bool:
    return b'"_type":"root"' in draft  # no other place of the one byte form can hold this


def _custodians(root: Root) -> dict[str, Key]:
    named = {keyid for role in CUSTODIAN_ROLES for keyid in root.roles[role].keyids}
    return {keyid: root.keys[keyid] for keyid in sorted(named)}


def _root_changes(root: Root, before: Root | None) -> list[str]:
    lines = []
    for role in (*CUSTODIAN_ROLES, *PUBLISHER_ROLES):
        now, then = root.roles[role], before.roles[role] if before else None
        had = set(then.keyids) if then else set()
        was = f", was {then.threshold}" if then and then.threshold != now.threshold else ""
        lines.append(f"{role}: {now.threshold} of {len(now.keyids)} keys{was}")
        for keyid in sorted(now.keyids):
            lines.append(f"{role}: {'=' if keyid in had else '+'} {keyid} ({root.keys[keyid].scheme})")
        lines += [f"{role}: - {keyid}" for keyid in sorted(had - set(now.keyids))]
    return lines


def _target_changes(targets: Targets, before: Targets | None) -> list[str]:
    now, then = target_digests(targets), target_digests(before) if before else {}
    lines = []
    for name, digest in sorted(now.items()):
        mark = "+" if name not in then else "=" if then[name] == digest else "~"
        lines.append(f"{mark} {name} {digest}" + (f", was {then[name]}" if mark == "~" else ""))
    return [*lines, *(f"- {name}" for name in sorted(set(then) - set(now)))]


def _check_plain(signed: Root | Targets) -> None:
    """Whether the summary tells everything that a signature would cover: no delegation, no field of another writer.

    Raises:
        ApplianceError: APL-TUF-010.
    """
    again: Metadata[Root] | Metadata[Targets]
    if isinstance(signed, Root):
        root = Root(version=signed.version, expires=signed.expires, consistent_snapshot=True)
        for role in (*CUSTODIAN_ROLES, *PUBLISHER_ROLES):
            for keyid in signed.roles[role].keyids:
                root.add_key(metadata.library_key(metadata.crypto_key(signed.keys[keyid])), role)
            root.roles[role].threshold = signed.roles[role].threshold
        again = Metadata(root)
    else:
        listed = {
            name: TargetFile(each.length, {"sha256": each.hashes.get("sha256", "")}, name)
            for name, each in signed.targets.items()
        }
        again = Metadata(Targets(version=signed.version, expires=signed.expires, targets=listed))
    if again.signed.to_dict() != signed.to_dict():
        raise ApplianceError(codes.SIGNING_FILE_REFUSED, "the draft holds more than a summary tells")


def target_digests(targets: Targets) -> dict[str, str]:
    """Target name -> ``sha256:<hex>``."""
    return {name: PREFIX + each.hashes.get("sha256", "") for name, each in targets.targets.items()}


def _read(data: bytes, form: type[Any], format_: str) -> Any:
    try:
        read = msgspec.convert(parse_canonical(data), form, strict=True)
    except (msgspec.ValidationError, ApplianceError) as error:
        raise ApplianceError(codes.SIGNING_FILE_REFUSED, str(error)) from error
    if read.format != format_:
        raise ApplianceError(codes.SIGNING_FILE_REFUSED, f"expected format {format_}, got {read.format}")
    return read


def _expiry(now: dt.datetime, lifetime: dt.timedelta) -> dt.datetime:
    return (now + lifetime).replace(microsecond=0)
