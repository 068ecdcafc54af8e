"""The catalog of the lake's tables: a file of the site (SQLite), or a database on PostgreSQL.

Rules
1. A connection to PostgreSQL is TLS with the server's certificate and name checked (verify-full), and proves the
   password without showing it (SCRAM). The password is read from its place for every new connection, so that it
   stands in no address, no log and no error, and a renewed one counts at once.
2. A database holds the catalog of one site. Where the files of the tables lie is told elsewhere (`storage.files`).
3. What the database says becomes one error with cause and fix, within `CONNECT_S` when it cannot be reached.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy
import sqlalchemy.exc
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from appliance.base.errors import ApplianceError
from appliance.config.model import StorageSection
from appliance.secrets.secret import Secret, from_text, to_text
from appliance.secrets.settings import Secrets
from appliance.storage import codes

CONNECT_S = 3  # for each address of the host; leaves two of the five seconds in which an error must be told
NAME = "site"  # of the catalog within its database; it stands in every row
_TABLES = 2  # of the catalog itself
_MADE_BY_ANOTHER = ("already exists", "duplicate key")  # in the words of SQLite and PostgreSQL
_PROPERTIES = {"py-io-impl": "appliance.storage.durable_io.DurableIO"}


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database on PostgreSQL and who we are to it.

    Attributes:
        password: of `role`.
        authority: PEM file of the authority that issued the server's certificate.
    """

    host: str
    port: int
    name: str
    role: str
    password: Secret
    authority: Path

    def __str__(self) -> str:
        return f"postgresql://{self.role}@{self.host}:{self.port}/{self.name}"


def database_of(settings: StorageSection, site_folder: Path, secrets: Secrets) -> Database | None:
    """The database that a site's settings name; none: the catalog is a file.

    Raises:
        ApplianceError: APL-SECRETS-001.
    """
    if not settings.catalog:
        return None
    parts = urlsplit(settings.catalog)  # its form is checked with the settings
    role, name = parts.username or "", parts.path.removeprefix("/")
    return Database(
        host=parts.hostname or "",
        port=int(parts.port or 0),
        name=name,
        role=role,
        password=secrets.password_of("catalog", role, settings.catalog_password_file),
        authority=site_folder / (settings.catalog_ca_file or "servers/certificates/ca.pem"),
    )


def open_catalog(folder: Path, database: Database | None, files: Mapping[str, str]) -> SqlCatalog:
    """The catalog of a lake, in `folder` or in the database; its own tables are made where they are missing.

    Args:
        files: what `durable_io` needs to find the files of the tables.

    Raises:
        ApplianceError: APL-STORAGE-003, 014.
    """
    try:
        if database is None:
            return _made(folder, f"sqlite:///{folder / 'catalog.db'}", files)
        return _on_postgresql(folder, database, files)
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise failed(error, folder, database) from error


def failed(error: sqlalchemy.exc.SQLAlchemyError, folder: Path, database: Database | None) -> ApplianceError:
    """The error with a code for what the database said."""
    if database is None:
        return ApplianceError(codes.CATALOG_FAILED, str(error).splitlines()[0], where=str(folder / "catalog.db"))
    # Of a failed statement SQLAlchemy's own text also tells the parameters; the driver's is enough.
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    return ApplianceError(codes.CATALOG_FAILED, said, where=str(database), hint=_hint(said, database))


def _hint(said: str, database: Database) -> str:
    """What to do, by the words of PostgreSQL and of its client library; they have no code before there is a session."""
    by_words = (
        ("password authentication failed", f"Check the role, and its password in {database.password}."),
        ("certificate", f"Check address and clock, and that {database.authority} is the authority of the server."),
        ("SSL", "The server must offer TLS and take SCRAM passwords over it; check its settings."),
        ("does not exist", "Make the database and the role first, or correct their names."),
        ("permission denied", f"Give the role {database.role} the right to make tables in the database."),
    )
    for words, hint in by_words:
        if words in said:
            return hint
    return "Start the database (appliance site status tells its state), check the address, then run the command again."


def _on_postgresql(folder: Path, database: Database, files: Mapping[str, str]) -> SqlCatalog:
    url = sqlalchemy.URL.create(
        "postgresql+secret",
        username=database.role,
        host=database.host,
        port=database.port,
        database=database.name,
        query={
            "secret": to_text(database.password),
            "sslmode": "verify-full",
            "sslrootcert": str(database.authority),
            "require_auth": "scram-sha-256",
            "gssencmode": "disable",
            "connect_timeout": str(CONNECT_S),
            "application_name": "appliance",
        },
    )
    # pyiceberg takes a failed connection for missing tables and connects again, which would take twice the time.
    engine = sqlalchemy.create_engine(url)
    with contextlib.closing(engine.connect()):
        pass
    engine.dispose()
    return _made(folder, url.render_as_string(), {"pool_pre_ping": "true", **files})


def _made(folder: Path, uri: str, properties: Mapping[str, str]) -> SqlCatalog:
    """Another process may make one of the catalog's tables between our look and our making it: then look again."""
    for attempt in itertools.count(1):
        try:
            return SqlCatalog(NAME, uri=uri, warehouse=f"file://{folder}", **_PROPERTIES, **properties)
        except sqlalchemy.exc.SQLAlchemyError as error:
            if attempt > _TABLES or not any(words in str(error) for words in _MADE_BY_ANOTHER):
                raise
    raise AssertionError


class SecretDialect(PGDialect_psycopg):
    """psycopg with the password from its place: ``postgresql+secret://role@host/name?secret=…``."""

    driver = "secret"
    supports_statement_cache = True

    def connect(self, *arguments: Any, **options: Any) -> Any:
        password = from_text(options.pop("secret")).read(code=codes.SECRET_UNREADABLE)
        return super().connect(*arguments, password=password, **options)


registry.register("postgresql.secret", __name__, SecretDialect.__name__)
