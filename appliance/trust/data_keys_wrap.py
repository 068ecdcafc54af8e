"""What data keys are wrapped with: a key of the site's key store, which need not leave it.

- Files: AES-256-GCM (NIST SP 800-38D) under a key derived from the key file ``data-keys``; a store with a passphrase
  protects it as it does the others.
- OpenBao: the transit engine wraps and unwraps; its key never leaves the server.
- A token: not yet. Tokens differ in what they wrap with, and the drivers that we can test have no common way.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.base.errors import ApplianceError
from appliance.trust import codes
from appliance.trust.keys import FileKeys, KeyStore
from appliance.trust.keystores import codes as store_codes

if TYPE_CHECKING:
    from appliance.trust.keystores.openbao import TransitKeys

NAME = "data-keys"  # of the wrapping key, in every store
_PURPOSE = b"appliance data keys v1"
_NONCE_BYTES = 12


class Wrapping(Protocol):
    def wrap(self, plain: Sequence[bytes]) -> list[bytes]: ...

    def unwrap(self, wrapped: Sequence[bytes]) -> list[bytes]:
        """APL-TRUST-037 where one was not wrapped by this key."""


def open_wrapping(store: KeyStore) -> Wrapping:
    """The wrapping key of a store, made where it has none.

    Raises:
        ApplianceError: APL-KEYS-008 the store is a token; those of the store.
    """
    if isinstance(store, FileKeys):
        return FileWrapping(store)
    from appliance.trust.keystores.openbao import TransitKeys  # its library is only loaded where it is used

    if isinstance(store, TransitKeys):
        return TransitWrapping(store)
    raise ApplianceError(store_codes.WRAPS_NO_DATA_KEYS, "a token wraps no data keys", where=str(store))


class FileWrapping:
    def __init__(self, store: FileKeys) -> None:
        if not store.holds(NAME):
            store.create(NAME, "ed25519")
        self._cipher = AESGCM(store.derive(NAME, _PURPOSE))

    def wrap(self, plain: Sequence[bytes]) -> list[bytes]:
        nonces = [secrets.token_bytes(_NONCE_BYTES) for _ in plain]  # one in 2^32 keys is the bound of SP 800-38D
        return [nonce + self._cipher.encrypt(nonce, each, _PURPOSE) for nonce, each in zip(nonces, plain, strict=True)]

    def unwrap(self, wrapped: Sequence[bytes]) -> list[bytes]:
        try:
            return [self._cipher.decrypt(each[:_NONCE_BYTES], each[_NONCE_BYTES:], _PURPOSE) for each in wrapped]
        except (InvalidTag, ValueError) as error:
            raise ApplianceError(codes.DATA_KEYS_UNUSABLE, "a key was not wrapped by the key of this store") from error


class TransitWrapping:
    def __init__(self, store: TransitKeys) -> None:
        self._store = store
        store.create_wrapping(NAME)

    def wrap(self, plain: Sequence[bytes]) -> list[bytes]:
        return self._store.encrypt(NAME, plain) if plain else []

    def unwrap(self, wrapped: Sequence[bytes]) -> list[bytes]:
        try:
            return self._store.decrypt(NAME, wrapped) if wrapped else []
        except ApplianceError as error:
            if error.code != store_codes.STORE_FAILED:
                raise
            raise ApplianceError(codes.DATA_KEYS_UNUSABLE, error.message, where=error.where) from error
