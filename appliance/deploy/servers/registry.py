"""Apicurio Registry on PostgreSQL, by TLS. It asks nobody who he is: nginx in front of it does."""

from __future__ import annotations

from appliance.deploy.servers import java
from appliance.deploy.servers.https import NotReadyError, ask, expect_ok
from appliance.deploy.servers.place import HOST, Place, Program

NAME = "registry"
HEAP_MIB = 384
CONFLUENT = "/apis/ccompat/v7"


def environment(place: Place) -> tuple[tuple[str, str], ...]:
    database = f"jdbc:postgresql://{place.address('postgresql')}/registry"
    return (
        ("QUARKUS_HTTP_HOST", HOST),
        ("QUARKUS_HTTP_SSL_PORT", str(place.port(NAME))),
        ("QUARKUS_HTTP_INSECURE_REQUESTS", "disabled"),
        ("QUARKUS_HTTP_SSL_CERTIFICATE_FILES", str(place.certificate(NAME))),
        ("QUARKUS_HTTP_SSL_CERTIFICATE_KEY_FILES", str(place.key(NAME))),
        ("QUARKUS_MANAGEMENT_HOST", HOST),
        ("QUARKUS_MANAGEMENT_PORT", str(place.port("registry-management"))),
        ("QUARKUS_MANAGEMENT_SSL_CERTIFICATE_FILES", str(place.certificate(NAME))),
        ("QUARKUS_MANAGEMENT_SSL_CERTIFICATE_KEY_FILES", str(place.key(NAME))),
        ("QUARKUS_OTEL_SDK_DISABLED", "true"),
        ("APICURIO_STORAGE_KIND", "sql"),
        ("APICURIO_STORAGE_SQL_KIND", "postgresql"),
        ("APICURIO_DATASOURCE_URL", f"{database}?sslmode=verify-full&sslrootcert={place.authority}"),
        ("APICURIO_DATASOURCE_USERNAME", "registry"),
        ("APICURIO_DATASOURCE_PASSWORD", place.secret("postgresql-registry")),
        # Without these it takes 20 to 100 connections.
        ("APICURIO_DATASOURCE_JDBC_INITIAL_SIZE", "2"),
        ("APICURIO_DATASOURCE_JDBC_MIN_SIZE", "2"),
        ("APICURIO_DATASOURCE_JDBC_MAX_SIZE", "10"),
        ("HOME", str(place.folder / NAME)),
    )


def check(place: Place) -> None:
    pass  # its state is in PostgreSQL


def prepare(place: Place) -> None:
    place.home(NAME)


def program(place: Place) -> Program:
    jar = place.built(NAME) / "quarkus-run.jar"
    return Program(
        command=(*java.command(place, NAME, heap_mib=HEAP_MIB, other_mib=192), "-jar", str(jar)),
        environment=environment(place),
    )


def answers(place: Place) -> None:
    ready(place)


def ready(place: Place) -> None:
    """It reads its database: a list of subjects by the Confluent API."""
    answer = ask(place, NAME, f"{CONFLUENT}/subjects")
    expect_ok(answer)
    if not isinstance(answer.json(), list):
        raise NotReadyError("expected a list of subjects")


def settle(place: Place) -> None:
    pass
