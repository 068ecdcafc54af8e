"""Declared connectors: ``declarations/connectors/NAME.toml``, one source each.

The rows of kinds rest and mqtt go to one drop mapping; those of kind changes to tables of their own, see
`appliance.ingestion.changes.declaration` for its section.

::

    kind = "rest"                       # or mqtt, or changes
    mapping = "historian"               # declarations/drops/historian.toml, of format jsonl
    description = "…"                   # optional
    batch_rows = 10000                  # optional: rows of one file
    batch_time = "30s"                  # optional: a smaller file after so long

    [rest]
    url = "https://historian:8443/api/readings"
    items = "data.items"                # optional: where the list of objects is; left out, the page is the list
    ca_file = "keys/historian-ca.pem"   # optional: the authorities to trust instead of the system's
    allow_plain = false                 # optional: http:// to another machine
    timeout = "30s"                     # optional, of one request
    attempts = 5                        # optional, of one page
    longest_pause = "60s"               # optional: what a source may ask us to wait between attempts
    poll = "60s"                        # optional: how long to wait at the end of the source (run --seconds)
    max_page_bytes = 16777216           # optional

    [rest.query]                        # optional: parameters of every request
    site = "north"

    [rest.secret]                       # optional: a header whose value is a secret
    header = "Authorization"
    prefix = "Bearer "                  # optional
    file = "keys/historian.secret"      # of mode 0600, or openbao:PATH#FIELD

    [rest.pages]
    style = "page"                      # page: numbered, `parameter` and `size_parameter`; all but the last are full
    parameter = "page"                  # link: the address of the next page is at `path`, or in the header Link
    first = 1                           # cursor: what is at `path` goes into `parameter`
    size_parameter = "per_page"
    size = 1000

    [mqtt]
    host = "broker"
    port = 8883
    topics = ["site/+/readings"]
    client_id = "appliance-north"       # names the session that the broker keeps for us
    key = ["device", "sequence"]        # fields of the payload that tell one row from another
    topic_field = "topic"               # optional: the topic becomes this field
    ca_file = "keys/broker-ca.pem"      # without it: no TLS, which only a broker on this machine may do
    user = "appliance"                  # optional
    password_file = "keys/broker.secret" # or openbao:PATH#FIELD
    receive_maximum = 1000              # optional: messages that are with us and not acknowledged
    max_message_bytes = 262144          # optional
    remember = 10000                    # optional: keys of delivered rows that are kept
    session_expiry = "7d"               # optional: how long the broker keeps messages while we are away
    idle = "2s"                         # optional: silence that counts as empty (run --until-empty)

Files are relative to the site's folder.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.config.declarations import load_toml
from appliance.ingestion.changes import declaration as changes_declaration
from appliance.ingestion.changes.declaration import Changes
from appliance.ingestion.connectors import codes

_LONGEST_S = 365 * 86_400  # a year: longer waits are mistakes, and MQTT counts seconds in 32 bits
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")


class Secret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    header: str
    file: str
    prefix: str = ""


class Pages(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    style: Literal["page", "link", "cursor"]
    parameter: str = ""
    path: str = ""
    first: Annotated[int, Meta(ge=0)] = 1
    size_parameter: str = ""
    size: Annotated[int, Meta(ge=1, le=100_000)] = 1000


class Rest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    pages: Pages
    items: str = ""
    ca_file: str = ""
    allow_plain: bool = False
    timeout: str = "30s"
    attempts: Annotated[int, Meta(ge=1, le=20)] = 5
    longest_pause: str = "60s"
    poll: str = "60s"
    max_page_bytes: Annotated[int, Meta(ge=1024, le=128 * 1024 * 1024)] = 16 * 1024 * 1024
    query: dict[str, str] = msgspec.field(default_factory=dict)
    secret: Secret | None = None


class Mqtt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str
    port: Annotated[int, Meta(ge=1, le=65535)]
    topics: Annotated[list[str], Meta(min_length=1)]
    client_id: str
    key: Annotated[list[str], Meta(min_length=1)]
    topic_field: str = ""
    ca_file: str = ""
    user: str = ""
    password_file: str = ""
    receive_maximum: Annotated[int, Meta(ge=1, le=65535)] = 1000
    max_message_bytes: Annotated[int, Meta(ge=256, le=1024 * 1024)] = 256 * 1024
    remember: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    session_expiry: str = "7d"
    idle: str = "2s"


class Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Literal["rest", "mqtt", "changes"]
    mapping: str = ""
    description: str = ""
    batch_rows: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    batch_time: str = "30s"
    rest: Rest | None = None
    mqtt: Mqtt | None = None
    changes: Changes | None = None


def secret_of(declared: Declaration) -> str:
    """Where the secret of a source is that is asked here, as the declaration has it; empty: there is none."""
    if declared.mqtt is not None:
        return declared.mqtt.password_file
    return declared.rest.secret.file if declared.rest is not None and declared.rest.secret is not None else ""


def load_all(folder: Path) -> dict[str, Declaration]:
    """All connectors below ``declarations/connectors``, by name.

    Raises:
        ApplianceError: APL-CONN-001, naming file and key.
    """
    found = {}
    for path in sorted(folder.glob("*.toml")):
        declaration = load_toml(path, Declaration, code=codes.INVALID)
        objections = _objections(declaration)
        if not _NAME.fullmatch(path.stem):
            objections.insert(0, f"{path.stem!r} is not a name of lower-case letters, digits, '-' and '_'")
        for objection in objections:
            raise ApplianceError(codes.INVALID, objection, where=str(path))
        found[path.stem] = declaration
    return found


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _objections(declared: Declaration) -> list[str]:
    found = _duration_objections(declared)
    given = {name for name in ("rest", "mqtt", "changes") if getattr(declared, name) is not None}
    if given != {declared.kind}:
        found.append(f"expected the section [{declared.kind}] alone, got {', '.join(sorted(given)) or 'none'}")
    if bool(declared.mapping) == (declared.kind == "changes"):
        found.append("mapping: kinds rest and mqtt need one; changes go to tables of their own")
    if declared.changes is not None:
        found += changes_declaration.objections(declared.changes)
    if declared.rest is not None:
        found += _rest_objections(declared.rest)
    if declared.mqtt is not None:
        found += _mqtt_objections(declared.mqtt)
    return found


def _duration_objections(declared: Declaration) -> list[str]:
    given = {"batch_time": declared.batch_time}
    if declared.rest is not None:
        given |= {f"rest.{name}": getattr(declared.rest, name) for name in ("timeout", "longest_pause", "poll")}
    if declared.mqtt is not None:
        given |= {f"mqtt.{name}": getattr(declared.mqtt, name) for name in ("session_expiry", "idle")}
    if declared.changes is not None:
        given["changes.heartbeat"] = declared.changes.heartbeat
    found = []
    for name, text in given.items():
        try:
            if duration_us(text) > _LONGEST_S * 1_000_000:
                found.append(f"{name}: expected at most {_LONGEST_S // 86_400}d, got {text!r}")
        except ApplianceError as error:
            found.append(f"{name}: {error.message}")
    return found


def _rest_objections(rest: Rest) -> list[str]:
    found = []
    try:
        url = urlsplit(rest.url)
        host, port = url.hostname, url.port
    except ValueError as error:
        return [f"rest.url: {error}"]
    if url.scheme not in ("http", "https") or not host or port == 0:
        found.append(f"rest.url: {url.scheme}://{host} is not an http or https address")
    elif url.username is not None or url.password is not None or url.query or url.fragment:
        found.append(
            "rest.url: no user, password, query or fragment; parameters go to [rest.query], a secret to a file"
        )
    elif url.scheme == "http" and not is_loopback(host):
        if not rest.allow_plain:
            found.append("rest.url: http to another machine can be read and changed on the way; allow_plain = true")
        if rest.secret is not None:
            found.append("rest.secret: it would be sent over http, which can be read on the way")
    if rest.secret is not None and not _HEADER.fullmatch(rest.secret.header):
        found.append(f"rest.secret.header: {rest.secret.header!r} is not the name of a header")
    pages = rest.pages
    if pages.style == "page" and not (pages.parameter and pages.size_parameter):
        found.append("rest.pages: style page needs parameter and size_parameter")
    if pages.style == "cursor" and not (pages.parameter and pages.path):
        found.append("rest.pages: style cursor needs parameter and path")
    if pages.path and not rest.items:
        found.append("rest.items: a page that is a list has nothing at rest.pages.path")
    return found


def _is_filter(topic: str) -> bool:
    """MQTT 5, section 4.7: ``+`` is a whole level, ``#`` the last one."""
    levels = topic.split("/")
    plain = all(level in ("+", "#") or not set(level) & {"+", "#", "\0"} for level in levels)
    return bool(topic) and plain and "#" not in levels[:-1] and len(topic.encode()) <= 65535


def _mqtt_objections(mqtt: Mqtt) -> list[str]:
    found = []
    if not mqtt.host:
        found.append("mqtt.host: it is empty")
    if not mqtt.ca_file and not is_loopback(mqtt.host):
        found.append("mqtt.ca_file: without it there is no TLS, which only a broker on this machine may do")
    if bool(mqtt.user) != bool(mqtt.password_file):
        found.append("mqtt: user and password_file go together")
    if mqtt.receive_maximum > mqtt.remember:
        found.append("mqtt.remember: at least receive_maximum, or rows that are sent again come in twice")
    found += [f"mqtt.topics: {topic!r} is not a filter of topics" for topic in mqtt.topics if not _is_filter(topic)]
    if not 0 < len(mqtt.client_id.encode()) <= 128:
        found.append("mqtt.client_id: expected 1 to 128 bytes; it names the session that the broker keeps")
    return found
