"""Run on a host: where each secret of it is found, as JSON of name -> places. No secret is printed.

Arguments: the KV engine's path, its entries separated by commas, and files with one secret each, separated by commas.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, "/opt/appliance/certificates")
from openbao_api import OpenBao  # type: ignore[import-not-found]

AUTHORITY = Path("/etc/appliance/authority/authority.pem")
TOPS = ("/etc", "/var", "/run", "/root", "/tmp", "/home", "/opt/appliance/certificates")
TOKEN = re.compile(rb"\bs\.[A-Za-z0-9]{24}\b")  # of OpenBao
CHUNK = 1 << 24


def secrets(mount: str, entries: list[str], files: list[str]) -> dict[str, bytes]:
    deploy = OpenBao("https://127.0.0.1:8200", [AUTHORITY]).login(Path("/etc/appliance/openbao/deploy"))
    found = {entry: deploy.get(f"{mount}/data/{entry}")["data"]["data"]["value"].encode() for entry in entries}
    deploy.put("auth/token/revoke-self")
    return found | {file: Path(file).read_bytes().strip() for file in files}


def places():
    """Name and bytes of everything that is looked through."""
    for top in TOPS:
        for path in Path(top).rglob("*"):
            if path.is_file() and not path.is_symlink():
                try:
                    with path.open("rb") as file:
                        tail = b""
                        while block := file.read(CHUNK):
                            yield str(path), tail + block
                            tail = block[-100:]
                except OSError:
                    continue
    for name in ("environ", "cmdline"):
        for path in Path("/proc").glob(f"[0-9]*/{name}"):
            try:
                yield f"/proc/{name}", path.read_bytes()
            except OSError:
                continue
    yield "journal", subprocess.run(["journalctl", "--output=export", "--all"], capture_output=True).stdout


def main() -> None:
    mount, entries, files = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(",")
    known = secrets(mount, entries, files)
    assert all(len(each) >= 16 for each in known.values())
    seen: dict[str, set[str]] = {name: set() for name in [*known, "a token"]}
    looked = 0
    for place, data in places():
        looked += 1
        for name, secret in known.items():
            if secret in data:
                seen[name].add(place)
        if TOKEN.search(data):
            seen["a token"].add(place)
    json.dump({"looked": looked, "seen": {name: sorted(each) for name, each in seen.items()}}, sys.stdout)


main()
