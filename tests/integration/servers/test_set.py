"""The set as a whole: all ready, on loopback only, no secret in sight, within its memory, run by nobody too mighty."""

import ipaddress
import re
import stat
import time
from pathlib import Path

from appliance.deploy.servers import plan
from appliance.deploy.servers.supervisor import lost

MEMORY_LIMIT = 6 * 2**30
LISTENING = "0A"


def listening(folder):
    """(address, port) of every TCP socket on which a process of these servers listens."""
    inodes = set()
    for pid in lost(folder):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            found = re.fullmatch(r"socket:\[(\d+)\]", str(handle.readlink())) if handle.is_symlink() else None
            inodes |= {found[1]} if found else set()
    sockets = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                text, _, port = fields[1].partition(":")
                words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
                sockets.add((ipaddress.ip_address(b"".join(words)), int(port, 16)))
    return sockets


def test_all_servers_are_ready(servers):
    assert set(servers.printed["started"]) == set(plan.BY_NAME)
    assert {name: row["state"] for name, row in servers.status().items()} == dict.fromkeys(plan.BY_NAME, "running")


def test_they_listen_on_loopback_and_on_their_own_ports_only(servers):
    found = listening(servers.place.folder)
    ports = {servers.place.port(port) for server in plan.SERVERS for port in server.ports}
    assert {port for _, port in found} == ports
    outside = [
        (str(address), port)
        for address, port in found
        if not (getattr(address, "ipv4_mapped", None) or address).is_loopback
    ]
    assert outside == []


def test_all_of_them_fit_into_six_gibibytes(servers):
    rows = servers.status().values()
    assert all(row["memory_bytes"] > 0 for row in rows)
    assert sum(row["memory_bytes"] for row in rows) < MEMORY_LIMIT


def test_keys_and_secrets_are_for_their_owner_alone(servers):
    folder = servers.place.folder
    files = [*(folder / "secrets").iterdir(), *folder.glob("certificates/*.key"), *folder.glob("certificates/*.p12")]
    files += [
        *folder.glob("supervisor/programs/*.conf"),
        *folder.glob("*/server.properties"),
        folder / "openbao/seal.key",
    ]
    assert len(files) > 30
    assert [path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_no_secret_is_in_a_log_or_on_a_command_line(servers):
    secrets = {path.name: path.read_bytes() for path in (servers.place.folder / "secrets").iterdir()}
    assert len(secrets) >= 8
    logs = [path for path in servers.product.folder.rglob("*.log*") if path.is_file()]
    assert len(logs) > len(plan.BY_NAME)
    found = [(name, path.name) for path in logs for name, secret in secrets.items() if secret in path.read_bytes()]
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in lost(servers.place.folder)}
    found += [(name, line) for line in lines.values() for name, secret in secrets.items() if secret in line]
    assert found == []


def test_every_server_has_a_log_of_its_own(servers):
    assert [name for name in plan.BY_NAME if servers.place.log(name).stat().st_size == 0] == []


def test_postgresql_does_not_run_as_root(servers):
    pid = servers.status()["postgresql"]["pid"]
    uid = int(re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])
    assert uid != 0


def test_starting_again_starts_nothing_and_is_quick(servers):
    before = {name: row["pid"] for name, row in servers.status().items()}
    began = time.monotonic()
    assert servers.up() == {"started": []}
    assert time.monotonic() - began < 10
    assert {name: row["pid"] for name, row in servers.status().items()} == before
