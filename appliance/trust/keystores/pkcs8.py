"""Encrypts a PKCS#8 key with a passphrase: PBES2 (RFC 8018) with scrypt (RFC 7914) and AES-256-CBC, as PEM.

The library that reads the form writes only PBKDF2 with few rounds, which a stolen file does not withstand. The cost is
the greatest that stock ``openssl pkey`` still opens (it allows 32 MiB): N = 2^14, r = 8, p = 5, about 0.3 s.
"""

from __future__ import annotations

import secrets
from typing import ClassVar

from asn1crypto import core, pem
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

PBES2 = "1.2.840.113549.1.5.13"  # RFC 8018 appendix A.4
SCRYPT = "1.3.6.1.4.1.11591.4.11"  # RFC 7914 section 7
AES_256_CBC = "2.16.840.1.101.3.4.1.42"
COST_N, COST_R, COST_P = 2**14, 8, 5
SALT_BYTES = 16


class _ScryptCost(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("salt", core.OctetString), ("n", core.Integer), ("r", core.Integer), ("p", core.Integer)]


class _Kdf(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("algorithm", core.ObjectIdentifier), ("parameters", _ScryptCost)]


class _Scheme(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("algorithm", core.ObjectIdentifier), ("parameters", core.OctetString)]


class _Pbes2(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("kdf", _Kdf), ("scheme", _Scheme)]


class _Algorithm(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("algorithm", core.ObjectIdentifier), ("parameters", _Pbes2)]


class _Encrypted(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("algorithm", _Algorithm), ("data", core.OctetString)]


def encrypt(private: bytes, passphrase: str) -> bytes:
    """The PEM text of a key given as DER PKCS#8."""
    salt, start = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(16)
    key = Scrypt(salt=salt, length=32, n=COST_N, r=COST_R, p=COST_P).derive(passphrase.encode())
    padder = padding.PKCS7(algorithms.AES.block_size).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(start)).encryptor()
    data = encryptor.update(padder.update(private) + padder.finalize()) + encryptor.finalize()
    cost = {"salt": salt, "n": COST_N, "r": COST_R, "p": COST_P}
    made = _Encrypted(
        {
            "algorithm": {
                "algorithm": PBES2,
                "parameters": {
                    "kdf": {"algorithm": SCRYPT, "parameters": cost},
                    "scheme": {"algorithm": AES_256_CBC, "parameters": start},
                },
            },
            "data": data,
        }
    )
    return bytes(pem.armor("ENCRYPTED PRIVATE KEY", made.dump()))
