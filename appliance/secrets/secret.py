"""A secret that has a place and is read when it is needed: a file, or a field of an entry in OpenBao.

Rules
1. Whoever needs a secret holds its place and reads it for each new connection, so that a renewed one counts at once.
2. A place can be printed and carried in settings of libraries. The secret stands in no place, log or error.
3. A secret is one line of printable ASCII without white space around it, wherever it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from appliance.base import secret_file
from appliance.base.errors import ApplianceError, Code
from appliance.secrets import codes

FIELD = "value"  # of an entry, where a setting names none


class Secret(Protocol):
    """`str` of it is its place, for people."""

    def read(self, *, code: Code) -> str:
        """The secret as it is now, without the end of its line.

        Args:
            code: of a file that cannot be used.

        Raises:
            ApplianceError: `code`, or for one in OpenBao APL-SECRETS-002 to 009; never with the content.
        """


class FileSecret(msgspec.Struct, frozen=True, tag="file"):
    """One line of a file of mode 600, see `base.secret_file`."""

    path: Path

    def read(self, *, code: Code) -> str:
        return secret_file.read_secret(self.path, code=code)

    def __str__(self) -> str:
        return str(self.path)


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """An OpenBao server and who we are to it.

    Attributes:
        address: ``https://host:port``.
        mount: of the KV version 2 engine.
        authority: PEM file of the authority that issued the server's certificate.
        role_id_file, secret_id_file: of our AppRole; read for each login.
    """

    address: str
    mount: str
    authority: Path
    role_id_file: Path
    secret_id_file: Path


class EntrySecret(msgspec.Struct, frozen=True, kw_only=True, tag="openbao"):
    """A field of an entry in a KV version 2 engine."""

    server: Server
    path: str
    field: str = FIELD

    def read(self, *, code: Code) -> str:
        from appliance.secrets import openbao  # its libraries are slow to load, and most sites have files

        value = openbao.open_server(self.server).field(self.path, self.field)
        if not isinstance(value, str) or not _is_secret(value.removesuffix("\n").removesuffix("\r")):
            raise ApplianceError(
                codes.INVALID, "it is not one line of printable ASCII without white space around it", where=str(self)
            )
        return value.removesuffix("\n").removesuffix("\r")

    def __str__(self) -> str:
        return f"openbao:{self.path}" if self.field == FIELD else f"openbao:{self.path}#{self.field}"


def _is_secret(line: str) -> bool:
    """As `base.secret_file` has it for files."""
    fits = 0 < len(line) <= secret_file.MAX_BYTES and line.strip() == line
    return fits and line.isascii() and line.isprintable()


def to_text(secret: Secret) -> str:
    """The place for settings of a library that are text; `from_text` gives the same secret."""
    return msgspec.json.encode(secret, enc_hook=str).decode()


def from_text(text: str) -> Secret:
    """The secret whose place `to_text` wrote."""
    found: FileSecret | EntrySecret = msgspec.json.decode(
        text, type=FileSecret | EntrySecret, dec_hook=lambda kind, value: kind(value)
    )
    return found
