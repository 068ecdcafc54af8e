"""Which servers a site has, on which ports, and in which order they start. Pure.

Ports are consecutive from the setting ``servers.first_port``, in the order of `SERVERS`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from appliance.base.errors import ApplianceError
from appliance.deploy import codes


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One server.

    Attributes:
        needs: servers that must be ready before this one starts.
        ports: names of its ports; the first is the one that clients use.
        built: recipes under ``servers/`` that it cannot start without.
    """

    name: str
    needs: tuple[str, ...] = ()
    ports: tuple[str, ...]
    built: tuple[str, ...]


SERVERS = (
    Declared(name="postgresql", ports=("postgresql",), built=("postgresql",)),
    Declared(name="openbao", ports=("openbao", "openbao-cluster"), built=("openbao",)),
    Declared(name="minio", ports=("minio",), built=("minio",)),
    Declared(name="kafka", ports=("kafka", "kafka-controller"), built=("kafka", "java")),
    Declared(
        name="registry", needs=("postgresql",), ports=("registry", "registry-management"), built=("registry", "java")
    ),
    Declared(
        name="connect", needs=("kafka",), ports=("connect", "connect-metrics"), built=("connect", "kafka", "java")
    ),
    Declared(name="alertmanager", ports=("alertmanager",), built=("alertmanager",)),
    Declared(name="prometheus", needs=("alertmanager",), ports=("prometheus",), built=("prometheus",)),
    Declared(name="mosquitto", ports=("mosquitto",), built=("mosquitto",)),
    Declared(name="nginx", needs=("registry",), ports=("nginx",), built=("nginx",)),
)
BY_NAME = {server.name: server for server in SERVERS}
_PORTS = tuple(port for server in SERVERS for port in server.ports)


def port_of(name: str, first_port: int) -> int:
    """The number of a named port."""
    return first_port + _PORTS.index(name)


def select(names: Iterable[str]) -> tuple[str, ...]:
    """The named servers and all that they need, in order of start; all servers when none is named.

    Raises:
        ApplianceError: APL-SERVERS-011.
    """
    wanted: set[str] = set()
    open_names = list(names) or list(BY_NAME)
    while open_names:
        name = open_names.pop()
        if name not in BY_NAME:
            raise ApplianceError(
                codes.NO_SUCH_SERVER, f"expected one of {', '.join(BY_NAME)}, got {name!r}", where="--only"
            )
        wanted.add(name)
        open_names += BY_NAME[name].needs
    return tuple(name for name in BY_NAME if name in wanted)


def select_to_stop(names: Iterable[str]) -> tuple[str, ...]:
    """The named servers and all that need them, in order of stop; all servers when none is named.

    Raises:
        ApplianceError: APL-SERVERS-011.
    """
    chosen = tuple(names)
    select(chosen)
    named = set(chosen or BY_NAME)
    return tuple(name for name in reversed(BY_NAME) if named & {name, *select([name])})


def startable(wanted: Collection[str], started: Collection[str], ready: Collection[str]) -> tuple[str, ...]:
    """Of `wanted`, what is not started and has all that it needs ready."""
    return tuple(name for name in wanted if name not in started and set(BY_NAME[name].needs) <= set(ready))
