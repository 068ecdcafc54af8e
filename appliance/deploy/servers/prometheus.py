"""Prometheus: mutual TLS; scrapes the servers that show figures, and tells Alertmanager when one is silent."""

from __future__ import annotations

from appliance.deploy.servers.alertmanager import web_configuration
from appliance.deploy.servers.https import ask, expect_ok
from appliance.deploy.servers.place import Place, Program

NAME = "prometheus"
RETENTION = "15d"
RULES = """\
groups:
- name: servers
  rules:
  - alert: ServerSilent
    expr: up == 0
    for: 1m
    labels: {severity: critical}
    annotations:
      summary: "{{ $labels.job }} shows no figures"
      check: appliance site status
"""
# job -> port, path
_BY_TLS = {
    "alertmanager": ("alertmanager", "/metrics"),
    "minio": ("minio", "/minio/v2/metrics/cluster"),
    "openbao": ("openbao", "/v1/sys/metrics?format=prometheus"),
    "prometheus": ("prometheus", "/metrics"),
    "registry": ("registry-management", "/metrics"),
}


def configuration(place: Place) -> str:
    tls = f"""\
    ca_file: {place.authority}
    cert_file: {place.certificate(NAME)}
    key_file: {place.key(NAME)}
"""
    text = f"""\
global:
  scrape_interval: 15s
rule_files: [{place.folder / NAME}/rules.yml]
alerting:
  alertmanagers:
  - scheme: https
    tls_config:
{tls.replace("    ", "      ")}\
    static_configs: [{{targets: ['{place.address("alertmanager")}']}}]
scrape_configs:
- job_name: connect
  static_configs: [{{targets: ['{place.address("connect-metrics")}']}}]
"""
    for job, (port, path) in _BY_TLS.items():
        path, _, query = path.partition("?format=")
        text += f"- job_name: {job}\n  scheme: https\n  metrics_path: {path}\n"
        text += f"  params: {{format: [{query}]}}\n" if query else ""
        text += f"  tls_config:\n{tls}  static_configs: [{{targets: ['{place.address(port)}']}}]\n"
    return text


def check(place: Place) -> None:
    pass


def prepare(place: Place) -> None:
    place.write(NAME, "prometheus.yml", configuration(place))
    place.write(NAME, "rules.yml", RULES)
    place.write(NAME, "web.yml", web_configuration(place, NAME))


def program(place: Place) -> Program:
    home = place.folder / NAME
    return Program(
        command=(
            str(place.built(NAME)),
            f"--config.file={home}/prometheus.yml",
            f"--storage.tsdb.path={home}/data",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--web.listen-address={place.address(NAME)}",
            f"--web.config.file={home}/web.yml",
        ),
        environment=(("GOMEMLIMIT", "384MiB"), ("HOME", str(home))),
    )


def answers(place: Place) -> None:
    ready(place)


def ready(place: Place) -> None:
    expect_ok(ask(place, NAME, "/-/ready", client=True))


def settle(place: Place) -> None:
    pass
