"""Starts an OpenBao server on this machine's loopback, initialised, unsealed, with a transit engine for one site.

usage: server.py FOLDER [--port N] [--site NAME]

For tests, demonstrations and trying things out. It is a real server - files on disk, sealed at every start, an audit
device, least privilege - but it keeps its unseal key beside its data and speaks plain HTTP, which a site must not do;
see README.md for what a site does instead.

Everything lies in FOLDER, the secrets with mode 0600: data/, audit.log, server.log, server.hcl, unseal-key, root-token,
enclave-token, role-id, secret-id. A second start with the same folder goes on with the keys that are there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

BINARY = Path(__file__).parents[2] / ".servers" / "openbao" / "bao"
RECIPE = Path(__file__).with_name("recipe.toml")
START_S = 30.0
CONFIGURATION = """\
storage "raft" {{
  path    = "{folder}/data"
  node_id = "n1"
}}
listener "tcp" {{
  address         = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable     = true
}}
audit "file" "file" {{
  options = {{ file_path = "{folder}/audit.log" }}
}}
api_addr     = "http://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
"""
# Make keys that cannot be exported, read their public halves, sign; wrap and unwrap data keys with one of them.
# Nothing else: no export, no backup, no removal.
POLICY = """\
path "transit/keys/{site}-*" {{
  capabilities       = ["read", "update"]
  allowed_parameters = {{
    "type"                   = ["ecdsa-p256", "ecdsa-p384", "ed25519", "aes256-gcm96"]
    "exportable"             = [false]
    "allow_plaintext_backup" = [false]
  }}
}}
path "transit/sign/{site}-*" {{ capabilities = ["update"] }}
path "transit/encrypt/{site}-data-keys" {{ capabilities = ["update"] }}
path "transit/decrypt/{site}-data-keys" {{ capabilities = ["update"] }}
"""


class Server:
    """A server whose state lies in `folder`; `port` and the one after it must be free."""

    def __init__(self, folder: Path, port: int, site: str) -> None:
        self.folder = folder.absolute()
        self.port = port
        self.site = site
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; sealed afterwards, as always."""
        if hashlib.sha256(BINARY.read_bytes()).hexdigest() != tomllib.loads(RECIPE.read_text())["sha256"]:
            raise SystemExit(f"{BINARY} is not the server that the recipe names")
        (self.folder / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
        text = CONFIGURATION.format(folder=self.folder, port=self.port, cluster_port=self.port + 1)
        (self.folder / "server.hcl").write_text(text)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "server", "-config", self.folder / "server.hcl"],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            )
        self._wait("initialized")

    def unseal(self) -> None:
        """Initialise it if it never was; open it with the key in the folder."""
        if not self._health()["initialized"]:
            made = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            self._keep("unseal-key", made["keys_base64"][0])
            self._keep("root-token", made["root_token"])
        self.ask("PUT", "sys/unseal", {"key": self.secret("unseal-key")})
        self._wait("unsealed")

    def prepare(self) -> None:
        """The transit engine, and a token and an AppRole that may make the site's keys and sign with them; once."""
        if (self.folder / "enclave-token").exists():
            return
        root = self.secret("root-token")
        self.ask("POST", "sys/mounts/transit", {"type": "transit"}, root)
        self.ask("POST", "sys/auth/approle", {"type": "approle"}, root)
        self.ask("PUT", "sys/policies/acl/enclave", {"policy": POLICY.format(site=self.site)}, root)
        role = {"token_policies": "enclave", "token_ttl": "5m", "token_no_default_policy": True}
        self.ask("POST", "auth/approle/role/enclave", role, root)
        self._keep("role-id", self.ask("GET", "auth/approle/role/enclave/role-id", None, root)["data"]["role_id"])
        secret = self.ask("POST", "auth/approle/role/enclave/secret-id", {}, root)
        self._keep("secret-id", secret["data"]["secret_id"])
        token = {"policies": ["enclave"], "period": "24h", "no_default_policy": True}
        self._keep("enclave-token", self.ask("POST", "auth/token/create-orphan", token, root)["auth"]["client_token"])

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=START_S)
            self.process = None

    def secret(self, name: str) -> str:
        return (self.folder / name).read_text()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
        """One request of the HTTP interface."""
        request = urllib.request.Request(
            f"{self.address}/v1/{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"X-Vault-Token": token} if token else {},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=START_S) as answer:
            text = answer.read()
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def _health(self) -> dict[str, Any]:
        return self.ask("GET", "sys/health?sealedcode=200&uninitcode=200&standbyok=true")

    def _wait(self, wanted: str) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                health = self._health()
                if wanted == "initialized" or (not health["sealed"] and not health["standby"]):
                    return
            except (urllib.error.URLError, ConnectionError):
                pass
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"the server did not start:\n{(self.folder / 'server.log').read_text()[-2000:]}")

    def _keep(self, name: str, secret: str) -> None:
        handle = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secret)


def main() -> None:
    parser = argparse.ArgumentParser(description="A real OpenBao server on loopback, for tests and trying things out.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8200)
    parser.add_argument("--site", default="north", help="prefix of the site's keys")
    chosen = parser.parse_args()
    if not BINARY.is_file():
        sys.exit("the server is not installed; run: make servers")
    server = Server(chosen.folder, chosen.port, chosen.site)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server.start()
    try:
        server.unseal()
        server.prepare()
        print(f"openbao:{server.address}?prefix={server.site}-&token-file={server.folder}/enclave-token", flush=True)
        assert server.process is not None
        server.process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


if __name__ == "__main__":
    main()
