"""Facts are read from the host as it is: who listens where, and the filesystem of a place that is not there yet."""

import os
import socket


def test_who_listens(plugin, tmp_path):
    net = tmp_path / "net"
    net.mkdir()
    (net / "tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 4711 1 0 100 0\n"
        "   1: 0100007F:2383 0100007F:2382 01 00000000:00000000 00:00000000 00000000   998        0 4712 1 0 100 0\n"
        "   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0\n"
    )
    process = tmp_path / "17"
    (process / "fd").mkdir(parents=True)
    (process / "fd" / "3").symlink_to("socket:[4711]")
    (process / "comm").write_text("prometheus\n")
    (process / "cgroup").write_text("0::/system.slice/appliance-prometheus.service\n")
    found = list(plugin("modules", "host_preflight").listeners(tmp_path))
    assert [(each.port, each.program, each.unit) for each in found] == [
        (22, "", ""),
        (9090, "prometheus", "appliance-prometheus.service"),
    ]


def test_a_port_of_this_process(plugin):
    from pathlib import Path

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [each for each in plugin("modules", "host_preflight").listeners(Path("/proc")) if each.port == port]
    assert [each.program for each in found] == [Path("/proc/self/comm").read_text().strip()]


def test_the_filesystem_of_a_place_that_is_not_there(plugin, tmp_path):
    found = plugin("modules", "host_preflight").filesystem(tmp_path / "not" / "yet")
    assert found.device == tmp_path.stat().st_dev
    assert 0 < found.free_bytes <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    assert not found.read_only
    assert found.used_bytes == 0


def test_what_a_place_has_already(plugin, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"x" * 10_000)
    assert 10_000 <= plugin("modules", "host_preflight").used_bytes(tmp_path) < 20_000
