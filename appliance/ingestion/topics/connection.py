"""The way to the brokers: TLS, SCRAM-SHA-512, and errors that name cause and fix.

kafka-python tells a wrong password and an untrusted certificate to its log and to the caller only that it could not
start. `opened` listens to that log while a client starts, and turns what it hears into a code.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kafka import KafkaConsumer, TopicPartition, errors

from appliance.base.errors import ApplianceError, Code
from appliance.ingestion.topics import codes
from appliance.secrets import codes as secret_codes
from appliance.secrets.secret import Secret
from appliance.storage import codes as storage_codes
from appliance.trust.keystores import codes as keystore_codes

PATIENCE_S = 3.0  # of the start of a client: with that of the command, a refusal is told within five seconds
RESTART_S = 300.0  # a server that restarts, and looks through its log, is back within this
AWAY = frozenset(
    {
        codes.UNREACHABLE,
        storage_codes.STORE_AWAY,
        storage_codes.STORE_FAILED,
        storage_codes.CATALOG_FAILED,
        secret_codes.UNREACHABLE,
        secret_codes.SEALED,
        keystore_codes.STORE_UNREACHABLE,
        keystore_codes.STORE_SEALED,
    }
)
_ANSWER_S = 10.0  # kafka-python waits 30 s for the ends of partitions, and uses them up when a broker restarts
_PROBE_S = 1.0
_NET = "kafka.net"  # logger of the connections

Client = TypeVar("Client")
Given = TypeVar("Given")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Attributes:
    servers: brokers, as ``host:port``.
    ca_file: the authority that issued their certificates.
    """

    servers: tuple[str, ...]
    user: str
    password: Secret
    ca_file: Path

    def settings(self) -> dict[str, Any]:
        """What every client of kafka-python needs.

        Raises:
            ApplianceError: APL-TOPIC-001 no brokers, APL-TOPIC-004 the password's file cannot be read,
                APL-SECRETS-002 to 009.
        """
        if not self.servers:
            raise ApplianceError(codes.NOT_CONFIGURED, "kafka.servers is empty")
        if not self.ca_file.is_file():
            raise ApplianceError(codes.UNTRUSTED, "kafka.ca_file is missing", where=str(self.ca_file))
        return {
            "bootstrap_servers": list(self.servers),
            "security_protocol": "SASL_SSL",
            "ssl_cafile": str(self.ca_file),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password.read(code=codes.LOGIN_REFUSED),
            "bootstrap_timeout_ms": int(PATIENCE_S * 1000),
        }


def source_of(partition: TopicPartition) -> str:
    """The name that the position maps have for a partition."""
    return f"kafka:{partition.topic}:{partition.partition}"


def within(limit_s: float, work: Callable[[], Given]) -> Given:
    """What `work` gives: for calls that kafka-python has no limit for, and that wait for a broker that went away.

    Raises:
        errors.KafkaTimeoutError: it gave nothing in time; it goes on in a thread, which ends with the process.
        errors.KafkaError: that of `work`.
    """
    given: list[Given] = []
    failed: list[errors.KafkaError] = []

    def run() -> None:
        try:
            given.append(work())
        except errors.KafkaError as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if failed:
        raise failed[0]
    if not given:
        raise errors.KafkaTimeoutError(f"no answer within {limit_s:g} s")
    return given[0]


def partitions_of(consumer: KafkaConsumer, topic: str) -> set[int]:
    """Those of a topic, one at least.

    Raises:
        ApplianceError: APL-TOPIC-006 it is not there, or the user may not describe it.
        errors.KafkaError: no broker answers in time.
    """
    found = partitions_if_any(consumer, topic)
    if not found:
        raise ApplianceError(codes.TOPIC_UNFIT, f"no topic {topic!r}, or the user may not describe it")
    return found


def partitions_if_any(consumer: KafkaConsumer, topic: str) -> set[int]:
    """Those of a topic that may not be there yet. Raises errors.KafkaError: no broker answers in time."""
    return within(_ANSWER_S, lambda: set(consumer.partitions_for_topic(topic) or ()))


def begins_of(consumer: KafkaConsumer, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """Partition -> the offset of its first record. Raises errors.KafkaError: no broker answers in time."""
    return consumer.beginning_offsets(list(partitions), timeout_ms=int(_ANSWER_S * 1000)) if partitions else {}


def ends_of(consumer: KafkaConsumer, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """Partition -> the offset behind its last record. Raises errors.KafkaError: no broker answers in time."""
    return consumer.end_offsets(list(partitions), timeout_ms=int(_ANSWER_S * 1000)) if partitions else {}


class _Heard(logging.Handler):
    """The exceptions that the connections logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        self.reasons += [each for each in arguments if isinstance(each, BaseException)]


def opened(connection: Connection, make: Callable[..., Client], **settings: Any) -> Client:
    """A client of the brokers: `make` with the connection's settings and the given ones.

    Raises:
        ApplianceError: APL-TOPIC-001 to 005.
    """
    heard, logger = _Heard(), logging.getLogger(_NET)
    given = {**connection.settings(), **settings}
    logger.addHandler(heard)
    try:
        with named(connection, heard.reasons):
            return make(**given)
    finally:
        logger.removeHandler(heard)


@contextlib.contextmanager
def named(connection: Connection, heard: list[BaseException] | None = None) -> Iterator[None]:
    """Errors of kafka-python as codes.

    Raises:
        ApplianceError: APL-TOPIC-002 to 005.
    """
    try:
        yield
    except (errors.KafkaError, OSError) as error:
        causes = [*(heard or ()), error]
        cause = next((each for each in causes if _code_of(each) is not None), causes[0])
        otherwise = codes.LOGIN_REFUSED if heard and _hangs_up(connection, heard) else codes.UNREACHABLE
        raise as_error(connection, cause, otherwise) from error


def _hangs_up(connection: Connection, heard: list[BaseException]) -> bool:
    """Whether a broker that speaks TLS ended connections: of a refused login the client often sees no more."""
    if not any("socket disconnected" in str(each) for each in heard):
        return False
    host, _, port = connection.servers[0].rpartition(":")
    context = ssl.create_default_context(cafile=str(connection.ca_file))
    try:
        with (
            socket.create_connection((host, int(port)), timeout=_PROBE_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except (OSError, ValueError):
        return False


def as_error(connection: Connection, cause: BaseException, otherwise: Code) -> ApplianceError:
    """The error that `cause` is, `otherwise` where it tells no more."""
    text = f"{connection.user}: {type(cause).__name__}: {cause}"
    return ApplianceError(_code_of(cause) or otherwise, text[:300], where=", ".join(connection.servers))


def _code_of(cause: BaseException) -> Code | None:
    text = f"{type(cause).__name__} {cause}".lower()
    if "saslauthenticationfailed" in text:
        return codes.LOGIN_REFUSED
    if "certificate" in text:
        return codes.UNTRUSTED
    if isinstance(cause, errors.AuthorizationError) or "authorizationfailed" in text:
        return codes.FORBIDDEN
    if isinstance(cause, errors.UnknownTopicOrPartitionError):
        return codes.TOPIC_UNFIT
    return None
