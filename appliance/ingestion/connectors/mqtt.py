"""The connector `mqtt`: messages of QoS 1 from a session that the broker keeps while we are away.

Rules
1. A message is acknowledged after its row is in the spool. Until then the broker sends it again, also after a kill.
2. What is sent again is known by its key: the keys of the last rows are the cursor, and are kept with the batch. A
   message whose key is in a delivered row is acknowledged and left out.
3. An acknowledgement names a message of one connection. After a lost connection none of the earlier ones is sent; the
   rows are kept, and the broker's repetition of them is acknowledged in their place.
4. At most `receive_maximum` rows are gathered before they are delivered, and nothing is read meanwhile. The broker is
   asked to send no more than that, of at most `max_message_bytes` each; memory does not rest on its doing so.
5. A lost connection is made again for `PATIENCE_S`; one that is refused at the start fails at once.

One thread: the client's loop runs within `fetch`.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from appliance.base.duration import parse_duration
from appliance.base.errors import ApplianceError
from appliance.ingestion.connectors import codes, payload, tls
from appliance.ingestion.connectors.declaration import Mqtt
from appliance.ingestion.connectors.source import Fetched
from appliance.secrets.secret import Secret

PATIENCE_S = 60.0  # a broker that restarts is back within this
_ANSWER_S = 5.0
_RETRY_S = 0.5
_KEEPALIVE_S = 60
_SHORT_S = 5.0
_MOST_SHORT_LIVES = 5
_CREDENTIALS = frozenset({0x86, 0x87, 0x8C})  # bad user name or password, not authorized, bad method


class Keys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cursor: keys of the last rows, oldest first."""

    keys: list[str]


class MqttSource:
    """See `source.Connector`."""

    def __init__(self, mqtt: Mqtt, site_folder: Path, password: Secret | None = None) -> None:
        """`password` is that of `mqtt.user`. Raises ApplianceError APL-CONN-006, APL-SECRETS-002 to 009."""
        self._mqtt = mqtt
        self._where = f"{mqtt.host}:{mqtt.port}"
        self._idle_s = parse_duration(mqtt.idle).total_seconds()
        self._tls = tls.context(site_folder / mqtt.ca_file) if mqtt.ca_file else None
        self._password = None if password is None else password.read(code=codes.SECRET_UNUSABLE)
        self._client = self._made()
        self._cursor: Any = None
        self._known: dict[str, None] = {}  # keys of rows that were delivered or are pending, oldest first
        self._pending: set[str] = set()  # keys of rows that were given and are not delivered
        self._owed: list[int] = []  # messages of this connection to acknowledge when the pending rows are delivered
        self._early: list[paho.MQTTMessage] = []  # came before the first fetch, which says what was delivered
        self._begun = False
        self._rows: list[bytes] = []
        self._duplicates = 0
        self._failure: ApplianceError | None = None
        self._up = False
        self._subscribed = False
        self._up_since = self._down_since = 0.0
        self._short_lives = 0
        self._last_message = 0.0

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        self._connect()
        until = time.monotonic() + _ANSWER_S
        while not self._subscribed and self._failure is None and time.monotonic() < until:
            if self._client.loop(0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._lost("the connection is gone")  # taken over by another client before we have subscribed
                if self._failure is None:
                    self._reconnect(max(until - time.monotonic(), 0.0))
        self._raise()
        if not self._subscribed:
            raise ApplianceError(codes.UNREACHABLE, f"no answer within {_ANSWER_S:.0f} s", where=self._where)
        try:
            yield
            self._settle()
        finally:
            self._client.disconnect()

    def fetch(self, cursor: Any, *, wait_s: float) -> Fetched:
        self._remember(cursor)
        self._begun = True
        early, self._early = self._early, []
        for message in early:
            self._take(message)
        try:
            self._gather(wait_s)
        except ApplianceError:
            self._owed.clear()  # some of it is for rows that nobody was given
            raise
        rows, self._rows = self._rows, []
        duplicates, self._duplicates = self._duplicates, 0
        self._cursor = {"keys": list(self._known)}
        # A broker may allow fewer messages under way than we do; silence looks the same until they are acknowledged.
        quiet, owed = self._quiet(), bool(self._owed)
        return Fetched(
            rows=rows, cursor=self._cursor, exhausted=quiet and not owed, stalled=quiet and owed, duplicates=duplicates
        )

    def _gather(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while len(self._rows) < self._mqtt.receive_maximum and (left := until - time.monotonic()) > 0:
            if not self._up and time.monotonic() - self._down_since > PATIENCE_S:
                raise ApplianceError(codes.UNREACHABLE, f"no connection for {PATIENCE_S:.0f} s", where=self._where)
            if self._client.loop(min(left, 0.1)) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._lost("the connection is gone")
                self._reconnect(left)
            self._raise()
            if self._quiet():
                break

    def delivered(self) -> None:
        self._pending.clear()
        owed, self._owed = self._owed, []
        if owed:
            self._last_message = time.monotonic()  # the broker may go on now
        for mid in owed:
            self._client.ack(mid, 1)

    def _settle(self) -> None:
        """Wait until the broker has seen our acknowledgements: it answers in order, and drops what it has not read."""
        self._subscribed = False
        self._subscribe()
        until = time.monotonic() + _ANSWER_S
        while self._up and not self._subscribed and time.monotonic() < until:
            self._client.loop(0.1)

    def _made(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._mqtt.client_id,
            protocol=paho.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _ANSWER_S
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._password is not None:
            client.username_pw_set(self._mqtt.user, self._password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _connect(self) -> None:
        asked = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        asked.SessionExpiryInterval = int(parse_duration(self._mqtt.session_expiry).total_seconds())
        asked.ReceiveMaximum = self._mqtt.receive_maximum
        asked.MaximumPacketSize = self._mqtt.max_message_bytes
        try:
            self._client.connect(self._mqtt.host, self._mqtt.port, _KEEPALIVE_S, clean_start=False, properties=asked)
        except ssl.SSLCertVerificationError as error:
            raise ApplianceError(codes.NOT_TRUSTED, error.verify_message, where=self._where) from error
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise ApplianceError(codes.UNREACHABLE, reason, where=self._where) from error

    def _reconnect(self, left_s: float) -> None:
        time.sleep(min(_RETRY_S, left_s))
        try:
            self._client.reconnect()
        except ssl.SSLCertVerificationError as error:
            raise ApplianceError(codes.NOT_TRUSTED, error.verify_message, where=self._where) from error
        except OSError:
            pass  # it is down still; `fetch` looks at the time

    def _lost(self, reason: str) -> None:
        if self._up:
            self._down_since = time.monotonic()
            short = self._down_since - self._up_since < _SHORT_S
            self._short_lives = self._short_lives + 1 if short else 0
        self._up = False
        self._owed.clear()
        self._early.clear()
        if self._short_lives >= _MOST_SHORT_LIVES:
            # Not every broker says so when a second client takes the session over and over.
            self._failure = ApplianceError(
                codes.SOURCE_FAILED,
                f"the broker closed {self._short_lives} connections within {_SHORT_S:.0f} s of making them: {reason}",
                where=self._where,
                hint=f"Look for another client with client_id {self._mqtt.client_id!r}, and into the broker's log.",
            )

    def _quiet(self) -> bool:
        return self._up and time.monotonic() - self._last_message >= self._idle_s

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _remember(self, cursor: Any) -> None:
        if cursor is not None and cursor is self._cursor:
            return
        try:
            keys = msgspec.convert(cursor or {"keys": []}, Keys, strict=True).keys
        except msgspec.ValidationError as error:
            raise ApplianceError(codes.STATE_DAMAGED, f"the cursor is not one of keys: {error}") from error
        self._known = dict.fromkeys(keys)

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            code = codes.CREDENTIALS_REFUSED if reason.value in _CREDENTIALS else codes.SOURCE_FAILED
            self._failure = ApplianceError(code, f"CONNECT was answered: {reason}", where=self._where)
            return
        self._owed.clear()
        self._up = True
        self._up_since = time.monotonic()
        self._last_message = time.monotonic()
        self._subscribe()

    def _subscribe(self) -> None:
        # Retained messages come with a new subscription only, not with each connection.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        self._client.subscribe([(topic, options) for topic in self._mqtt.topics])

    def _on_subscribe(self, client: Any, data: Any, mid: int, reasons: list[ReasonCode], properties: Any) -> None:
        self._subscribed = True
        for topic, reason in zip(self._mqtt.topics, reasons, strict=False):
            if reason.is_failure:
                self._failure = ApplianceError(
                    codes.CREDENTIALS_REFUSED, f"topic {topic!r}: {reason}", where=self._where
                )

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._lost(str(reason))

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        self._last_message = time.monotonic()
        if self._begun:
            self._take(message)
        else:
            self._early.append(message)

    def _take(self, message: paho.MQTTMessage) -> None:
        found = payload.read(
            message.topic, bytes(message.payload), key=self._mqtt.key, topic_field=self._mqtt.topic_field
        )
        owed = message.qos == 1
        if found.key in self._known and found.key not in self._pending:
            self._duplicates += 1
            if owed:
                self._client.ack(message.mid, 1)
            return
        if owed:
            self._owed.append(message.mid)
        if found.key in self._pending:
            self._duplicates += 1
            return
        self._pending.add(found.key)
        self._known[found.key] = None
        self._rows.append(found.row)
        while len(self._known) > self._mqtt.remember:
            del self._known[next(iter(self._known))]
