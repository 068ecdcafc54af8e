#!/usr/bin/python
"""Makes a file of random bytes once, for root alone. It is never made again, and its content is never told."""

from __future__ import annotations

import secrets
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.openbao_api import keep

DOCUMENTATION = r"""
module: secret_file
short_description: Makes a file of random bytes once
options:
  path: {description: Where it is to be; its folder is there., type: path, required: true}
  bytes: {description: How many., type: int, default: 32}
"""
ARGUMENTS = {"path": {"type": "path", "required": True}, "bytes": {"type": "int", "default": 32}}


def problem(path: Path, count: int) -> str:
    """What is wrong with the file that is there; empty for nothing."""
    about = path.lstat()
    if about.st_size != count:
        return f"{path} has {about.st_size} bytes, expected {count}; bring it back from its copy, it is not made again"
    if about.st_mode & 0o77 or not path.is_file():
        return f"{path} is to be a file of mode 0600"
    return ""


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    path, count = Path(module.params["path"]), module.params["bytes"]
    there = path.exists()
    if there and (said := problem(path, count)):
        module.fail_json(msg=said)
    if not there and not module.check_mode:
        keep(path, secrets.token_bytes(count))
    module.exit_json(changed=not there)


if __name__ == "__main__":
    main()
