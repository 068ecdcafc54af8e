#!/usr/bin/python
"""Initializes OpenBao exactly once, and tells whether it is sealed.

Rules
1. Whoever loses the answer has a store that nobody can open. So every place is looked at before it is asked for, and
   the answer is on the disk before anything else is done: the root token last, into a file that is empty until then.
2. By `static`, OpenBao unseals itself by a key beside it. Its recovery key is kept beside that key: who has the one and
   the storage needs no other.
3. By `shares`, each custodian's share goes to a file of its own in the folder that the operator named, nowhere else.
4. The root token is kept until the module `openbao` has revoked it.
5. An empty file of it says that an initialization was cut: nobody has the keys of that store, and nothing is in it. It
   is moved aside, never removed, and OpenBao begins anew. One that OpenBao refused leaves no such file.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.module_utils import openbao_api as api
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.openbao_api import RECOVERY_KEY, ROOT_TOKEN, OpenBao, OpenBaoError, keep

DOCUMENTATION = r"""
module: openbao_init
short_description: Initializes OpenBao once
options:
  address: {description: "Where it listens, https.", type: str, required: true}
  authorities: {description: Files with certificates that are trusted., type: list, elements: path, required: true}
  seal: {description: How it is unsealed., type: str, choices: [static, shares], required: true}
  folder: {description: Where root-token and recovery-key are kept., type: path, required: true}
  shares_folder: {description: "Where the shares go, one file for each custodian.", type: path}
  shares: {description: How many there are., type: int, default: 5}
  threshold: {description: How many of them unseal., type: int, default: 3}
  data: {description: Folder of its storage., type: path, required: true}
  unit: {description: Its unit in systemd., type: str, required: true}
  wait_seconds: {description: Time in which it has to be unsealed; 0 to only tell., type: int, default: 0}
"""
ARGUMENTS: dict[str, Any] = {
    **api.ARGUMENTS,
    "seal": {"type": "str", "choices": ["static", "shares"], "required": True},
    "folder": {"type": "path", "required": True},
    "shares_folder": {"type": "path"},
    "shares": {"type": "int", "default": 5, "no_log": False},
    "threshold": {"type": "int", "default": 3},
    "data": {"type": "path", "required": True},
    "unit": {"type": "str", "required": True},
    "wait_seconds": {"type": "int", "default": 0},
}
START_S = 60


def share_paths(folder: Path, count: int) -> list[Path]:
    return [folder / f"custodian-{number}" for number in range(1, count + 1)]


def share_files(folder: Path | None, count: int) -> list[Path]:
    """One for each custodian. Raises OpenBaoError: the folder is not fit."""
    if folder is None or not folder.is_dir():
        raise OpenBaoError("openbao_shares_folder is to be a folder on the host, such as a mounted medium")
    about = folder.stat()
    if about.st_mode & 0o77 or about.st_uid != 0:
        raise OpenBaoError(f"{folder} is to be root's alone, mode 0700")
    files = share_paths(folder, count)
    there = [str(each) for each in files if each.exists()]
    if there:
        raise OpenBaoError(f"{', '.join(there)}: shares of another initialization, which are not overwritten")
    return files


def initialize(server: OpenBao, told: dict[str, Any]) -> None:
    """Raises OpenBaoError."""
    folder = Path(told["folder"])
    count, threshold = told["shares"], told["threshold"]
    by_shares = told["seal"] == "shares"
    files = share_files(told["shares_folder"] and Path(told["shares_folder"]), count) if by_shares else []
    asked = (
        {"secret_shares": count, "secret_threshold": threshold}
        if by_shares
        else {"recovery_shares": 1, "recovery_threshold": 1}
    )
    keep(folder / ROOT_TOKEN, b"")  # the disk takes it
    status, made = server.ask("POST", "sys/init", asked)
    if status >= 400:
        (folder / ROOT_TOKEN).unlink()
        raise OpenBaoError(f"OpenBao answered {status} to its initialization: {made}")
    for path, share in zip(files, made["keys_base64"] if by_shares else (), strict=True):
        keep(path, share.encode() + b"\n")
    if not by_shares:
        keep(folder / RECOVERY_KEY, made["recovery_keys_base64"][0].encode())
    keep(folder / ROOT_TOKEN, made["root_token"].encode())


def was_cut(folder: Path) -> bool:
    """Whether an initialization began here and its answer is not on the disk."""
    token = folder / ROOT_TOKEN
    return token.exists() and token.stat().st_size == 0


def set_aside(told: dict[str, Any], now_s: float) -> None:
    """The storage of an initialization that was cut, and the shares of it that were written. OpenBao is stopped."""
    data, folder = Path(told["data"]), told["shares_folder"]
    if data.exists():
        data.rename(data.with_name(f"{data.name}.cut-{int(now_s)}"))
    for path in share_paths(Path(folder), told["shares"]) if folder and told["seal"] == "shares" else ():
        path.unlink(missing_ok=True)
    (Path(told["folder"]) / ROOT_TOKEN).unlink()


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    server = OpenBao.of(told)
    if module.check_mode and not server.is_up():
        module.exit_json(changed=True, sealed=False)
    if was_cut(Path(told["folder"])) and not module.check_mode:
        module.run_command(["systemctl", "stop", told["unit"]], check_rc=True)
        set_aside(told, time.time())
        module.run_command(["systemctl", "start", told["unit"]], check_rc=True)
    try:
        state = _state(server)
        changed = not state["initialized"]
        if changed and module.check_mode:
            module.exit_json(changed=True, sealed=False)
        if changed:
            initialize(server, told)
        sealed = _wait_until_unsealed(server, told["wait_seconds"] or (START_S if told["seal"] == "static" else 0))
    except OpenBaoError as error:
        module.fail_json(msg=str(error))
    if sealed and (told["wait_seconds"] or told["seal"] == "static"):
        module.fail_json(msg=f"OpenBao is sealed; see `journalctl -u appliance-openbao`. {how_to_unseal(told)}")
    module.exit_json(changed=changed, sealed=sealed)


def how_to_unseal(told: dict[str, Any]) -> str:
    if told["seal"] == "static":
        return "It unseals itself by its key: is that the one with which it was initialized?"
    return f"{told['threshold']} custodians unseal it, each by `bao operator unseal`, which asks for the share."


def _state(server: OpenBao) -> dict[str, Any]:
    """Once it answers."""
    end = time.monotonic() + START_S
    while True:
        try:
            found = server.get("sys/seal-status")
            return dict(found)
        except OpenBaoError:
            if time.monotonic() > end:
                raise
        time.sleep(1)


def _wait_until_unsealed(server: OpenBao, seconds: int) -> bool:
    """Whether it is still sealed, or not the active node yet."""
    end = time.monotonic() + seconds
    while True:
        if server.ask("GET", "sys/health")[0] == 200:
            return False
        if time.monotonic() > end:
            return True
        time.sleep(1)


if __name__ == "__main__":
    main()
