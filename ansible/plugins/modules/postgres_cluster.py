#!/usr/bin/python
"""Makes the data folder of PostgreSQL by initdb: under another name, then renamed, so that it is there as a whole."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: postgres_cluster
short_description: Makes the data folder of PostgreSQL
options:
  programs: {description: Folder with initdb., type: path, required: true}
  path: {description: The data folder; what is above it is the user's alone., type: path, required: true}
  user: {description: User of the service., type: str, required: true}
  superuser: {description: Name of the database's superuser., type: str, required: true}
"""
ARGUMENTS = {
    "programs": {"type": "path", "required": True},
    "path": {"type": "path", "required": True},
    "user": {"type": "str", "required": True},
    "superuser": {"type": "str", "required": True},
}


def command(programs: Path, draft: Path, user: str, superuser: str) -> list[str]:
    return [
        *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"),
        *(str(programs / "initdb"), "--pgdata", str(draft), "--username", superuser),
        *("--auth-local", "peer", "--auth-host", "scram-sha-256", "--data-checksums"),
        *("--encoding", "UTF8", "--locale", "C.UTF-8"),
    ]


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    path = Path(told["path"])
    if path.exists() or module.check_mode:
        module.exit_json(changed=not path.exists())
    user = pwd.getpwnam(told["user"])
    path.parent.mkdir(exist_ok=True, mode=0o700)
    os.chown(path.parent, user.pw_uid, user.pw_gid)
    draft = path.with_name("draft")
    if draft.exists():
        shutil.rmtree(draft)
    module.run_command(command(Path(told["programs"]), draft, told["user"], told["superuser"]), check_rc=True, cwd="/")
    os.sync()
    draft.rename(path)
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
