"""The section ``[changes]`` of a declared connector: which database, and which of its tables.

::

    kind = "changes"
    description = "…"                   # optional

    [changes]
    host = "register.example"
    port = 5432                         # optional
    database = "register"
    user = "capture"
    password_file = "keys/sources/register.secret"  # Connect reads it too, and may read this folder only
    ca_file = "keys/register-ca.pem"    # the authority of the database's certificate
    publication = "appliance"           # optional
    signals = "appliance.signals"       # optional: the table by which snapshots are asked for
    excluded = ["public.owners.name"]   # optional: columns that do not leave the database
    plain = ["public.feeders.name"]     # optional: columns that look sensitive and are not, as somebody saw
    chunk_rows = 1024                   # optional: rows of one step of a snapshot
    heartbeat = "10s"                   # optional

    [changes.tables]                    # table of the source -> its name in the lake
    "public.transformers" = "transformers"

Of a table named ``transformers`` the lake has ``silver.transformers``, the rows as they are now, and
``bronze.transformers``, every change. Files are relative to the site's folder.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from appliance.secrets.settings import SCHEME
from appliance.storage import names

_PART = r"[a-z_][a-z0-9_$]{0,62}"
_TABLE = re.compile(rf"{_PART}\.{_PART}")
_COLUMN = re.compile(rf"{_PART}\.{_PART}\.{_PART}")
_LAKE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Changes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(min_length=1)]
    database: Annotated[str, Meta(min_length=1)]
    user: Annotated[str, Meta(min_length=1)]
    password_file: Annotated[str, Meta(min_length=1)]
    ca_file: Annotated[str, Meta(min_length=1)]
    tables: Annotated[dict[str, str], Meta(min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 5432
    publication: Annotated[str, Meta(pattern=rf"^{_PART}\Z")] = "appliance"
    signals: str = "appliance.signals"
    excluded: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    chunk_rows: Annotated[int, Meta(ge=1, le=100_000)] = 1024
    heartbeat: str = "10s"


def objections(changes: Changes) -> list[str]:
    """What does not hold together, each naming its key."""
    found = [f"changes.tables: {each!r} is not schema.table" for each in changes.tables if not _TABLE.fullmatch(each)]
    found += [
        f"changes.tables: {each!r} is not a name of lower-case letters, digits and '_'"
        for each in changes.tables.values()
        if not _LAKE_NAME.fullmatch(each)
    ]
    if len(set(changes.tables.values())) != len(changes.tables):
        found.append("changes.tables: two tables of the source have one name in the lake")
    found += [
        f"changes.tables: {each!r} is a table of the product's own"
        for each in changes.tables.values()
        if names.OWN & {silver(each), bronze(each)}
    ]
    if not _TABLE.fullmatch(changes.signals) or changes.signals in changes.tables:
        found.append(f"changes.signals: {changes.signals!r} is not a schema.table of its own")
    for key, columns in (("excluded", changes.excluded), ("plain", changes.plain)):
        found += [
            f"changes.{key}: {each!r} is not schema.table.column of a declared table"
            for each in columns
            if not _COLUMN.fullmatch(each) or each.rpartition(".")[0] not in changes.tables
        ]
    if changes.password_file.startswith(SCHEME):
        found.append("changes.password_file: expected a file, since Connect reads it, too")
    return found


def silver(name: str) -> str:
    """The lake's table of the rows as they are now."""
    return f"silver.{name}"


def bronze(name: str) -> str:
    """The lake's table of every change."""
    return f"bronze.{name}"


def topic_prefix(connector: str) -> str:
    """What the topics of a connector begin with; the role ingest may read what begins with ``changes.``."""
    return f"changes.{connector}"


def topic_of(connector: str, source: str) -> str:
    """The topic of one of its tables."""
    return f"{topic_prefix(connector)}.{source}"


def excluded_of(changes: Changes, source: str) -> frozenset[str]:
    """The columns of one of its tables that do not leave the source."""
    found = (each.rpartition(".") for each in changes.excluded)
    return frozenset(column for table, _, column in found if table == source)


def slot_of(connector: str) -> str:
    """The replication slot at the source; names of slots are of letters, digits and '_' (PostgreSQL, slots)."""
    return "appliance_" + connector.replace("-", "_")
