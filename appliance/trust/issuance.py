"""Whether a certificate is explained by the log: by a trusted authority, asked for by an enrolled key of its role.

An issuing key that was stolen cannot be used in the open without leaving an entry that fails here.

For each entry of kind ``certificate``
1. The certificate is by an authority of the trust config.
2. It names `key_id`, and its identity and role are those that this key was enrolled for before.
3. `possession`: that key signed the certificate's public key. Nobody else asked for it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from appliance.base.canonical import parse_canonical
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import ceremony, certificates, codes, keys
from appliance.trust.enrollment import Enrolled
from appliance.trust.policy import TrustPolicy
from appliance.trust.trust_config import TrustedKeys

_MARK = b'"kind":"certificate"'
_MEMBERS = {"kind", "role", "key_id", "possession", "certificate", "time"}


@dataclass(kw_only=True)
class Issuance:
    """The certificate entries of a log, taken in one after the other.

    Attributes:
        issued: digest of a certificate's DER -> index of its entry, and the entry's members.
    """

    trusted: TrustedKeys
    policy: TrustPolicy
    enrolled: Mapping[str, Enrolled]
    issued: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    malformed: list[str] = field(default_factory=list)

    def take(self, index: int, entry: bytes) -> None:
        """Take in an entry; those of other kinds are passed over."""
        document = _parse(entry)
        if document is None:
            return
        try:
            digest = digest_bytes(base64.b64decode(document["certificate"], validate=True))
        except (KeyError, ValueError, TypeError) as error:
            self.malformed.append(f"certificate at log index {index}: malformed: {error!r}")
            return
        self.issued.setdefault(digest, (index, document))

    def faults(self) -> list[str]:
        """Why certificates are not explained; empty when each one is."""
        found = [*self.malformed]
        for index, document in self.issued.values():
            fault = self._fault(index, document)
            if fault:
                found.append(f"certificate at log index {index}: {fault}")
        return found

    def require(self, certificate: str, before: int) -> None:
        """Raises:
        ApplianceError: APL-TRUST-028, the log does not explain the certificate with this digest before index `before`.
        """
        index, document = self.issued.get(certificate, (before, {}))
        fault = self._fault(index, document) if index < before else "it was issued in secret: no entry before its use"
        if fault:
            raise ApplianceError(codes.ISSUANCE_UNEXPLAINED, f"certificate {certificate}: {fault}")

    def _fault(self, index: int, document: Mapping[str, Any]) -> str:
        if set(document) != _MEMBERS:
            return "the entry has other members than it should"
        try:
            certificate = x509.load_der_x509_certificate(base64.b64decode(document["certificate"], validate=True))
            possession = base64.b64decode(document["possession"], validate=True)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            (identity,) = names.get_values_for_type(x509.UniformResourceIdentifier)
            leaf = certificates.public_of(certificate)
            named = certificates.token_subject(certificate)
        except (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension, ApplianceError) as error:
            return f"malformed: {error}"
        return (
            self._authority_fault(certificate)
            or ("" if named == document["key_id"] else f"it names the key {named}")
            or self._asker_fault(index, document, identity)
            or ("" if self._asked(document["key_id"], possession, leaf) else "the role key did not ask for it")
        )

    def _authority_fault(self, certificate: x509.Certificate) -> str:
        for issuing, _ in self.trusted.authorities:
            try:
                certificate.verify_directly_issued_by(issuing)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return ""
        return "it is by no authority of the trust config"

    def _asker_fault(self, index: int, document: Mapping[str, Any], identity: str) -> str:
        who = self.enrolled.get(str(document["key_id"]))
        if who is None or who.index > index:
            return f"key {document['key_id']} is not enrolled before it"
        if document["role"] != who.role:
            return f"role {document['role']}, its key is enrolled for {who.role}"
        expected = who.identity or ceremony.role_identity(self.policy.site, who.role)
        return "" if identity == expected else f"identity {identity}, its key is enrolled for {expected}"

    def _asked(self, key_id: object, possession: bytes, leaf: keys.PublicKey) -> bool:
        return keys.is_signature(self.enrolled[str(key_id)].public, possession, keys.spki(leaf))


def _parse(entry: bytes) -> Mapping[str, Any] | None:
    if _MARK not in entry:
        return None
    try:
        document = parse_canonical(entry)
    except ApplianceError:
        return None
    return document if isinstance(document, dict) and document.get("kind") == "certificate" else None
