"""Role keys: who may act, and by which key their acts are known.

Rules
1. There are five roles. Each has one key, which signs audit records, moves of models and requests for certificates.
2. Keys are made once and never overwritten; unsafe key files are refused (see `appliance.trust.keys`).
3. An approver or auditor may also act by name, ``approver/alice``, with a key of their own: several people can then
   approve one thing (`trust.ceremony.role_identity` gives their identities). Audit records carry the role; the key
   tells who it was.
4. A key counts when the log enrolls it (`appliance.trust.enrollment`), not because a file lies in a folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.governance import codes
from appliance.trust import keys
from appliance.trust.keys import FileKeys, KeyStore, PublicKey, SigningKey

ROLES = ("operator", "data-engineer", "data-scientist", "approver", "auditor")
NAMED_ROLES = ("approver", "auditor", "builder")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


class RoleKeys:
    """The role keys in `folder`, or in another `store`."""

    def __init__(self, folder: Path, store: KeyStore | None = None) -> None:
        self._store = store or FileKeys(folder)
        self._loaded: dict[str, SigningKey] = {}

    def create(self, role: str) -> None:
        """Make the key of a role.

        Raises:
            ApplianceError: APL-ROLE-001 not a role, APL-TRUST-006 it has a key, APL-BASE-002 it cannot be written.
        """
        self._store.create(_checked(role), "p256")

    def create_all(self) -> None:
        """Make the keys of all roles that have none."""
        for role in ROLES:
            if not self.holds(role):
                self.create(role)

    def holds(self, role: str) -> bool:
        return self._store.holds(_checked(role))

    def sign(self, role: str, data: bytes) -> bytes:
        """ECDSA P-256 with SHA-256, DER.

        Raises:
            ApplianceError: APL-ROLE-001, APL-TRUST-004 others can read the key, APL-TRUST-005 it is missing.
        """
        return self._key(role).sign(data)

    def public(self, role: str) -> PublicKey:
        return self._key(role).public

    def key_id(self, role: str) -> str:
        """``sha256:<hex>`` of the public key."""
        return keys.key_id(self.public(role))

    def publics(self) -> dict[str, bytes]:
        """Role -> public key (DER) of every role with a key here; what the ceremony enrolls."""
        return {role: keys.spki(self.public(role)) for role in ROLES if self.holds(role)}

    def _key(self, role: str) -> SigningKey:
        if role not in self._loaded:
            self._loaded[role] = self._store.load(_checked(role))
        return self._loaded[role]


def role_of(actor: str) -> str:
    """``approver`` of ``approver/alice``."""
    return actor.partition("/")[0]


def is_actor(text: str) -> bool:
    """Whether this names a role, or a person in one."""
    role, slash, name = text.partition("/")
    return text in ROLES or (slash == "/" and role in NAMED_ROLES and _NAME.fullmatch(name) is not None)


def _checked(actor: str) -> str:
    """The name of the key of a role or person."""
    if not is_actor(actor):
        raise ApplianceError(codes.ROLE_UNKNOWN, f"expected one of {', '.join(ROLES)}, got {actor!r}")
    return actor.replace("/", "-")
