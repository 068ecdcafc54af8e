"""A test host is a Debian 12 of its own: it boots, keeps its state, and sees nothing of its neighbours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import root
from tests.e2e.host import MEDIUM, HostError, NspawnHost
from tests.e2e.listening import Listening
from tests.e2e.root import CHECKOUT, SYSTEM

SANDBOX = (
    *("DynamicUser=yes", "StateDirectory=sandboxed", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes"),
    *("PrivateDevices=yes", "ProtectKernelTunables=yes", "ProtectControlGroups=yes", "NoNewPrivileges=yes"),
    *("RestrictNamespaces=yes", "SystemCallFilter=@system-service", "IPAddressDeny=any", "MemoryDenyWriteExecute=yes"),
)
KEPT = ("/etc", "/var/lib/site")
BROKEN = "[Service]\nType=oneshot\nExecStart=false\n[Install]\nWantedBy=multi-user.target\n"


def test_it_is_a_booted_debian_12(host):
    assert host.run(["systemctl", "is-system-running"]).stdout == "running\n"
    assert host.run(["cat", "/etc/debian_version"]).stdout.startswith("12.")
    assert host.run(["hostname"]).stdout == "h1\n"


def test_it_has_what_a_bundle_takes_for_granted(host):
    locked = json.loads((CHECKOUT / "bundles" / "core.lock.json").read_bytes())
    base = {each["name"] for each in locked["base"]}
    assert base | set(SYSTEM) <= set(host.run(["dpkg-query", "-W", "-f", "${Package}\n"]).stdout.split())


def test_nothing_but_sshd_listens(host):
    everywhere = {Listening(protocol="tcp", address=each, port="22", program="sshd") for each in ("0.0.0.0", "::")}
    assert host.listening() == everywhere


def test_it_is_reached_by_ssh_with_a_key(host):
    done = subprocess.run([*host.ssh_words, "id -un; hostname"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "root\nh1\n"), done.stderr


def test_ansible_manages_it(host, sink, tmp_path):
    inventory = {"database": {"hosts": {"h1": host.ansible_variables}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    ansible = [*sink.prefix, sys.executable, "-m", "ansible", "adhoc", "--inventory", str(tmp_path / "hosts.json")]
    asked = ["--module-name", "ansible.builtin.copy", "--args", "content=managed dest=/srv/managed mode=0640", "all"]
    own = {
        "ANSIBLE_HOME": str(tmp_path),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path),
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=no",
    }
    for changed in ("true", "false"):
        done = subprocess.run(
            [*ansible, *asked], capture_output=True, text=True, timeout=120, env={**os.environ, **own}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f'"changed": {changed}' in done.stdout
    assert host.digest(["/srv/managed"])["/srv/managed"].startswith("-rw-r----- root:root")


def test_a_unit_runs_in_its_sandbox(host):
    script = "id -u; touch /usr/x /tmp/x; ls /dev/loop-control /root; echo kept > $STATE_DIRECTORY/file"
    settings = [word for each in SANDBOX for word in ("--property", each)]
    unit = ["systemd-run", "--quiet", "--wait", "--pipe", "--unit=sandboxed", *settings]
    done = host.run([*unit, "sh", "-c", script])
    assert 61184 <= int(done.stdout) <= 65519  # systemd's range of dynamic users; a bare Debian cannot name them
    refused = (
        "touch: cannot touch '/usr/x': Read-only",
        "'/dev/loop-control': No such",
        "directory '/root': Permission",
    )
    assert all(each in done.stderr for each in refused), done.stderr
    assert "'/tmp/x'" not in done.stderr
    assert host.run(["cat", "/var/lib/private/sandboxed/file"]).stdout == "kept\n"


def test_commands_get_input_and_give_status_and_output(host):
    done = host.run(["sh", "-c", "cat; echo said >&2; exit 3"], input="told\n", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "told\n", "said\n")
    with pytest.raises(HostError, match=r"h1: .*'exit 4'.* ended with 4"):
        host.run(["sh", "-c", "exit 4"])
    with pytest.raises(HostError, match="took longer than 1 s"):
        host.run(["sleep", "30"], timeout_s=1)
    assert host.run(["pgrep", "-x", "sleep"], check=False).stdout == ""  # nothing is left of it


def test_files_and_folders_go_in_and_out(host, tmp_path):
    folder = tmp_path / "with a space"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "program").write_bytes(b"\x00\xff")
    (folder / "below" / "program").chmod(0o750)
    (folder / "link").symlink_to("below/program")
    host.put(folder, "/srv/put/folder")
    host.put(folder / "below" / "program", "/srv/put/file")
    told = host.digest(["/srv/put"])
    assert told["/srv/put/file"] == told["/srv/put/folder/below/program"]
    assert told["/srv/put/file"].startswith("-rwxr-x--- root:root 06eb7d6a69ee19e5")
    assert told["/srv/put/folder/link"] == "lrwxrwxrwx root:root below/program"
    host.get("/srv/put/folder", tmp_path / "got")
    host.get("/srv/put/file", tmp_path / "file")
    assert (tmp_path / "got" / "below" / "program").read_bytes() == (tmp_path / "file").read_bytes() == b"\x00\xff"
    with pytest.raises(HostError, match="/srv/absent cannot be read"):
        host.get("/srv/absent", tmp_path / "absent")


@pytest.mark.parametrize("alteration", ["echo x >> {}", "chmod 0600 {}", "chown daemon {}", "ln -sf / {}", "rm {}"])
def test_each_alteration_of_a_file_is_seen(host, alteration):
    host.run(["sh", "-c", "mkdir -p /srv/seen; rm -f /srv/seen/file; echo content > /srv/seen/file"])
    before = host.digest(["/srv/seen"])
    assert host.digest(["/srv/seen"]) == before
    host.run(["sh", "-c", alteration.format("/srv/seen/file")])
    assert host.digest(["/srv/seen"]) != before


def test_the_medium_cannot_be_written(host, medium):
    assert host.run(["sh", f"{MEDIUM}/install.sh"]).stdout == "installed\n"
    for attempt in (f"echo x > {MEDIUM}/new", f"rm {MEDIUM}/install.sh", f"chmod 0700 {MEDIUM}"):
        done = host.run(["sh", "-c", attempt], check=False)
        assert done.returncode != 0
        assert "Read-only file system" in done.stderr
    assert [each.name for each in medium.iterdir()] == ["install.sh"]


def busy(host):
    """State that is to be kept, and things that run which are not."""
    host.run(["sh", "-c", "mkdir -p /var/lib/site; echo 1 > /var/lib/site/state; chown daemon /var/lib/site/state"])
    host.run(["systemd-run", "--quiet", "--unit=busy", "sleep", "1000"])
    host.run(["touch", "/run/mark"])
    return host.digest(KEPT)


def assert_booted_with(host, before):
    assert host.run(["systemctl", "is-system-running"]).stdout == "running\n"
    assert host.digest(KEPT) == before
    assert host.run(["systemctl", "is-active", "busy"], check=False).stdout == "inactive\n"
    assert host.run(["test", "-e", "/run/mark"], check=False).returncode == 1


def test_its_state_survives_a_reboot(host):
    before = busy(host)
    host.reboot()
    assert_booted_with(host, before)


def test_it_boots_after_a_power_cut(host):
    before = busy(host)
    host.kill()
    with pytest.raises(HostError, match="h1 does not run"):
        host.run(["true"])
    host.start()
    assert_booted_with(host, before)


def test_a_unit_that_failed_is_named(host):
    host.run(["sh", "-c", "cat > /etc/systemd/system/broken.service"], input=BROKEN)
    host.run(["systemctl", "--quiet", "enable", "broken"])
    host.stop()
    with pytest.raises(HostError, match=r"units of h1 failed: broken\.service loaded failed"):
        host.start()
    host.run(["systemctl", "--quiet", "disable", "broken"])
    host.run(["rm", "/etc/systemd/system/broken.service"])
    host.reboot()


@pytest.mark.parametrize("name", ["", "H1", "sink", "a_b", "-a", "a" * 13, "h2\n"])
def test_a_name_that_is_none_is_refused(sink, name):
    with pytest.raises(ValueError, match="is no name for a host"):
        NspawnHost(name, sink)


def test_a_second_host_of_a_name_is_refused(host, sink):
    with pytest.raises(ValueError, match="h1 is one host too many, or there already"):
        NspawnHost("h1", sink).__enter__()
    assert host.run(["hostname"]).stdout == "h1\n"


def fingerprint(folder: Path) -> dict[str, tuple[int, ...]]:
    """Path -> what the kernel changes when anything about it changes."""
    paths = [folder, *(Path(top, name) for top, folders, files in os.walk(folder) for name in folders + files)]
    found = ((path, path.lstat()) for path in paths)
    return {str(path): (status.st_ino, status.st_size, status.st_mode, status.st_ctime_ns) for path, status in found}


def test_two_hosts_share_nothing_and_leave_their_root_as_it_was(host, sink):
    before = fingerprint(root.make())
    with NspawnHost("h2", sink) as other:
        host.run(["sh", "-c", "echo secret > /srv/of-h1; systemd-run --quiet --unit=of-h1 sleep 4321"])
        other.run(["rm", "-r", "/etc/init.d"])
        assert other.run(["test", "-e", "/srv/of-h1"], check=False).returncode == 1
        assert "4321" not in other.run(["ps", "-eo", "args"]).stdout
        assert host.run(["test", "-d", "/etc/init.d"]).returncode == 0
        same = ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key", "/root/.ssh/authorized_keys")
        ours, theirs = host.digest(same), other.digest(same)
        assert all(ours[path] != theirs[path] for path in same)
        other.kill()
        assert host.run(["systemctl", "is-active", "of-h1"]).stdout == "active\n"  # its neighbour's power, not its own
    host.run(["systemctl", "stop", "of-h1"])
    assert fingerprint(root.make()) == before


def test_its_root_names_no_mirror_no_resolver_and_no_key(host):
    base = root.make()
    assert [(base / name).read_bytes() for name in root.EMPTIED] == [b""] * len(root.EMPTIED)
    assert list(base.glob("etc/ssh/ssh_host_*")) == []
    assert list(base.glob("etc/apt/sources.list.d/*")) == []
