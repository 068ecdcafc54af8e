"""What the three Java servers share: the runtime, its limits, and where their words go."""

from __future__ import annotations

from appliance.deploy.servers.place import HOST, Place

LOGGING = """\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c)%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""
EXPORTER = "lowercaseOutputName: true\nrules:\n- pattern: '.*'\n"


def command(place: Place, server: str, *, heap_mib: int, other_mib: int) -> tuple[str, ...]:
    """The runtime with explicit limits: heap, and each of metaspace and direct buffers."""
    # Of its own: libraries unpack into the temporary folder, and one that another user made stops them.
    temporary = place.home(server) / "temporary"
    temporary.mkdir(exist_ok=True, mode=0o700)
    return (
        str(place.built("java")),
        f"-Xms{heap_mib // 2}m",
        f"-Xmx{heap_mib}m",
        f"-XX:MaxMetaspaceSize={other_mib}m",
        f"-XX:MaxDirectMemorySize={other_mib}m",
        "-XX:+UseSerialGC",  # two cores: the least memory, and pauses below what clients notice
        # A development machine starts servers often, for minutes: the optimizing compiler would cost it as much
        # processor time as everything else that they do (measured: broker, Connect and registry each take half).
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",  # the supervisor starts it again
        f"-Djava.io.tmpdir={temporary}",
        "-Djava.awt.headless=true",
    )


def kafka_classes(place: Place, logging: str) -> tuple[str, ...]:
    """Class path of Kafka, whose log goes to stderr as `logging` says."""
    return (f"-Dlog4j2.configurationFile={logging}", "-cp", f"{place.built('kafka')}/*")


def exporter(place: Place, port: str, configuration: str) -> str:
    """The agent that shows the runtime's and the server's figures on a port of loopback."""
    jar = next(place.built("connect").joinpath("agent").glob("jmx_prometheus_javaagent-*.jar"))
    return f"-javaagent:{jar}={HOST}:{place.port(port)}:{configuration}"
