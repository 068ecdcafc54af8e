"""Where the servers of one site keep their things. The only module that knows the names of these files.

``<site>/servers/``: ``<name>/`` configuration and data of a server, ``certificates/``, ``secrets/`` (mode 0600 each),
``supervisor/``. Logs are in ``<site>/logs/servers/<name>.log``.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.config.model import StorageSection
from appliance.config.site import Site
from appliance.deploy import codes
from appliance.deploy.servers import plan

HOST = "127.0.0.1"  # the only address that a server of this profile listens on


@dataclass(frozen=True, kw_only=True)
class Program:
    """How the supervisor runs a server.

    Attributes:
        user: name of the user that it runs as; None: that of the supervisor.
        stop_signal: the signal that asks it for a clean end.
    """

    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    stop_signal: str = "TERM"


@dataclass(frozen=True, kw_only=True)
class Place:
    """The servers of one site.

    Attributes:
        site: the site's folder.
        logs: folder of the site's logs.
        binaries: where ``make servers`` put the servers.
        storage: what the site's buckets must be.
        secrets_mount: path of the KV engine with the site's passwords.
    """

    site: Path
    logs: Path
    binaries: Path
    first_port: int
    storage: StorageSection
    secrets_mount: str

    @property
    def folder(self) -> Path:
        return self.site / "servers"

    def home(self, name: str) -> Path:
        """Configuration and data of a server; made when missing."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def log(self, name: str) -> Path:
        return self.logs / "servers" / f"{name}.log"

    def port(self, name: str) -> int:
        return plan.port_of(name, self.first_port)

    def address(self, name: str) -> str:
        return f"{HOST}:{self.port(name)}"

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def authority(self) -> Path:
        """The certificate that clients of all servers trust."""
        return self.certificates / "ca.pem"

    def certificate(self, name: str) -> Path:
        return self.certificates / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.certificates / f"{name}.key"

    def secret_file(self, name: str) -> Path:
        return self.folder / "secrets" / name

    def secret(self, name: str) -> str:
        """A secret of this site, made when it is missing.

        Raises:
            ApplianceError: APL-SERVERS-007 the file is empty or not text.
        """
        path = self.secret_file(name)
        if not path.exists():
            self.keep_secret(name, secrets.token_urlsafe(32).replace("-", "A").replace("_", "B"))
        try:
            text = path.read_text(encoding="ascii")
        except UnicodeDecodeError as error:
            raise damaged(path, "not a secret in ASCII") from error
        if not text or text.strip() != text:
            raise damaged(path, "empty, or with white space around it")
        return text

    def keep_secret(self, name: str, text: str) -> None:
        """Write a secret, mode 0600 in a folder of mode 0700."""
        path = self.secret_file(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write_bytes(path, text.encode("ascii"), mode=0o600)

    def write(self, server: str, name: str, text: str) -> Path:
        """Write a configuration file of a server; it may hold secrets."""
        path = self.home(server) / name
        atomic.write_bytes(path, text.encode(), mode=0o600)
        return path

    def built(self, name: str) -> Path:
        """The program, or the folder of jars, that ``make servers`` put there.

        Raises:
            ApplianceError: APL-SERVERS-005.
        """
        facts_path = self.binaries / name / "built.json"
        try:
            facts = json.loads(facts_path.read_bytes())
        except (OSError, ValueError) as error:
            raise ApplianceError(codes.NOT_BUILT, f"{name} is not built", where=str(facts_path)) from error
        folder_of_jars = facts["kind"] == "maven"
        path = self.binaries / name / str(facts["provides"] if folder_of_jars else facts["entry_point"])
        if not path.exists() or not (folder_of_jars or os.access(path, os.X_OK)):
            raise ApplianceError(codes.NOT_BUILT, f"{name}: {path} is missing or cannot be run", where=str(facts_path))
        return path


def place_of(site: Site) -> Place:
    """The servers of a site, by its settings."""
    given = site.settings.servers.folder
    beside_product = Path(__file__).parents[3] / ".servers"
    return Place(
        site=site.folder,
        logs=site.logs,
        binaries=Path(given) if given else beside_product,
        first_port=site.settings.servers.first_port,
        storage=site.settings.storage,
        secrets_mount=site.settings.secrets.mount,
    )


def damaged(path: Path, message: str) -> ApplianceError:
    """The error for a file that a server cannot do without."""
    return ApplianceError(codes.STATE_DAMAGED, f"{path.name}: {message}", where=str(path))
