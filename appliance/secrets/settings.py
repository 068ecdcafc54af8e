"""From the text of a setting to a secret: a path from the site's folder, or ``openbao:PATH`` or ``openbao:PATH#FIELD``.

A password that no setting names is that of the servers on this machine: the file that ``site up`` wrote, or, where the
site has an OpenBao, the entry of that user. Such a site reads no password from a file unless a setting names one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from appliance.base.errors import ApplianceError
from appliance.config.model import SecretsSection
from appliance.config.site import Site
from appliance.secrets import codes
from appliance.secrets.secret import FIELD, EntrySecret, FileSecret, Secret, Server

SCHEME = "openbao:"
ROLE = "ingest"  # the role of a site that names no files of another
Service = Literal["kafka", "store", "catalog", "registry"]
# Service -> the name that `site up` gives the file of a user's password.
FILES: Mapping[Service, str] = {
    "kafka": "kafka-{user}",
    "store": "minio-{user}",
    "catalog": "postgresql-{user}",
    "registry": "nginx",
}
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ENTRY = re.compile(rf"({_WORD}(?:/{_WORD})*)(?:#({_WORD}))?")


def entry_of(service: Service, user: str) -> str:
    """Path of the entry with the password of a user."""
    return f"{service}/{user}"


def role_file(role: str, what: Literal["role", "secret"]) -> str:
    """Name of the file in which ``site up`` leaves the role id or the secret id of an AppRole."""
    return f"openbao-{role}-{what}-id"


class Secrets:
    """The secrets of one site."""

    def __init__(self, settings: SecretsSection, site_folder: Path) -> None:
        self._settings = settings
        self._folder = site_folder

    def password_of(self, service: Service, user: str, text: str) -> Secret:
        """The password of a user: `text` of a setting says where, or is empty.

        Raises:
            ApplianceError: APL-SECRETS-001.
        """
        if not text and self._settings.openbao:
            return self.named(SCHEME + entry_of(service, user))
        return self.named(text or f"servers/secrets/{FILES[service].format(user=user)}")

    def named(self, text: str) -> Secret:
        """The secret that `text` of a setting or a declaration names.

        Raises:
            ApplianceError: APL-SECRETS-001.
        """
        if not text.startswith(SCHEME):
            if not text or "\0" in text:
                raise ApplianceError(codes.SETTING_INVALID, f"expected a path, got {text!r}")
            return FileSecret(self._folder / text)
        entry = _ENTRY.fullmatch(text.removeprefix(SCHEME))
        if entry is None:
            raise ApplianceError(codes.SETTING_INVALID, f"expected {SCHEME}PATH or {SCHEME}PATH#FIELD, got {text!r}")
        if not self._settings.openbao:
            raise ApplianceError(codes.SETTING_INVALID, f"{text!r}, and secrets.openbao is empty")
        return EntrySecret(server=self._server(), path=entry[1], field=entry[2] or FIELD)

    def _server(self) -> Server:
        settings, beside = self._settings, "servers/secrets"
        return Server(
            address=settings.openbao,
            mount=settings.mount,
            authority=self._folder / (settings.ca_file or "servers/certificates/ca.pem"),
            role_id_file=self._folder / (settings.role_id_file or f"{beside}/{role_file(ROLE, 'role')}"),
            secret_id_file=self._folder / (settings.secret_id_file or f"{beside}/{role_file(ROLE, 'secret')}"),
        )


def secrets_of(site: Site) -> Secrets:
    """The secrets of a site, by its settings."""
    return Secrets(site.settings.secrets, site.folder)
