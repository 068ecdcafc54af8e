"""Keys in the transit engine of an OpenBao server, which signs and never gives them out. Owns `hvac`.

Rules
1. TLS, or plain HTTP to this machine's loopback. No proxy, no redirect, and an answer within five seconds.
2. A name is one key for ever: its version 1. Transit's own rotation puts another key behind a name; those are ignored.
3. Keys are made not exportable and without plain backup; one that is exportable is not used.
4. ECDSA is over our own digest, the signature ASN.1; Ed25519 signs the message.
5. The engine never replaces a key and does not say who made it: of processes that make one name at the same moment, all
   may succeed, with the same key.
6. The secret is a token or an AppRole secret, each from a file. An AppRole logs in again when its token has run out.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hvac import exceptions

from appliance.base.errors import ApplianceError
from appliance.trust import codes, keys
from appliance.trust.keys import Algorithm, PublicKey, SigningKey
from appliance.trust.keystores import codes as store_codes

TIMEOUT_S = (2.0, 3.0)  # to connect, and for each answer
VERSION = 1
WRAPPING = "aes256-gcm96"  # NIST SP 800-38D; the key that data keys are wrapped with
MAX_ITEMS = 400  # of one request: the server refuses JSON with more than 1,000 strings, and each item has two
_KINDS = {"p256": "ecdsa-p256", "p384": "ecdsa-p384", "ed25519": "ed25519"}


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a server is and how to get in: a `token`, or `role_id` and `secret_id` of an AppRole.

    Attributes:
        mount: path of the transit engine.
        prefix: stands before the names of all keys, so that sites can share an engine.
        authority: certificates that the server's is judged by; none for those of the system.
    """

    address: str
    mount: str = "transit"
    prefix: str = ""
    authority: Path | None = None
    token: str = ""
    role_id: str = ""
    secret_id: str = ""


class TransitKeys:
    """The keys of one prefix in one transit engine."""

    def __init__(self, server: Server) -> None:
        self._server = server
        session = requests.Session()
        session.trust_env = False  # no proxy and no certificates that the environment names
        session.verify = str(server.authority) if server.authority else True  # hvac sets it on its own sessions alone
        self._client = hvac.Client(
            url=server.address,
            token=server.token,
            timeout=TIMEOUT_S,
            session=session,
            allow_redirects=False,
        )

    def holds(self, name: str) -> bool:
        return self._read(name) is not None

    def create(self, name: str, algorithm: Algorithm) -> SigningKey:
        """Raises:
        ApplianceError: APL-TRUST-006 the name is taken, APL-KEYS-006 the engine makes no such key, and those of `load`.
        """
        if algorithm not in _KINDS:
            raise ApplianceError(store_codes.ALGORITHM_REFUSED, f"transit keeps no {algorithm} key", where=str(self))
        if self.holds(name):
            raise ApplianceError(codes.KEY_EXISTS, f"there is a key {name} already", where=str(self))
        made = self._ask("create_key", name, key_type=_KINDS[algorithm], exportable=False, allow_plaintext_backup=False)
        if made["data"]["type"] != _KINDS[algorithm]:
            raise ApplianceError(codes.KEY_EXISTS, f"another process made a key {name}", where=str(self))
        return self.load(name)

    def load(self, name: str) -> SigningKey:
        """Raises:
        ApplianceError: APL-TRUST-004 the key could be exported, -005 it is missing or of another kind; APL-KEYS-002 no
            answer, -003 sealed, -004 the token is refused, -007.
        """
        found = self._read(name)
        if found is None:
            raise ApplianceError(codes.KEY_UNUSABLE, f"there is no key {name}", where=str(self))
        if found["exportable"] or found["allow_plaintext_backup"]:
            raise ApplianceError(codes.KEY_UNSAFE, f"key {name} may leave the server", where=str(self))
        if found["type"] not in _KINDS.values() or str(VERSION) not in found["keys"]:
            raise ApplianceError(
                codes.KEY_UNUSABLE,
                f"key {name} is of type {found['type']}, versions {', '.join(found['keys'])}",
                where=str(self),
            )
        text = found["keys"][str(VERSION)]["public_key"]
        if found["type"] == "ed25519":
            return _TransitKey(self, name, ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(text)))
        public = load_pem_public_key(text.encode())
        assert isinstance(public, ec.EllipticCurvePublicKey)  # by its type
        return _TransitKey(self, name, public)

    def sign(self, name: str, data: bytes, curve: ec.EllipticCurve | None) -> bytes:
        """The signature by version 1 of a key; `curve` is none for Ed25519."""
        options: dict[str, Any] = {}
        if curve is not None:
            algorithm = keys.hash_of(curve)
            digest = hashes.Hash(algorithm)
            digest.update(data)
            data = digest.finalize()
            options = {
                "hash_algorithm": f"sha2-{algorithm.digest_size * 8}",
                "prehashed": True,
                "marshaling_algorithm": "asn1",
            }
        answer = self._ask(
            "sign_data",
            name,
            hash_input=base64.b64encode(data).decode(),
            key_version=VERSION,
            **options,
        )
        _, version, signature = answer["data"]["signature"].split(":")
        assert version == f"v{VERSION}"  # we asked for it
        return base64.b64decode(signature)

    def create_wrapping(self, name: str) -> None:
        """Make the key that `encrypt` and `decrypt` use, where there is none; the server never replaces a key."""
        if not self.holds(name):
            self._ask("create_key", name, key_type=WRAPPING, exportable=False, allow_plaintext_backup=False)

    def encrypt(self, name: str, items: Sequence[bytes]) -> list[bytes]:
        """The items, each encrypted by the server, `MAX_ITEMS` in one request.

        Raises:
            ApplianceError: those of `load`.
        """
        asked = [{"plaintext": base64.b64encode(each).decode()} for each in items]
        return [each["ciphertext"].encode() for each in self._ask_all("encrypt_data", name, asked)]

    def decrypt(self, name: str, items: Sequence[bytes]) -> list[bytes]:
        """What `encrypt` was given.

        Raises:
            ApplianceError: those of `load`; APL-KEYS-007 an item was not encrypted by this key.
        """
        asked = [{"ciphertext": each.decode("ascii", "replace")} for each in items]
        found = self._ask_all("decrypt_data", name, asked)
        faults = [each["error"] for each in found if each.get("error")]
        if faults:
            raise ApplianceError(store_codes.STORE_FAILED, f"{len(faults)} not decrypted: {faults[0]}", where=str(self))
        return [base64.b64decode(each["plaintext"]) for each in found]

    def __str__(self) -> str:
        return f"{self._server.address} {self._server.mount}/{self._server.prefix}"

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(self._ask("read_key", name)["data"])
        except ApplianceError as error:
            if isinstance(error.__cause__, exceptions.InvalidPath):
                return None
            raise

    def _ask_all(self, what: str, name: str, items: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
        return [
            each
            for start in range(0, len(items), MAX_ITEMS)
            for each in self._ask(what, name, batch_input=items[start : start + MAX_ITEMS])["data"]["batch_results"]
        ]

    def _ask(self, what: str, name: str, **options: Any) -> Any:
        with self._translated():
            if not self._client.token:
                self._log_in()
            try:
                return self._transit(what, name, options)
            except exceptions.Forbidden:
                if not self._server.role_id:
                    raise
                self._log_in()
                return self._transit(what, name, options)

    def _transit(self, what: str, name: str, options: dict[str, Any]) -> Any:
        call = getattr(self._client.secrets.transit, what)
        answer = call(self._server.prefix + keys.checked_name(name), mount_point=self._server.mount, **options)
        if not isinstance(answer, dict):  # an answer without a body, for example a redirect, which is not followed
            raise ApplianceError(
                store_codes.STORE_FAILED, f"expected an answer, got status {answer.status_code}", where=str(self)
            )
        return answer

    def _log_in(self) -> None:
        try:
            self._client.auth.approle.login(role_id=self._server.role_id, secret_id=self._server.secret_id)
        except exceptions.InvalidRequest as error:  # what the server says to a wrong secret
            raise ApplianceError(store_codes.SECRET_REFUSED, "the AppRole was refused", where=str(self)) from error

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        where = str(self)
        try:
            yield
        except exceptions.InvalidPath as error:
            raise ApplianceError(codes.KEY_UNUSABLE, "there is no such key", where=where) from error
        except exceptions.VaultDown as error:
            raise ApplianceError(store_codes.STORE_SEALED, "it is sealed", where=where) from error
        except exceptions.VaultNotInitialized as error:
            raise ApplianceError(store_codes.STORE_SEALED, "it was never initialised", where=where) from error
        except (exceptions.Forbidden, exceptions.Unauthorized) as error:
            raise ApplianceError(
                store_codes.SECRET_REFUSED, "the token is not valid or does not allow this", where=where
            ) from error
        except requests.RequestException as error:
            raise ApplianceError(
                store_codes.STORE_UNREACHABLE, f"no answer: {type(error).__name__}", where=where
            ) from error
        except exceptions.VaultError as error:
            raise ApplianceError(store_codes.STORE_FAILED, str(error), where=where) from error


class _TransitKey:
    def __init__(
        self, store: TransitKeys, name: str, public: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    ) -> None:
        self._store = store
        self._name = name
        self._public = public

    @property
    def public(self) -> PublicKey:
        return self._public

    def sign(self, data: bytes) -> bytes:
        curve = self._public.curve if isinstance(self._public, ec.EllipticCurvePublicKey) else None
        return self._store.sign(self._name, data, curve)
