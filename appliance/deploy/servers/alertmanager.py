"""Alertmanager: mutual TLS, no cluster. Its receiver delivers nowhere until the site declares one."""

from __future__ import annotations

from appliance.deploy.servers.https import ask, expect_ok
from appliance.deploy.servers.place import Place, Program

NAME = "alertmanager"
CONFIGURATION = """\
route:
  receiver: site
  group_by: [alertname]
receivers:
- name: site
"""


def web_configuration(place: Place, name: str) -> str:
    """The file of ``--web.config.file``: only holders of a certificate of the site come in."""
    return f"""\
tls_server_config:
  cert_file: {place.certificate(name)}
  key_file: {place.key(name)}
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: {place.authority}
  min_version: TLS12
"""


def check(place: Place) -> None:
    pass


def prepare(place: Place) -> None:
    place.write(NAME, "alertmanager.yml", CONFIGURATION)
    place.write(NAME, "web.yml", web_configuration(place, NAME))


def program(place: Place) -> Program:
    home = place.folder / NAME
    return Program(
        command=(
            str(place.built(NAME)),
            f"--config.file={home}/alertmanager.yml",
            f"--storage.path={home}/data",
            f"--web.listen-address={place.address(NAME)}",
            f"--web.config.file={home}/web.yml",
            "--cluster.listen-address=",  # it would listen on every address
        ),
        environment=(("GOMEMLIMIT", "128MiB"), ("HOME", str(home))),
    )


def answers(place: Place) -> None:
    ready(place)


def ready(place: Place) -> None:
    expect_ok(ask(place, NAME, "/-/ready", client=True))


def settle(place: Place) -> None:
    pass
