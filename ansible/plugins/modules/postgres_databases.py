#!/usr/bin/python
"""Databases, each with a role of its name that owns it; its password is an entry in OpenBao.

The password goes into no statement: PostgreSQL gets the SCRAM verifier that is computed of it here. What is kept there
tells whether it is that of the password, so that nothing is set anew while it is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.openbao_api import ENTRY_ARGUMENTS, OpenBao, OpenBaoError

DOCUMENTATION = r"""
module: postgres_databases
short_description: Databases and their roles
options:
  address: {description: "Where OpenBao listens, https.", type: str, required: true}
  authorities: {description: Files with certificates that are trusted., type: list, elements: path, required: true}
  login: {description: Folder with role-id and secret-id of the role deploy., type: path, required: true}
  mount: {description: Path of the KV engine., type: str, required: true}
  field: {description: Field of the entry., type: str, default: value}
  databases: {description: Database and role -> entry., type: dict, required: true}
  socket: {description: Folder of PostgreSQL's socket., type: path, required: true}
  port: {description: Its port., type: int, required: true}
  user: {description: User of the service., type: str, required: true}
  superuser: {description: Name of the database's superuser., type: str, required: true}
"""
ARGUMENTS: dict[str, Any] = {
    **ENTRY_ARGUMENTS,
    "databases": {"type": "dict", "required": True},
    "socket": {"type": "path", "required": True},
    "port": {"type": "int", "required": True},
    "user": {"type": "str", "required": True},
    "superuser": {"type": "str", "required": True},
}
ITERATIONS = 4096
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$[^:]+:.+")
_STATE = """\
SELECT 'role', rolname, coalesce(rolpassword, ''), rolcanlogin FROM pg_authid;
SELECT 'database', datname, rolname, '' FROM pg_database JOIN pg_authid ON pg_authid.oid = datdba;
"""


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL keeps of a password, RFC 5803. The password is of letters and digits: SASLprep changes none."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    texts = [base64.b64encode(each).decode() for each in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{texts[0]}${texts[1]}:{texts[2]}"


def is_of(kept: str, password: str) -> bool:
    found = _VERIFIER.fullmatch(kept)
    return bool(found) and hmac.compare_digest(kept, verifier(password, base64.b64decode(found[2]), int(found[1])))


def statements(state: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """What is due -> the statement that does it, in order. Raises ValueError: a name is none."""
    rows = [line.split("|") for line in state.splitlines()]
    roles = {name: (kept, login == "t") for kind, name, kept, login in rows if kind == "role"}
    databases = {name: owner for kind, name, owner, _ in rows if kind == "database"}
    due: dict[str, str] = {}
    for name, password in passwords.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a database: small letters, digits and _")
        kept, may_login = roles.get(name, ("", False))
        if not (may_login and is_of(kept, password)):
            verb = "ALTER" if name in roles else "CREATE"
            kept = verifier(password, secrets.token_bytes(16))
            due[f"role {name}"] = f"{verb} ROLE \"{name}\" LOGIN PASSWORD '{kept}';"
        if name not in databases:
            due[f"database {name}"] = f'CREATE DATABASE "{name}" OWNER "{name}";'
        elif databases[name] != name:
            due[f"database {name}"] = f'ALTER DATABASE "{name}" OWNER TO "{name}";'
    return due


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    server = OpenBao.of(told)
    there = (Path(told["socket"]) / f".s.PGSQL.{told['port']}").exists()
    if module.check_mode and not (there and server.is_up()):
        module.exit_json(changed=True, due=[])
    try:
        due = statements(_ask(module, _STATE), _passwords(server, told))
    except (OpenBaoError, ValueError) as error:
        module.fail_json(msg=str(error))
    if due and not module.check_mode:
        _ask(module, "\n".join(due.values()))
    module.exit_json(
        changed=bool(due), due=list(due), diff={"before": "", "after": "".join(f"{each}\n" for each in due)}
    )


def _passwords(server: OpenBao, told: Mapping[str, Any]) -> dict[str, str]:
    """Raises OpenBaoError."""
    deploy = server.required_login(Path(told["login"]))
    found = {}
    for name, entry in told["databases"].items():
        answer = deploy.get(f"{told['mount']}/data/{entry}")
        if answer is None:
            raise OpenBaoError(f"OpenBao has no entry {entry}; name it in openbao_servers_entries")
        found[name] = answer["data"]["data"][told["field"]]
    deploy.put("auth/token/revoke-self")
    return found


def _ask(module: AnsibleModule, text: str) -> str:
    """Rows of what psql is told by its standard input: statements are on no command line."""
    told = module.params
    words = ["setpriv", f"--reuid={told['user']}", f"--regid={told['user']}", "--init-groups"]
    words += ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]
    words += [f"--host={told['socket']}", f"--port={told['port']}", f"--username={told['superuser']}", "postgres"]
    code, out, said = module.run_command(words, data=text, cwd="/")
    if code:
        # The first line only: psql repeats the statement below it.
        module.fail_json(msg=f"PostgreSQL refused: {said.strip().splitlines()[0] if said.strip() else code}")
    return str(out)


if __name__ == "__main__":
    main()
