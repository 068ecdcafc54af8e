"""A bare Debian 12 without a network takes every package of a bundle, with its own apt and nothing but the medium."""

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.bundle import apt_repository

pytestmark = pytest.mark.integration
INSTALL = """\
set -eu
mount -t tmpfs tmpfs "$1/scratch"
mkdir "$1/scratch/upper" "$1/scratch/work"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/scratch/upper,workdir=$1/scratch/work" "$1/host"
mkdir "$1/host/media/bundle"
mount --bind -o ro "$1/bundle" "$1/host/media/bundle"
mount -t proc proc "$1/host/proc"
rm -rf "$1/host/etc/apt/sources.list" "$1/host/etc/apt/sources.list.d" "$1/host/var/lib/apt/lists"
mkdir "$1/host/etc/apt/sources.list.d"
cp "$1/appliance.sources" "$1/host/etc/apt/sources.list.d/"
printf '#!/bin/sh\\nexit 101\\n' > "$1/host/usr/sbin/policy-rc.d"
chmod 0755 "$1/host/usr/sbin/policy-rc.d"
exec chroot "$1/host" sh -ec "$3"
"""


def test_everything_is_installed(renewed, bare_debian, tmp_path):
    if subprocess.run(["unshare", "-nm", "true"], check=False).returncode:
        pytest.skip("needs namespaces of its own")
    lock = renewed.lock
    packages = {each.name: each for each in lock.inputs if each.kind == "deb"}
    for each in packages.values():
        target = tmp_path / "bundle" / each.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(renewed.store.path(each.digest), target)
    apt_repository.write(lock, tmp_path / "bundle")
    apt_repository.sign(tmp_path / "bundle", tmp_path / "key")
    (tmp_path / "appliance.sources").write_text(apt_repository.source(Path("/media/bundle")))
    for name in ("host", "scratch"):
        (tmp_path / name).mkdir()
    script = (
        "export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8; apt-get update -qq; "
        f"apt-get install -y -qq --no-install-recommends {' '.join(packages)} > /tmp/log 2>&1 "
        "|| { cat /tmp/log; exit 1; }; "
        "dpkg --audit; dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n'; mosquitto -h | head -1"
    )
    done = subprocess.run(
        ["unshare", "-nm", "--pid", "--fork", "--mount-proc", "sh", "-c", INSTALL, "sh", tmp_path, bare_debian, script],
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    lines = done.stdout.splitlines()
    for each in packages.values():
        assert f"{each.name} {each.version} installed" in lines
    assert lines[-1].startswith("mosquitto version 2.0.11")
