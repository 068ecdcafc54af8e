#!/usr/bin/python
"""Gives OpenBao its engines, policies, roles and its authority, by a root token that is revoked at the end.

Rules
1. The role `deploy` looks whether everything is as it is to be, and can change nothing of it. A run that finds it so
   needs nobody's root token.
2. What differs is set with a root token: the one of the initialization, or a new one, which takes the role `deploy` and
   the recovery key. Without either the run ends and says so.
3. A token is revoked before its file is removed; a run that was killed goes on with the file.
4. What is not named is left alone: nothing is removed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils import openbao_api as api
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.openbao_api import RECOVERY_KEY, ROLE_ID, ROOT_TOKEN, SECRET_ID, OpenBao, OpenBaoError, keep

DOCUMENTATION = r"""
module: openbao
short_description: Sets up OpenBao's engines, policies and roles
options:
  address: {description: "Where it listens, https.", type: str, required: true}
  authorities: {description: Files with certificates that are trusted., type: list, elements: path, required: true}
  folder: {description: Where root-token and recovery-key are kept., type: path, required: true}
  engines: {description: "Path -> type, options and max_lease_ttl, seconds.", type: dict, required: true}
  policies: {description: Name -> text., type: dict, required: true}
  roles: {description: Name of an AppRole -> its settings., type: dict, required: true}
  kept: {description: Name of an AppRole -> folder in which its ids are kept., type: dict, required: true}
  authority: {description: "Mount, common_name and hours of the authority, and its roles.", type: dict, required: true}
"""
ARGUMENTS: dict[str, Any] = {
    **api.ARGUMENTS,
    "folder": {"type": "path", "required": True},
    "engines": {"type": "dict", "required": True},
    "policies": {"type": "dict", "required": True},
    "roles": {"type": "dict", "required": True},
    "kept": {"type": "dict", "required": True},
    "authority": {"type": "dict", "required": True},
}
DEPLOY = "deploy"


def same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether everything that is wanted is found; of networks and lists the order and the /32 do not count."""
    return all(_plain(found.get(key)) == _plain(value) for key, value in wanted.items())


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(str(each).removesuffix("/32") for each in value)
    return str(value) if isinstance(value, int | str) else value


def differences(server: OpenBao, told: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it is told. Raises OpenBaoError."""
    engines = server.get("sys/mounts")["data"]
    for path, wanted in told["engines"].items():
        found = engines.get(f"{path}/")
        if found is None:
            yield f"engine {path}"
        elif found["type"] != wanted["type"] or not same(found["options"] or {}, wanted.get("options", {})):
            raise OpenBaoError(f"{path}/ is an engine of another kind, {found['type']}; move it away")
        elif "max_lease_ttl" in wanted and found["config"]["max_lease_ttl"] != wanted["max_lease_ttl"]:
            yield f"engine {path}"
    if "approle/" not in server.get("sys/auth")["data"]:
        yield "login by roles"
    for name, text in told["policies"].items():
        found = server.get(f"sys/policies/acl/{name}")
        if found is None or found["data"]["policy"] != text:
            yield f"policy {name}"
    for name, wanted in told["roles"].items():
        found = server.get(f"auth/approle/role/{name}")
        if found is None or not same(found["data"], wanted):
            yield f"role {name}"
    authority = told["authority"]
    mount = authority["mount"]
    if f"{mount}/" not in engines or "BEGIN" not in server.text(f"{mount}/ca/pem"):
        yield "authority"
    for name, wanted in authority["roles"].items():
        found = server.get(f"{mount}/roles/{name}") if f"{mount}/" in engines else None
        if found is None or not same(found["data"], wanted):
            yield f"role {name} of the authority"
    for name, folder in told["kept"].items():
        if server.login(Path(folder)) is None:
            yield f"ids of {name}"


def settle(server: OpenBao, told: Mapping[str, Any], due: list[str]) -> None:
    """Set what is due. Safe to repeat. Raises OpenBaoError."""
    for path, wanted in told["engines"].items():
        if f"engine {path}" in due:
            if f"{path}/" not in server.get("sys/mounts")["data"]:
                server.put(f"sys/mounts/{path}", {"type": wanted["type"], "options": wanted.get("options")})
            if "max_lease_ttl" in wanted:
                server.put(f"sys/mounts/{path}/tune", {"max_lease_ttl": f"{wanted['max_lease_ttl']}s"})
    if "login by roles" in due:
        server.put("sys/auth/approle", {"type": "approle"})
    for name, text in told["policies"].items():
        if f"policy {name}" in due:
            server.put(f"sys/policies/acl/{name}", {"policy": text})
    for name, wanted in told["roles"].items():
        if f"role {name}" in due:
            server.put(f"auth/approle/role/{name}", wanted)
    authority = told["authority"]
    mount = authority["mount"]
    if "authority" in due:
        asked = {"common_name": authority["common_name"], "ttl": f"{authority['hours']}h", "key_type": "ec"}
        server.put(f"{mount}/root/generate/internal", {**asked, "key_bits": 256, "max_path_length": 0})
    for name, wanted in authority["roles"].items():
        if f"role {name} of the authority" in due:
            server.put(f"{mount}/roles/{name}", wanted)
    for name, folder in told["kept"].items():
        if f"ids of {name}" in due:
            role = f"auth/approle/role/{name}"
            keep(Path(folder) / ROLE_ID, server.get(f"{role}/role-id")["data"]["role_id"].encode())
            keep(Path(folder) / SECRET_ID, server.put(f"{role}/secret-id")["data"]["secret_id"].encode())


def administrator(server: OpenBao, deploy: OpenBao | None, folder: Path) -> OpenBao:
    """With a root token. Raises OpenBaoError: there is none, and nothing to make one from."""
    token, recovery = folder / ROOT_TOKEN, folder / RECOVERY_KEY
    if token.exists() and (found := token.read_text().strip()):
        root = server.with_token(found)
        if root.ask("GET", "auth/token/lookup-self")[0] == 200:
            return root
    if deploy is None or not recovery.exists():
        raise OpenBaoError(
            f"a root token is needed for this change, in {token}; custodians make one by `bao operator generate-root`"
        )
    keep(token, _generate(deploy, recovery.read_text().strip()).encode())
    return server.with_token(token.read_text())


def _generate(deploy: OpenBao, recovery_key: str) -> str:
    """A root token by the recovery key."""
    attempt = "sys/generate-root-token/attempt"
    deploy.delete(attempt)
    began = deploy.put(attempt)["data"]
    done = deploy.put("sys/generate-root-token/update", {"key": recovery_key, "nonce": began["nonce"]})["data"]
    return decoded(done["encoded_token"], began["otp"])


def decoded(encoded: str, pad: str) -> str:
    """As OpenBao encodes a token: XOR with what it gave at the beginning."""
    data = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    return bytes(one ^ other for one, other in zip(data, pad.encode(), strict=True)).decode()


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    server = OpenBao.of(told)
    if module.check_mode and not server.is_up():
        module.exit_json(changed=True, due=[])
    folder = Path(told["folder"])
    try:
        due = _settled(module, server, told, folder)
    except OpenBaoError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(due), due=due, diff={"before": "", "after": "".join(f"{each}\n" for each in due)})


def _settled(module: AnsibleModule, server: OpenBao, told: Mapping[str, Any], folder: Path) -> list[str]:
    token = folder / ROOT_TOKEN
    deploy = server.login(Path(told["kept"][DEPLOY]))
    due = list(differences(deploy, told)) if deploy else [f"ids of {DEPLOY}"]
    if due and not module.check_mode:
        root = administrator(server, deploy, folder)
        settle(root, told, list(differences(root, told)))
    if token.exists() and not module.check_mode:
        left = server.with_token(token.read_text().strip())
        if left.token and left.ask("GET", "auth/token/lookup-self")[0] == 200:
            left.put("auth/token/revoke-self")
        token.unlink()
        due = due or ["root token revoked"]
    if deploy and deploy.ask("GET", "auth/token/lookup-self")[0] == 200:
        deploy.put("auth/token/revoke-self")
    return due


if __name__ == "__main__":
    main()
