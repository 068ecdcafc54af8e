"""Keys on a PKCS#11 token: a smart card, a network HSM, or SoftHSM. Owns `pkcs11`.

Rules
1. The token is named by a PKCS#11 URI (RFC 7512): the path attributes ``token``, ``serial``, ``model`` and
   ``manufacturer`` choose it, ``module-path`` is its driver and ``pin-source`` the file with the PIN. A PIN in the
   address itself (``pin-value``) is refused: section 7 of the RFC says why.
2. A key is a pair of objects whose label is its name. It is made on the token, sensitive and not extractable; a private
   key that could leave the token is not used.
3. Names are not unique on a token. Processes of one machine therefore make keys, and log in, one after the other, by a
   lock on the file with the PIN (SoftHSM overlooks a token while somebody logs in). `create` looks again after making
   a key, and takes its own away when another machine was at it as well. A key that was loaded is found by its id.
4. A process logs in to a token once (PKCS#11 section 5.6.8: all sessions of a program share the login). Another PIN
   later in the same process is compared with the one that the token accepted.
5. ECDSA is over our own digest (CKM_ECDSA gives r and s, we write DER); Ed25519 is CKM_EDDSA.
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pkcs11
from asn1crypto import core
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_ec_public_key, encode_ecdsa_signature, encode_named_curve_parameters

from appliance.base.errors import ApplianceError
from appliance.trust import codes, keys
from appliance.trust.keys import Algorithm, PublicKey, SigningKey
from appliance.trust.keystores import codes as store_codes

_EDWARDS = core.PrintableString("edwards25519").dump()  # PKCS#11 3.0 section 2.3.5, CKA_EC_PARAMS
_PRIVATE = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
}


@dataclass(frozen=True, kw_only=True)
class TokenName:
    """Which token; an attribute that is none is not compared."""

    module: Path
    pin_file: Path = field(compare=False)
    label: str | None = None
    serial: str | None = None
    model: str | None = None
    manufacturer: str | None = None


@dataclass(kw_only=True)
class _Login:
    session: Any
    pin: str
    lock: threading.Lock = field(default_factory=threading.Lock)  # a session does one thing at a time


_logins: dict[TokenName, _Login] = {}
_opening = threading.Lock()


class TokenKeys:
    """The keys on one token."""

    def __init__(self, name: TokenName, pin: str) -> None:
        self._name = name
        self._pin = pin

    def holds(self, name: str) -> bool:
        with _session(self._name, self._pin) as session:
            return bool(_found(session, name, ObjectClass.PRIVATE_KEY))

    def create(self, name: str, algorithm: Algorithm) -> SigningKey:
        """Raises:
        ApplianceError: APL-TRUST-006 the name is taken, APL-KEYS-006 the token makes no such key, and those of `load`.
        """
        if algorithm not in ("p256", "p384", "ed25519"):
            raise ApplianceError(store_codes.ALGORITHM_REFUSED, f"a token keeps no {algorithm} key", where=str(self))
        with _session(self._name, self._pin) as session, _alone(self._name):
            if _found(session, name, ObjectClass.PRIVATE_KEY):
                raise ApplianceError(codes.KEY_EXISTS, f"there is a key {name} already", where=str(self))
            pair = _generate(session, name, algorithm)
            if len(_found(session, name, ObjectClass.PRIVATE_KEY)) > 1:
                for each in pair:
                    each.destroy()
                raise ApplianceError(codes.KEY_EXISTS, f"another machine makes a key {name}", where=str(self))
            public, private = pair
            return self._key(private, public, name)

    def load(self, name: str) -> SigningKey:
        """Raises:
        ApplianceError: APL-TRUST-004 the key could leave the token, -005 it is missing, not one, or of another kind;
            APL-KEYS-002 no such token, -004 wrong PIN, -007.
        """
        with _session(self._name, self._pin) as session:
            private, public = (
                self._only(session, name, kind) for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
            )
            return self._key(private, public, name)

    def __str__(self) -> str:
        return f"token {self._name.label or self._name.serial or self._name.model or 'of'} {self._name.module}"

    def _only(self, session: Any, name: str, kind: ObjectClass) -> Any:
        found = _found(session, name, kind)
        if len(found) != 1:
            what = kind.name.lower().replace("_", " ")
            raise ApplianceError(codes.KEY_UNUSABLE, f"expected one {what} {name}, found {len(found)}", where=str(self))
        return found[0]

    def _key(self, private: Any, public: Any, name: str) -> SigningKey:
        if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
            raise ApplianceError(codes.KEY_UNSAFE, f"key {name} may leave the token", where=str(self))
        which = {Attribute.LABEL: name, Attribute.ID: private[Attribute.ID]}
        return _TokenKey(self._name, self._pin, which, self._public(public, name))

    def _public(self, public: Any, name: str) -> PublicKey:
        if public.key_type is KeyType.EC_EDWARDS:
            raw = core.OctetString.load(public[Attribute.EC_POINT]).native
            return ed25519.Ed25519PublicKey.from_public_bytes(raw)
        if public.key_type is KeyType.EC:
            return keys.parse_public(encode_ec_public_key(public))
        raise ApplianceError(codes.KEY_UNUSABLE, f"key {name} is a {public.key_type.name} key", where=str(self))


class _TokenKey:
    def __init__(self, token: TokenName, pin: str, which: Mapping[Attribute, Any], public: PublicKey) -> None:
        self._token = token
        self._pin = pin
        self._which = which
        self._public = public

    @property
    def public(self) -> PublicKey:
        return self._public

    def sign(self, data: bytes) -> bytes:
        with _session(self._token, self._pin) as session:
            found = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, **self._which}))
            if len(found) != 1:
                name = self._which[Attribute.LABEL]
                raise ApplianceError(codes.KEY_UNUSABLE, f"expected one private key {name}, found {len(found)}")
            (private,) = found
            if not isinstance(self._public, ec.EllipticCurvePublicKey):
                return bytes(private.sign(data, mechanism=Mechanism.EDDSA))
            digest = hashes.Hash(keys.hash_of(self._public.curve))
            digest.update(data)
            return encode_ecdsa_signature(private.sign(digest.finalize(), mechanism=Mechanism.ECDSA))


@contextlib.contextmanager
def _session(token: TokenName, pin: str) -> Iterator[Any]:
    where = f"{token.label or token.serial or token.model} of {token.module}"
    try:
        with _opening:
            login = _logins.get(token)
            if login is None:
                login = _logins[token] = _Login(session=_open(token, pin), pin=pin)
        if not hmac.compare_digest(login.pin.encode(), pin.encode()):
            raise ApplianceError(store_codes.SECRET_REFUSED, "this is not the PIN that the token accepted", where=where)
        with login.lock:
            yield login.session
    except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinLocked) as error:
        raise ApplianceError(store_codes.SECRET_REFUSED, f"the PIN was refused: {error!r}", where=where) from error
    except (pkcs11.NoSuchToken, pkcs11.MultipleTokensReturned, pkcs11.TokenNotPresent, pkcs11.DeviceRemoved) as error:
        _forget(token)
        raise ApplianceError(store_codes.STORE_UNREACHABLE, f"expected one token: {error!r}", where=where) from error
    except pkcs11.MechanismInvalid as error:
        raise ApplianceError(
            store_codes.ALGORITHM_REFUSED, "the token does not have this algorithm", where=where
        ) from error
    except pkcs11.PKCS11Error as error:
        _forget(token)  # the session may be what broke
        raise ApplianceError(store_codes.STORE_FAILED, f"{error!r}", where=where) from error


def _forget(token: TokenName) -> None:
    login = _logins.pop(token, None)
    if login is not None:
        with contextlib.suppress(pkcs11.PKCS11Error):
            login.session.close()


def _open(token: TokenName, pin: str) -> Any:
    if not token.module.is_file():
        raise ApplianceError(store_codes.STORE_UNREACHABLE, "there is no such driver", where=str(token.module))
    with _alone(token):
        found = [each for each in pkcs11.lib(str(token.module)).get_tokens() if _matches(each, token)]
        if len(found) != 1:
            raise ApplianceError(
                store_codes.STORE_UNREACHABLE, f"expected one token, found {len(found)}", where=str(token.module)
            )
        return found[0].open(user_pin=pin, rw=True)


@contextlib.contextmanager
def _alone(token: TokenName) -> Iterator[None]:
    handle = os.open(token.pin_file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _matches(found: Any, wanted: TokenName) -> bool:
    said = (found.label, found.serial.decode(errors="replace"), found.model, found.manufacturer_id)
    asked = (wanted.label, wanted.serial, wanted.model, wanted.manufacturer)
    return all(ask is None or ask == say.rstrip() for ask, say in zip(asked, said, strict=True))


def _found(session: Any, name: str, kind: ObjectClass) -> list[Any]:
    return list(session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: keys.checked_name(name)}))


def _generate(session: Any, name: str, algorithm: Algorithm) -> Any:
    if algorithm == "ed25519":
        kind, curve, mechanism = KeyType.EC_EDWARDS, _EDWARDS, Mechanism.EC_EDWARDS_KEY_PAIR_GEN
    else:
        named = "secp256r1" if algorithm == "p256" else "secp384r1"
        kind, curve, mechanism = KeyType.EC, encode_named_curve_parameters(named), Mechanism.EC_KEY_PAIR_GEN
    parameters = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: curve}, local=True)
    return parameters.generate_keypair(
        mechanism=mechanism, store=True, label=name, id=secrets.token_bytes(16), private_template=_PRIVATE
    )
