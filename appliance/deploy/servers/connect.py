"""Kafka Connect with Debezium: to Kafka by TLS and SCRAM, its own interface by mutual TLS.

Whoever may speak to that interface may run code's configuration in it, so it asks for a certificate of the site.
"""

from __future__ import annotations

from pathlib import Path

from appliance.deploy.servers import certificates, java, kafka
from appliance.deploy.servers.https import NotReadyError, ask, expect_ok
from appliance.deploy.servers.place import HOST, Place, Program

NAME = "connect"
HEAP_MIB = 384


def configuration(place: Place) -> str:
    store = place.certificates / NAME
    password = place.secret("connect-keystore")
    security = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": kafka.login(place, "connect"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(place.authority),
    }
    settings = {
        "bootstrap.servers": place.address("kafka"),
        "group.id": "connect",
        "client.id": "connect",
        "listeners": f"https://{place.address(NAME)}",
        "rest.advertised.host.name": HOST,
        "listeners.https.ssl.client.auth": "required",
        "listeners.https.ssl.keystore.type": "PKCS12",
        "listeners.https.ssl.keystore.location": f"{store}.p12",
        "listeners.https.ssl.keystore.password": password,
        "listeners.https.ssl.key.password": password,
        "listeners.https.ssl.truststore.type": "PKCS12",
        "listeners.https.ssl.truststore.location": f"{store}-trust.p12",
        "listeners.https.ssl.truststore.password": password,
        "plugin.path": f"{place.built(NAME)}/plugins",
        "plugin.discovery": "service_load",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "config.storage.topic": "connect-configs",
        "offset.storage.topic": "connect-offsets",
        "status.storage.topic": "connect-status",
        "config.storage.replication.factor": "1",
        "offset.storage.replication.factor": "1",
        "status.storage.replication.factor": "1",
        "offset.storage.partitions": "5",
        "offset.flush.interval.ms": "5000",
        "exactly.once.source.support": "enabled",
        # Passwords of sources stay in their files: a connector's configuration names the file.
        "config.providers": "secret",
        "config.providers.secret.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
        "config.providers.secret.param.allowed.paths": str(_sources(place)),
        **{
            prefix + key: value
            for prefix in ("", "producer.", "consumer.", "admin.")
            for key, value in security.items()
        },
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _sources(place: Place) -> Path:
    """Where the passwords of captured sources are. Connect does not start where it is missing."""
    return place.site / "keys" / "sources"


def check(place: Place) -> None:
    pass  # its state is in Kafka


def prepare(place: Place) -> None:
    _sources(place).mkdir(parents=True, exist_ok=True, mode=0o700)
    certificates.java_stores(place, NAME, place.secret("connect-keystore"))
    place.write(NAME, "worker.properties", configuration(place))
    place.write(NAME, "log4j2.properties", java.LOGGING)
    place.write(NAME, "exporter.yml", java.EXPORTER)


def program(place: Place) -> Program:
    home = place.folder / NAME
    return Program(
        command=(
            *java.command(place, NAME, heap_mib=HEAP_MIB, other_mib=160),
            java.exporter(place, "connect-metrics", f"{home}/exporter.yml"),
            *java.kafka_classes(place, f"{home}/log4j2.properties"),
            "org.apache.kafka.connect.cli.ConnectDistributed",
            f"{home}/worker.properties",
        ),
        environment=(("HOME", str(home)),),
    )


def answers(place: Place) -> None:
    ready(place)


def ready(place: Place) -> None:
    """The worker is in its group and lists its connectors."""
    answer = ask(place, NAME, "/connectors", client=True)
    expect_ok(answer)
    if not isinstance(answer.json(), list):
        raise NotReadyError("expected a list of connectors")


def settle(place: Place) -> None:
    pass
