"""Kafka in KRaft mode, broker and controller in one: clients by TLS and SCRAM-SHA-512, the controller by mutual TLS.

Nobody may do anything without an access rule. The super users are ``admin``, the controller's certificate and, because
its connectors choose their topics, Connect; the others have the rules of `kafka_access`.
"""

from __future__ import annotations

import base64
import secrets
import shutil

import kafka

from appliance.base import atomic, process
from appliance.deploy.servers import java, kafka_access
from appliance.deploy.servers.https import NotReadyError
from appliance.deploy.servers.place import Place, Program, damaged

NAME = "kafka"
ADMIN = "admin"
USERS = (ADMIN, "connect", *kafka_access.USERS)  # each with the secret kafka-<user>
HEAP_MIB = 512
FORMAT_TIMEOUT_S = 60.0
PATIENCE_MS = 3_000
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


def configuration(place: Place) -> str:
    home = place.folder / NAME
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{place.address("kafka-controller")}
listeners=SASL_SSL://{place.address(NAME)},CONTROLLER://{place.address("kafka-controller")}
advertised.listeners=SASL_SSL://{place.address(NAME)}
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_SSL
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:SSL
log.dirs={home}/data
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login(place, ADMIN)}
listener.name.controller.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={home}/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location={place.authority}
ssl.enabled.protocols=TLSv1.3,TLSv1.2
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{ADMIN};User:CN={NAME};User:connect
allow.everyone.if.no.acl.found=false
auto.create.topics.enable=false
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
"""


def login(place: Place, user: str) -> str:
    """The JAAS line of a user; its password is a secret of the site."""
    return f'{_SCRAM} required username="{user}" password="{place.secret(f"kafka-{user}")}";'


def check(place: Place) -> None:
    data = place.folder / NAME / "data"
    if not data.exists():
        return
    properties = data / "meta.properties"
    if not properties.is_file() or "cluster.id=" not in properties.read_text(errors="replace"):
        raise damaged(properties, "expected a line cluster.id=...")


def prepare(place: Place) -> None:
    home = place.home(NAME)
    place.write(NAME, "server.properties", configuration(place))
    place.write(NAME, "log4j2.properties", java.LOGGING)
    both = place.key(NAME).read_bytes() + place.certificate(NAME).read_bytes()
    atomic.write_bytes(home / "keystore.pem", both, mode=0o600)
    if not (home / "data").exists():
        _format(place)


def program(place: Place) -> Program:
    home = place.folder / NAME
    return Program(
        command=(
            *java.command(place, NAME, heap_mib=HEAP_MIB, other_mib=128),
            *java.kafka_classes(place, f"{home}/log4j2.properties"),
            "kafka.Kafka",
            f"{home}/server.properties",
        ),
        environment=(("HOME", str(home)),),
    )


def answers(place: Place) -> None:
    ready(place)


def ready(place: Place) -> None:
    """The cluster's metadata, as the administrator, by TLS and SCRAM."""
    client = None
    try:
        client = kafka.KafkaAdminClient(**client_settings(place, ADMIN))
        if not client.describe_cluster().get("brokers"):
            raise NotReadyError("the broker is not in the cluster's metadata")
    except (kafka.errors.KafkaError, OSError) as error:
        raise NotReadyError(f"{place.address(NAME)}: {error}") from error
    finally:
        if client is not None:
            client.close()


def client_settings(place: Place, user: str) -> dict[str, object]:
    """What a client of kafka-python needs to come in as `user`."""
    return {
        "bootstrap_servers": [place.address(NAME)],
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(place.authority),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": user,
        "sasl_plain_password": place.secret(f"kafka-{user}"),
        "request_timeout_ms": PATIENCE_MS,
        "bootstrap_timeout_ms": PATIENCE_MS,
    }


def settle(place: Place) -> None:
    """Users, topics and access rules; what is there already stays as it is."""
    client = None
    try:
        client = kafka.KafkaAdminClient(**client_settings(place, ADMIN))
        kafka_access.settle(client, {user: place.secret(f"kafka-{user}") for user in kafka_access.USERS})
    except (kafka.errors.KafkaError, OSError) as error:
        raise NotReadyError(f"{place.address(NAME)}: {error}") from error
    finally:
        if client is not None:
            client.close()


def _format(place: Place) -> None:
    """Make the storage with its users in it. Passwords go by a file: a command line is everybody's to read."""
    home = place.home(NAME)
    draft = home / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    text = configuration(place).replace(f"log.dirs={home}/data\n", f"log.dirs={draft}\n")
    properties = place.write(NAME, "format.properties", text)
    # A UUID in Kafka's own form: base64 for URLs without padding, and no leading dash.
    cluster = base64.urlsafe_b64encode(b"\x00" + secrets.token_bytes(15)).decode().rstrip("=")
    words = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(properties)]
    for user in USERS:
        password = place.secret(f"kafka-{user}")
        words += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
    options = [*java.kafka_classes(place, f"{home}/log4j2.properties"), *words]
    file = place.write(NAME, "format.arguments", "".join(f'"{word}"\n' for word in options))
    try:
        process.run([place.built("java"), f"@{file}"], timeout_s=FORMAT_TIMEOUT_S, folder=home)
    finally:
        file.unlink()
        properties.unlink()
    draft.rename(home / "data")
