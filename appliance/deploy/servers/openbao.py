"""OpenBao: TLS, storage on disk, an audit device; unsealed by a static key beside it, which is for development only.

It holds the passwords of the other servers, see `openbao_access`.

At a real site no unseal key lies on the server: see ``servers/openbao/README.md``.
"""

from __future__ import annotations

import secrets

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.deploy import codes
from appliance.deploy.servers import openbao_access
from appliance.deploy.servers.https import ask, expect_ok
from appliance.deploy.servers.place import Place, Program, damaged

NAME = "openbao"
ROOT_TOKEN = "openbao-root-token"  # noqa: S105 - the name of the file
RECOVERY_KEY = "openbao-recovery-key"
SEAL_KEY_BYTES = 32
NOT_INITIALISED = 501  # of sys/health
INIT_PATIENCE_S = 60.0  # it takes under a second on an idle machine


def configuration(place: Place) -> str:
    home = place.folder / NAME
    return f"""\
storage "raft" {{
  path    = "{home}/data"
  node_id = "site"
}}
listener "tcp" {{
  address         = "{place.address(NAME)}"
  cluster_address = "{place.address("openbao-cluster")}"
  tls_cert_file   = "{place.certificate(NAME)}"
  tls_key_file    = "{place.key(NAME)}"
  tls_min_version = "tls12"
  telemetry {{ unauthenticated_metrics_access = true }}
}}
seal "static" {{
  current_key_id = "site-1"
  current_key    = "file://{home}/seal.key"
}}
audit "file" "file" {{
  options = {{ file_path = "{home}/audit.log" }}
}}
telemetry {{
  prometheus_retention_time = "1h"
  disable_hostname          = true
}}
api_addr     = "https://{place.address(NAME)}"
cluster_addr = "https://{place.address("openbao-cluster")}"
"""


def check(place: Place) -> None:
    home = place.folder / NAME
    if not (home / "data" / "vault.db").exists():
        return
    seal = home / "seal.key"
    if not seal.is_file() or seal.stat().st_size != SEAL_KEY_BYTES:
        raise damaged(seal, f"expected {SEAL_KEY_BYTES} bytes")


def prepare(place: Place) -> None:
    home = place.home(NAME)
    (home / "data").mkdir(exist_ok=True, mode=0o700)
    if not (home / "seal.key").exists():
        atomic.write_bytes(home / "seal.key", secrets.token_bytes(SEAL_KEY_BYTES), mode=0o600)
    place.write(NAME, "server.hcl", configuration(place))


def program(place: Place) -> Program:
    return Program(
        command=(str(place.built(NAME)), "server", "-config", str(place.folder / NAME / "server.hcl")),
        environment=(("GOMEMLIMIT", "384MiB"), ("HOME", str(place.folder / NAME))),
    )


def answers(place: Place) -> None:
    answer = ask(place, NAME, "/v1/sys/health")
    if answer.status != NOT_INITIALISED:
        expect_ok(answer)


def ready(place: Place) -> None:
    """Initialised, unsealed, and the active node."""
    expect_ok(ask(place, NAME, "/v1/sys/health"))


def settle(place: Place) -> None:
    """Initialise it once, and give every role the passwords that it may read."""
    if ask(place, NAME, "/v1/sys/health").status == NOT_INITIALISED:
        _initialise(place)
    elif not place.secret_file(ROOT_TOKEN).exists():
        raise damaged(place.secret_file(ROOT_TOKEN), "the store was initialised and its token was not kept")
    ready(place)
    openbao_access.settle(place, NAME, place.secret(ROOT_TOKEN))


def _initialise(place: Place) -> None:
    """Whoever loses the answer has a store that nobody can open, so that is told, not repeated."""
    shares = {"recovery_shares": 1, "recovery_threshold": 1}
    answer = ask(place, NAME, "/v1/sys/init", method="PUT", body=shares, patience_s=INIT_PATIENCE_S)
    if answer.status != 200:
        text = answer.body.decode("utf-8", "replace")
        raise ApplianceError(codes.REFUSED, f"{NAME}: {text}", where=str(place.log(NAME)))
    made = answer.json()
    place.keep_secret(ROOT_TOKEN, made["root_token"])
    place.keep_secret(RECOVERY_KEY, made["recovery_keys_base64"][0])
