#!/usr/bin/python
"""Makes passwords in OpenBao where there are none. A password that is there stays, and none is ever told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.openbao_api import ENTRY_ARGUMENTS, OpenBao, OpenBaoError, new_password

DOCUMENTATION = r"""
module: openbao_password
short_description: Makes passwords in OpenBao
options:
  address: {description: "Where it listens, https.", type: str, required: true}
  authorities: {description: Files with certificates that are trusted., type: list, elements: path, required: true}
  login: {description: Folder with role-id and secret-id of the role deploy., type: path, required: true}
  mount: {description: Path of the KV engine., type: str, required: true}
  field: {description: Field of the entry., type: str, default: value}
  entries: {description: Paths of entries., type: list, elements: str, required: true}
"""
ARGUMENTS: dict[str, Any] = {
    **ENTRY_ARGUMENTS,
    "entries": {"type": "list", "elements": "str", "required": True},
}


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    server = OpenBao.of(told)
    if module.check_mode and not server.is_up():
        module.exit_json(changed=True)
    try:
        changed = _settled(module, server, told)
    except OpenBaoError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), diff={"before": "", "after": "".join(f"{each}\n" for each in changed)})


def _settled(module: AnsibleModule, server: OpenBao, told: dict[str, Any]) -> list[str]:
    login = Path(told["login"])
    deploy = server.login(login) if module.check_mode else server.required_login(login)
    if deploy is None:  # OpenBao is not set up yet
        return list(told["entries"])
    missing = [entry for entry in told["entries"] if deploy.get(f"{told['mount']}/data/{entry}") is None]
    if not module.check_mode:
        for entry in missing:
            new = {told["field"]: new_password()}
            deploy.put(f"{told['mount']}/data/{entry}", {"options": {"cas": 0}, "data": new})
    deploy.put("auth/token/revoke-self")
    return missing


if __name__ == "__main__":
    main()
