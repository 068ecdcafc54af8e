"""X.509 certificates as RFC 5280 and Sigstore's Fulcio profile define them, and RFC 3161 timestamps; read by hand.

Certificates
1. Only certificates of version 3 whose critical extensions are all understood.
2. A chain holds when each certificate is signed by the next, which is an authority for that many below it; the last
   one is a trust anchor. Whether it was valid at a time is asked separately, of every signed time.
3. A leaf has one subject alternative name and one embedded certificate timestamp (RFC 6962 section 3.3).

Timestamps: PKIStatusInfo, CMS SignedData (RFC 5652), TSTInfo
4. The status is granted; there is one signer, whose certificate is that of a trusted timestamp authority.
5. The signed attributes name the content's type, its digest and the signer's certificate (RFC 5816).
6. Certificates in the token count only where the trusted root lists none for the authority itself.
7. In a pack a token has one form (`one_form`): no signature covers its versions, algorithms and certificates.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
from collections.abc import Sequence

from .der import BOOLEAN, OCTET_STRING, SEQUENCE, SET, UTF8, Node, read_node, read_nodes, write_integer, write_node
from .encoding import Period, from_posix, unique
from .signatures import PublicKey, is_signed, load_key
from .verdict import require

KEY_ID, KEY_USAGE, ALT_NAME, CONSTRAINTS, EXTENDED_USAGE = (f"2.5.29.{arc}" for arc in (14, 15, 17, 19, 37))
SCT_LIST = "1.3.6.1.4.1.11129.2.4.2"
ISSUER_TEXT, USER_NAME, ISSUER, TOKEN_SUBJECT = (f"1.3.6.1.4.1.57264.1.{arc}" for arc in (1, 7, 8, 24))
CODE_SIGNING, TIME_STAMPING = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8"
DIGITAL_SIGNATURE, KEY_CERT_SIGN = 0x80, 0x04  # first byte of the key usage bits
_UNDERSTOOD = (KEY_USAGE, ALT_NAME, CONSTRAINTS, EXTENDED_USAGE, SCT_LIST, ISSUER_TEXT, ISSUER, TOKEN_SUBJECT)
SIGNATURE_HASHES = {  # of a signature algorithm; None where the key's kind settles it
    "1.2.840.10045.4.3.2": "sha256", "1.2.840.10045.4.3.3": "sha384", "1.2.840.10045.4.3.4": "sha512",
    "1.2.840.113549.1.1.11": "sha256", "1.2.840.113549.1.1.12": "sha384", "1.2.840.113549.1.1.13": "sha512",
    "1.3.101.112": None,
}  # fmt: skip
_TLS_HASHES = {4: "sha256", 5: "sha384", 6: "sha512", 8: None}  # RFC 5246 section 7.4.1.4.1; 8 is RFC 8422's Ed25519


class Certificate:
    """A certificate as parsed; `extensions` maps object identifiers to (critical, value)."""

    def __init__(self, data: bytes) -> None:
        tbs, algorithm, signature = read_node(data).children()
        fields = tbs.children()
        require(len(fields) == 8 and fields[0].tag == 0xA0, "not a version 3 certificate with extensions")
        version, serial, inner, issuer, validity, subject, spki, listed = fields
        require(read_node(version.content).integer() == 2, "not a version 3 certificate")
        require(inner.raw == algorithm.raw, "two signature algorithms")
        start, end = validity.children()
        self.data, self.tbs, self.spki = data, tbs.raw, spki.raw
        self.issuer, self.subject, self.serial = issuer.raw, subject.raw, serial.integer()
        self.validity = Period(start=start.time(), end=end.time())
        self.algorithm, self.signature = algorithm.children()[0].oid(), signature.bits()
        self.extensions = unique(_parse_extension(each) for each in read_node(listed.expect(0xA3)).children())

    @property
    def key(self) -> PublicKey:
        return load_key(self.spki)

    def extension(self, oid: str) -> Node | None:
        return read_node(self.extensions[oid][1]) if oid in self.extensions else None

    def parts(self, oid: str) -> list[Node]:
        """What an extension lists; nothing where it is missing."""
        node = self.extension(oid)
        return node.children() if node else []

    def text(self, oid: str) -> str | None:
        node = self.extension(oid)
        return node.expect(UTF8).decode() if node else None

    def may(self, usage: int) -> bool:
        node = self.extension(KEY_USAGE)
        return node is not None and bool((node.bits() or b"\0")[0] & usage)

    @property
    def purposes(self) -> list[str]:
        return [each.oid() for each in self.parts(EXTENDED_USAGE)]

    @property
    def path_length(self) -> int | None:
        """How many authorities may stand below this one; None: it is no authority."""
        parts = self.parts(CONSTRAINTS)
        if not parts or parts[0].tag != BOOLEAN or not parts[0].boolean():
            return None
        return parts[1].integer() if len(parts) > 1 else 1 << 16

    @property
    def identity(self) -> str:
        """The one subject alternative name: a URI, a mail address, or a Fulcio user name."""
        names = self.parts(ALT_NAME)
        require(len(names) == 1, f"expected one subject alternative name, got {len(names)}")
        if names[0].tag == 0xA0:
            kind, value = read_nodes(names[0].content)
            require(kind.oid() == USER_NAME, f"other name of kind {kind.oid()}")
            return read_node(value.expect(0xA0)).expect(UTF8).decode()
        require(names[0].tag in (0x81, 0x86), "the subject alternative name is neither a URI nor a mail address")
        return names[0].content.decode("ascii")

    @property
    def identity_issuer(self) -> str | None:
        """Who vouched for the identity; it stands in up to two extensions, which must agree."""
        old = self.extensions[ISSUER_TEXT][1].decode() if ISSUER_TEXT in self.extensions else None
        new = self.text(ISSUER)
        require(old is None or new is None or old == new, f"two identity issuers: {old!r} and {new!r}")
        return old if new is None else new

    def is_by(self, authority: Certificate) -> bool:
        """Whether the authority's key signed it."""
        require(self.algorithm in SIGNATURE_HASHES, f"signature algorithm {self.algorithm} is not accepted")
        same = self.issuer == authority.subject
        return same and is_signed(authority.key, self.signature, self.tbs, SIGNATURE_HASHES[self.algorithm])


def _parse_extension(node: Node) -> tuple[str, tuple[bool, bytes]]:
    kind, *critical, value = node.children()
    require(len(critical) < 2 and all(flag.boolean() for flag in critical), "malformed extension")
    require(not critical or kind.oid() in _UNDERSTOOD, f"critical extension {kind.oid()} is not understood")
    return kind.oid(), (bool(critical), value.expect(OCTET_STRING))


def check_chain(leaf: Certificate, chain: Sequence[Certificate]) -> None:
    """Rule 2, for a leaf below `chain`: a leaf alone is no anchor, even where the trusted root lists it."""
    require(chain, "no authority stands above the certificate")
    require(leaf.path_length is None, "the leaf is an authority")
    for depth, (child, authority) in enumerate(zip((leaf, *chain), chain)):  # noqa: B905  the last one has no parent
        require(child.is_by(authority), f"certificate {depth} is not by the authority above it")
        length = authority.path_length
        good = length is not None and depth <= length and authority.may(KEY_CERT_SIGN)
        require(good, f"certificate {depth + 1} is no authority for it")


def check_sct(leaf: Certificate, authority: Certificate, keys: dict[bytes, PublicKey]) -> tuple[bytes, dt.datetime]:
    """The log id and time of the one embedded certificate timestamp, which must be by one of `keys`."""
    node = leaf.extension(SCT_LIST)
    listed = node.expect(OCTET_STRING) if node else b""
    outer, inner = struct.unpack(">HH", listed[:4]) if len(listed) > 4 else (0, 0)
    require(outer == len(listed) - 2 and inner == outer - 2, "expected exactly one certificate timestamp")
    sct = listed[4:]
    version, log_id, stamp, size = struct.unpack(">B32sQH", sct[:43])
    extensions, rest = sct[43 : 43 + size], sct[43 + size :]
    hash_code, _, length = struct.unpack(">BBH", rest[:4])
    require(version == 0 and length == len(rest) - 4 and hash_code in _TLS_HASHES, "malformed certificate timestamp")
    require(log_id in keys, f"certificate timestamp by the unknown log {log_id.hex()}")
    # RFC 6962 section 3.2: version, certificate_timestamp, time, precert_entry, issuer, TBS, extensions
    *fields, certified = read_node(leaf.tbs).children()
    kept = [each.raw for each in read_node(certified.content).children() if each.children()[0].oid() != SCT_LIST]
    listed_again = write_node(0xA3, write_node(SEQUENCE, *kept))
    tbs = write_node(SEQUENCE, *(field.raw for field in fields), listed_again)
    signed = struct.pack(">BBQH", 0, 0, stamp, 1) + hashlib.sha256(authority.spki).digest()
    signed += len(tbs).to_bytes(3, "big") + tbs + struct.pack(">H", size) + extensions
    good = is_signed(keys[log_id], rest[4:], signed, _TLS_HASHES[hash_code])
    require(good, "the certificate timestamp is not by the key of its log")
    return log_id, from_posix(stamp / 1000)


SIGNED_DATA, TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
_HASHES = {f"2.16.840.1.101.3.4.2.{arc}": name for arc, name in ((1, "sha256"), (2, "sha384"), (3, "sha512"))}
# The algorithms of a site's tokens, in DER.
_SHA256, _ECDSA_SHA256 = bytes.fromhex("300d06096086480165030402010500"), bytes.fromhex("300a06082a8648ce3d040302")


def check_token(
    response: bytes, data: bytes, chain: Sequence[Certificate], *, one_form: bool = False
) -> tuple[dt.datetime, Certificate]:
    """The time of a token over `data` by the authority with this chain, and the authority's certificate."""
    status, token = read_node(response).children()
    require(status.children()[0].integer() in (0, 1), "the authority did not grant the timestamp")
    kind, wrapped = token.children()
    require(kind.oid() == SIGNED_DATA, "not CMS signed data")
    _, _, encapsulated, *optional, signers = read_node(wrapped.expect(0xA0)).children()
    content_kind, content = encapsulated.children()
    require(content_kind.oid() == TST_INFO, "not a timestamp")
    info = read_node(content.expect(0xA0)).expect(OCTET_STRING)
    embedded = [each for part in optional if part.tag == 0xA0 for each in read_nodes(part.content)]
    signer = read_node(signers.expect(SET)).children()
    _, identifier, hash_algorithm, attributes, algorithm, signature, *unsigned = signer
    require(all(part.tag == 0xA1 for part in unsigned), "malformed signer")
    is_listed = chain[0].path_length is None  # rule 6
    authority = _stamper(chain[:1] if is_listed else [Certificate(each.raw) for each in embedded], identifier)
    hash_name = _hash_of(hash_algorithm)
    _check_attributes(attributes, info, hash_name, authority)
    # RFC 5652 section 5.4: the attributes are signed as a SET, whatever tag they travel under.
    signed = write_node(SET, attributes.expect(0xA0))
    # The signature may have another hash than the content; an algorithm that names only the key's kind has none.
    signed_hash = SIGNATURE_HASHES.get(algorithm.children()[0].oid(), hash_name)
    require(is_signed(authority.key, signature.expect(OCTET_STRING), signed, signed_hash), "not by the authority")
    check_chain(authority, chain[1:] if is_listed else chain)
    if one_form:
        # RFC 3161 section 2.4.2, RFC 5652 section 5.1: written again from what is signed, it is the same.
        parts = write_integer(1), _name(authority), _SHA256, attributes.raw, _ECDSA_SHA256, signature.raw
        again = write_integer(3) + write_node(SET, _SHA256) + encapsulated.raw + write_node(0xA0, authority.data)
        again = write_node(SEQUENCE, again, write_node(SET, write_node(SEQUENCE, *parts)))
        again = write_node(SEQUENCE, kind.raw, write_node(0xA0, again))
        again = write_node(SEQUENCE, write_node(SEQUENCE, write_integer(0)), again)
        require(again == response, "not in the form in which sites write tokens")
    version, _, imprint, _, when, *_ = read_node(info).children()
    require(version.integer() == 1, "not version 1")
    imprint_algorithm, hashed = imprint.children()
    expected = hashlib.new(_hash_of(imprint_algorithm), data).digest()
    require(hashed.expect(OCTET_STRING) == expected, "the timestamp is over something else")
    return when.time(short=False), authority


def _name(certificate: Certificate) -> bytes:
    """IssuerAndSerialNumber."""
    return write_node(SEQUENCE, certificate.issuer, write_integer(certificate.serial))


def _stamper(candidates: Sequence[Certificate], identifier: Node) -> Certificate:
    """The signer's certificate."""
    for each in candidates:
        key_id = each.extension(KEY_ID)
        has_key_id = key_id is not None and identifier.tag == 0x80 and identifier.content == key_id.content
        if identifier.raw == _name(each) or has_key_id:
            critical = each.extensions.get(EXTENDED_USAGE, (False, b""))[0]
            good = each.purposes == [TIME_STAMPING] and critical  # RFC 3161 section 2.3
            require(good, "the signer's certificate is not for timestamps alone")
            return each
    raise ValueError("by another authority")


def _check_attributes(attributes: Node, info: bytes, hash_name: str, authority: Certificate) -> None:
    """Rule 5."""
    listed = (each.children() for each in attributes.children(0xA0))
    found = unique((kind.oid(), read_node(values.expect(SET))) for kind, values in listed)
    require({CONTENT_TYPE, MESSAGE_DIGEST} <= set(found), "the content is not bound")
    require(found[CONTENT_TYPE].oid() == TST_INFO, "the signed content type is not a timestamp")
    expected = hashlib.new(hash_name, info).digest()
    require(found[MESSAGE_DIGEST].expect(OCTET_STRING) == expected, "the content was altered")
    named = "sha256" if SIGNING_CERTIFICATE_V2 in found else "sha1"  # RFC 5035: the default of version 2, all of 1
    attribute = found.get(SIGNING_CERTIFICATE_V2, found.get(SIGNING_CERTIFICATE))
    parts = require(attribute, "the token does not name its certificate").children()[0].children()[0].children()
    if parts[0].tag == SEQUENCE:
        named, parts = _hash_of(parts[0]), parts[1:]
    digest = hashlib.new(named, authority.data, usedforsecurity=named != "sha1").digest()
    require(parts[0].expect(OCTET_STRING) == digest, "the token names another certificate")


def _hash_of(algorithm: Node) -> str:
    oid = algorithm.children()[0].oid()
    return require(_HASHES.get(oid), f"hash algorithm {oid} is not accepted")
