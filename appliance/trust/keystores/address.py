"""The address of a key store, as a site's settings carry it, and the one function that opens it.

    file:/srv/keys                                            plain files of mode 0600
    file:/srv/keys?passphrase-file=/run/credentials/phrase    encrypted files; or passphrase-fd=3
    pkcs11:token=enclave?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/credentials/pin
    openbao:https://bao.site:8200?token-file=/run/credentials/token
    openbao:https://bao.site:8200?role-id-file=...&secret-id-file=...&ca-file=...&mount=transit&prefix=north-

An address never holds a secret: it names the files with them. Unknown and double parts are refused.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from appliance.base.errors import ApplianceError
from appliance.trust.keys import FileKeys, KeyStore
from appliance.trust.keystores import codes
from appliance.trust.keystores.secret import read_inherited, read_secret

_TOKEN_PARTS = {"token": "label", "serial": "serial", "model": "model", "manufacturer": "manufacturer"}


def open_store(address: str) -> KeyStore:
    """The key store that `address` names; servers and tokens are asked at the first use of a key.

    Raises:
        ApplianceError: APL-KEYS-001 the address is not valid, -005 a secret's file cannot be used, APL-TRUST-004.
    """
    kind, colon, rest = address.partition(":")
    openers = {"file": _open_files, "pkcs11": _open_token, "openbao": _open_transit}
    if not colon or kind not in openers:
        raise ApplianceError(codes.ADDRESS_REFUSED, f"expected one of {', '.join(openers)}, got {kind!r}")
    if "#" in rest:
        raise ApplianceError(codes.ADDRESS_REFUSED, "a fragment (#) is not allowed", where=kind)
    path, _, query = rest.partition("?")
    return openers[kind](path, query)


def _open_files(path: str, query: str) -> KeyStore:
    asked = _parts(query, "&", {"passphrase-file", "passphrase-fd"}, "file:")
    path = path.removeprefix("//") if path.startswith("///") else path  # RFC 8089: an empty host
    if not path or path.startswith("//") or len(asked) > 1:
        raise ApplianceError(codes.ADDRESS_REFUSED, "expected a folder and at most one passphrase", where="file:")
    passphrase = None
    if "passphrase-file" in asked:
        passphrase = read_secret(Path(asked["passphrase-file"]))
    elif "passphrase-fd" in asked:
        if not asked["passphrase-fd"].isdecimal():
            raise ApplianceError(codes.ADDRESS_REFUSED, "passphrase-fd is not a number", where="file:")
        passphrase = read_inherited(int(asked["passphrase-fd"]))
    return FileKeys(Path(unquote(path)), passphrase)


def _open_token(path: str, query: str) -> KeyStore:
    from appliance.trust.keystores.pkcs11_token import TokenKeys, TokenName

    named = _parts(path, ";", set(_TOKEN_PARTS), "pkcs11:")  # RFC 7512 section 2.3
    asked = _parts(query, "&", {"module-path", "pin-source"}, "pkcs11:")
    if not named or set(asked) != {"module-path", "pin-source"}:
        raise ApplianceError(codes.ADDRESS_REFUSED, "expected a token, module-path and pin-source", where="pkcs11:")
    pin_file = Path(asked["pin-source"].removeprefix("file:"))
    chosen = {_TOKEN_PARTS[name]: value for name, value in named.items()}
    return TokenKeys(TokenName(module=Path(asked["module-path"]), pin_file=pin_file, **chosen), read_secret(pin_file))


def _open_transit(path: str, query: str) -> KeyStore:
    from appliance.trust.keystores.openbao import Server, TransitKeys

    allowed = {"mount", "prefix", "ca-file", "token-file", "role-id-file", "secret-id-file"}
    asked = _parts(query, "&", allowed, "openbao:")
    secrets = {name.removesuffix("-file").replace("-", "_") for name in asked if name.endswith("-file")} - {"ca"}
    if secrets not in ({"token"}, {"role_id", "secret_id"}):
        raise ApplianceError(
            codes.ADDRESS_REFUSED, "expected token-file, or role-id-file and secret-id-file", where="openbao:"
        )
    _check_server(path)
    return TransitKeys(
        Server(
            address=path,
            mount=asked.get("mount", "transit"),
            prefix=asked.get("prefix", ""),
            authority=Path(asked["ca-file"]) if "ca-file" in asked else None,
            **{name: read_secret(Path(asked[f"{name.replace('_', '-')}-file"])) for name in sorted(secrets)},
        )
    )


def _check_server(address: str) -> None:
    try:
        parts = urlsplit(address)
        plain = parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
        usable = (plain or (parts.scheme == "https" and parts.hostname)) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username or parts.path.strip("/"):
        raise ApplianceError(
            codes.ADDRESS_REFUSED, f"expected https:, or http: on a loopback number, got {address!r}", where="openbao:"
        )


def _parts(text: str, separator: str, allowed: set[str], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(separator) if text else []:
        name, equals, value = part.partition("=")
        if name not in allowed or name in found or not equals or not value:
            raise ApplianceError(codes.ADDRESS_REFUSED, f"{name!r} is unknown, double, or has no value", where=where)
        found[name] = unquote(value)
    return found
