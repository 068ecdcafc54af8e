"""Who may read which password in OpenBao: an AppRole for each role of the product, with a policy of its own.

A role reads the entries that its job needs and nothing else; it writes and lists nothing. The entries hold what is in
``servers/secrets``, which is what the other servers were given; a file that changed is written there again.

A secret id has no end and any number of uses: every command logs in with it, and one that had ended would stop a site
whose servers run on. It and its tokens work from this machine alone, and a token ends after `TOKEN_LIFE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.base.errors import ApplianceError
from appliance.deploy import codes
from appliance.deploy.servers.https import Answer, NotReadyError, ask
from appliance.deploy.servers.place import HOST, Place
from appliance.secrets.secret import FIELD
from appliance.secrets.settings import FILES, Service, entry_of, role_file

TOKEN_LIFE = "15m"  # noqa: S105 - a duration
_APPROLE = "/v1/auth/approle/role"
_MADE, _MISSING, _NOT_YET = (200, 204), 404, "Upgrading from non-versioned"  # what a new KV engine says for a moment


@dataclass(frozen=True, kw_only=True)
class Password:
    """Of a user at one of the services."""

    service: Service
    user: str

    @property
    def path(self) -> str:
        return entry_of(self.service, self.user)


ROLES: Mapping[str, tuple[Password, ...]] = {
    "ingest": (
        Password(service="kafka", user="ingest"),
        Password(service="kafka", user="serving"),  # one command sends predictions and takes them
        Password(service="store", user="site"),
        Password(service="catalog", user="lake"),
        Password(service="registry", user="appliance"),
    ),
    "collector": (Password(service="kafka", user="collector"),),
    "steward": (Password(service="kafka", user="steward"),),
    "auditor": (Password(service="store", user="auditor"),),
}


def policy_of(mount: str, passwords: tuple[Password, ...]) -> str:
    """The policy that allows to read these entries."""
    return "".join(f'path "{mount}/data/{each.path}" {{ capabilities = ["read"] }}\n' for each in passwords)


def settle(place: Place, name: str, token: str) -> None:
    """Make engine, entries, policies and roles, and leave role id and secret id in ``servers/secrets``. Safe to repeat.

    Args:
        name: of the server's port.

    Raises:
        NotReadyError: a new engine is not there yet.
        ApplianceError: APL-SERVERS-012.
    """
    bao = _Administrator(place, name, token)
    mount = place.secrets_mount
    found = bao.get("/v1/sys/mounts")["data"].get(f"{mount}/")
    if found is None:
        bao.put(f"/v1/sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
    elif (found["type"], (found["options"] or {}).get("version")) != ("kv", "2"):
        raise bao.refused(f"{mount}/ is not a KV engine of version 2: choose another secrets.mount")
    if "approle/" not in bao.get("/v1/sys/auth")["data"]:
        bao.put("/v1/sys/auth/approle", {"type": "approle"})
    for role, passwords in ROLES.items():
        for each in passwords:
            _keep_entry(bao, f"/v1/{mount}/data/{each.path}", place.secret(FILES[each.service].format(user=each.user)))
        bao.put(f"/v1/sys/policies/acl/{role}", {"policy": policy_of(mount, passwords)})
        _keep_role(bao, place, role)


def _keep_entry(bao: _Administrator, path: str, password: str) -> None:
    """A version is written only where another password is there."""
    found = bao.get(path)
    if found is None or found["data"]["data"] != {FIELD: password}:
        bao.put(path, {"data": {FIELD: password}})


def _keep_role(bao: _Administrator, place: Place, role: str) -> None:
    here = [f"{HOST}/32"]
    bao.put(
        f"{_APPROLE}/{role}",
        {
            "token_policies": [role],
            "token_no_default_policy": True,
            "token_ttl": TOKEN_LIFE,
            "token_max_ttl": TOKEN_LIFE,
            "token_bound_cidrs": here,
            "secret_id_bound_cidrs": here,
        },
    )
    place.keep_secret(role_file(role, "role"), bao.get(f"{_APPROLE}/{role}/role-id")["data"]["role_id"])
    file = role_file(role, "secret")
    kept = place.secret(file) if place.secret_file(file).exists() else ""
    if not kept or not bao.put(f"{_APPROLE}/{role}/secret-id/lookup", {"secret_id": kept}):
        place.keep_secret(file, bao.put(f"{_APPROLE}/{role}/secret-id", {})["data"]["secret_id"])


class _Administrator:
    """Requests with the root token."""

    def __init__(self, place: Place, name: str, token: str) -> None:
        self._place, self._name = place, name
        self._headers = {"X-Vault-Token": token}

    def get(self, path: str) -> Any:
        """None where there is nothing."""
        answer = ask(self._place, self._name, path, headers=self._headers)
        return None if answer.status == _MISSING else self._body(answer)

    def put(self, path: str, body: Any) -> Any:
        """What it answered, None for nothing."""
        return self._body(ask(self._place, self._name, path, method="POST", body=body, headers=self._headers))

    def refused(self, message: str) -> ApplianceError:
        return ApplianceError(codes.REFUSED, f"{self._name}: {message}", where=str(self._place.log(self._name)))

    def _body(self, answer: Answer) -> Any:
        if answer.status in _MADE:
            return answer.json() if answer.body else None
        said = answer.body.decode("utf-8", "replace")
        if _NOT_YET in said:
            raise NotReadyError(said)
        raise self.refused(f"answered {answer.status}: {said[:300]}")
