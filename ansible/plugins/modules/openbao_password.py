#!/usr/bin/python
"""Makes passwords in OpenBao where there are none, and files of them for systemd's credentials. None is ever told.

A password that is there stays. A file is written when its content is another than the entry's.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.openbao_api import OpenBao, OpenBaoError, keep, new_password

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
  files: {description: Entry -> file with its content., type: dict, default: {}}
  encryption_keys: {description: "Entries that are keys for objects, not passwords.", type: list, elements: str, default: []}
"""
ARGUMENTS: dict[str, Any] = {
    "address": {"type": "str", "required": True},
    "authorities": {"type": "list", "elements": "path", "required": True},
    "login": {"type": "path", "required": True},
    "mount": {"type": "str", "required": True},
    "field": {"type": "str", "default": "value"},
    "entries": {"type": "list", "elements": "str", "required": True},
    "files": {"type": "dict", "default": {}},
    "encryption_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
}


def new_key() -> str:
    """As MinIO writes it: name and 32 bytes."""
    return "site-1:" + base64.b64encode(secrets.token_bytes(32)).decode()


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    server = OpenBao(told["address"], [Path(each) for each in told["authorities"]])
    if module.check_mode and not server.is_up():
        module.exit_json(changed=True)
    try:
        changed = _settled(module, server, told)
    except OpenBaoError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), diff={"before": "", "after": "".join(f"{each}\n" for each in changed)})


def _settled(module: AnsibleModule, server: OpenBao, told: dict[str, Any]) -> list[str]:
    deploy = server.login(Path(told["login"]))
    if deploy is None:
        if module.check_mode:
            return list(told["entries"])
        raise OpenBaoError(f"the ids in {told['login']} are not good; run the role openbao")
    changed = []
    for entry in told["entries"]:
        path = f"{told['mount']}/data/{entry}"
        found = deploy.get(path)
        if found is None:
            changed.append(entry)
            value = new_key() if entry in told["encryption_keys"] else new_password()
            if not module.check_mode:
                deploy.put(path, {"options": {"cas": 0}, "data": {told["field"]: value}})
        else:
            value = found["data"]["data"][told["field"]]
        if entry in told["files"]:
            file = Path(told["files"][entry])
            if not file.exists() or file.read_text() != value:
                changed.append(str(file))
                if not module.check_mode:
                    keep(file, value.encode())
    deploy.put("auth/token/revoke-self")
    return changed


if __name__ == "__main__":
    main()
