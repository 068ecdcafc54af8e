"""The Debian repository of a bundle, read by a real apt with no network: what it takes and what it refuses."""

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle import apt_repository
from tests.local_repository import NAMES, apt, make_package, make_repository

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Path("/usr/bin/apt-ftparchive").exists(), reason="needs apt-utils"),
    pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg"),
]
LISTS = Path("apt/dists/appliance")
PACKAGES = LISTS / "main/binary-amd64/Packages"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "bundle"
    make_repository(made)
    apt_repository.sign(made, tmp_path / "key")
    return made


def update(folder):
    return apt(folder.parent / "apt-state", apt_repository.source(folder), "update")


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_every_package_is_offered_installed_and_downloaded(folder, tmp_path):
    done = update(folder)
    assert (done.returncode, done.stderr) == (0, "")
    source, state = apt_repository.source(folder), tmp_path / "apt-state"
    done = apt(state, source, "install", "--simulate", NAMES[0])
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Inst ")] == [NAMES[1], NAMES[0]]
    (tmp_path / "here").mkdir()
    done = apt(state, source, "download", *NAMES, folder=tmp_path / "here")
    assert (done.returncode, done.stderr) == (0, "")
    for deb in (folder / "apt/pool").iterdir():
        assert (tmp_path / "here" / deb.name).read_bytes() == deb.read_bytes()


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def without_signature(folder):
    (folder / LISTS / "InRelease").unlink()
    (folder / LISTS / "Release.gpg").unlink()


def by_another_key(folder):
    """A thief makes a key, signs with it, and lets the key of the bundle stand."""
    key = (folder / "apt/appliance.gpg").read_bytes()
    apt_repository.sign(folder, folder.parent / "other-key")
    (folder / "apt/appliance.gpg").write_bytes(key)


def of_another_list(folder):
    """The signature is right, the list beside it is another."""
    (folder / PACKAGES).write_bytes((folder / PACKAGES).read_bytes().replace(b"a package of", b"another one of"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(folder / PACKAGES),
        lambda folder: flip(folder / LISTS / "InRelease"),
        without_signature,
        by_another_key,
        of_another_list,
        lambda folder: (folder / "apt/appliance.gpg").unlink(),
        lambda folder: (folder / "apt/appliance.gpg").write_bytes(b""),
    ],
    ids=[
        "a byte of Packages",
        "a byte of InRelease",
        "no signature",
        "another key",
        "another list",
        "no key",
        "empty key",
    ],
)
def test_apt_refuses_lists_that_were_altered(folder, damage):
    damage(folder)
    done = update(folder)
    assert done.returncode != 0
    again = apt(folder.parent / "apt-state", apt_repository.source(folder), "install", "--simulate", NAMES[0])
    assert again.returncode != 0
    assert "Inst" not in again.stdout


def test_apt_refuses_a_package_with_one_other_byte(folder, tmp_path):
    assert update(folder).returncode == 0
    flip(folder / f"apt/pool/{NAMES[1]}_1.0_all.deb")
    (tmp_path / "here").mkdir()
    source, state = apt_repository.source(folder), tmp_path / "apt-state"
    done = apt(state, source, "download", NAMES[1], folder=tmp_path / "here")
    assert done.returncode != 0
    assert "Hash Sum mismatch" in done.stderr
    assert apt(state, source, "download", NAMES[0], folder=tmp_path / "here").returncode == 0


@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime")
@pytest.mark.parametrize("date", ["2025-01-01 00:00:00", "2040-01-01 00:00:00"])
def test_a_wrong_clock_of_the_host_refuses_nothing_that_is_right(folder, date, monkeypatch):
    """A month or years off, before the list was made and long after: the list's date is that of the lock, 2026."""
    monkeypatch.setenv("FAKETIME", date)
    monkeypatch.setenv("LD_PRELOAD", faketime_library())
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    done = update(folder)
    assert done.returncode == 0, done.stderr
    believing = apt_repository.source(folder).replace("Check-Date: no\n", "")
    done = apt(folder.parent / "other-state", believing, "update")
    assert ("not valid yet" in done.stderr) == (date < "2026"), done.stderr  # the clock was wrong indeed


def faketime_library():
    done = subprocess.run(["faketime", "now", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_same_lock_gives_the_same_bytes(tmp_path, monkeypatch):
    """Another folder, order of making, umask, locale, time zone, user's home and moment."""
    one, two = tmp_path / "one", tmp_path / "two/in a folder"
    lock = make_repository(one)
    before = os.umask(0o077)
    try:
        pool = two / "apt/pool"
        pool.mkdir(parents=True)
        for deb in sorted((one / "apt/pool").iterdir(), reverse=True):
            shutil.copyfile(deb, pool / deb.name)
            os.utime(pool / deb.name, (0, 0))
        for name, value in {
            "LC_ALL": "C.UTF-8",
            "LANG": "de_DE.UTF-8",
            "TZ": "Asia/Tokyo",
            "HOME": "/nonexistent",
        }.items():
            monkeypatch.setenv(name, value)
        time.sleep(1.1)
        apt_repository.write(lock, two)
        apt_repository.write(lock, two)
    finally:
        os.umask(before)
    assert tree(one) == tree(two)
    text = (one / LISTS / "Release").read_text()
    assert "Date: Mon, 05 Jan 2026 18:00:00 UTC\n" in text
    assert "Valid-Until" not in text
    assert {stat.S_IMODE(path.stat().st_mode) for path in (two / LISTS).rglob("*") if path.is_file()} == {0o644}


def test_a_pool_that_is_not_the_locks_is_refused(tmp_path):
    lock = make_repository(tmp_path)
    pool = tmp_path / "apt/pool"
    before = (tmp_path / PACKAGES).read_bytes()
    extra = make_package(pool, "hello-stray")
    for case in ("more", "fewer", "another version", "another file", "another name"):
        wanted = lock
        if case == "fewer":
            extra.unlink()
            gone = pool / f"{NAMES[1]}_1.0_all.deb"
            gone.rename(tmp_path / "gone")
        elif case == "another version":
            (tmp_path / "gone").rename(pool / f"{NAMES[1]}_1.0_all.deb")
            wanted = altered(lock, version="2.0")
        elif case == "another file":
            wanted = altered(lock, digest="sha256:" + "0" * 64)
        elif case == "another name":
            wanted = altered(lock, name="hello-other")
        with pytest.raises(ApplianceError) as caught:
            apt_repository.write(wanted, tmp_path)
        assert caught.value.code.id == "APL-BUNDLE-009", case
        assert (tmp_path / PACKAGES).read_bytes() == before
    apt_repository.write(lock, tmp_path)


def altered(lock, **change):
    first, *rest = lock.inputs
    return msgspec.structs.replace(lock, inputs=[msgspec.structs.replace(first, **change), *rest])


def test_the_key_is_made_once_and_is_the_builders_alone(folder, tmp_path):
    key = tmp_path / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o700
    public, signed = (folder / "apt/appliance.gpg").read_bytes(), tree(folder)
    fingerprint = apt_repository.sign(folder, key)
    assert (folder / "apt/appliance.gpg").read_bytes() == public
    assert tree(folder) == signed  # the same bytes, whenever it signs
    shown = subprocess.run(
        ["gpg", "--homedir", tmp_path, "--with-colons", "--show-keys", folder / "apt/appliance.gpg"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert fingerprint in shown
    kind = shown.splitlines()[0].split(":")
    assert (kind[0], kind[3], kind[6]) == ("pub", "22", "")  # EdDSA, without an end
    for path in folder.rglob("*"):
        assert b"PRIVATE" not in (path.read_bytes() if path.is_file() else b"")


def test_a_key_that_is_not_private_or_not_one_is_refused(folder, tmp_path):
    signed = tree(folder)
    (tmp_path / "link").symlink_to(tmp_path / "key")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "open").mkdir(mode=0o755)
    key = tmp_path / "key"
    quiet = ["gpg", "--homedir", key, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*quiet, "--quick-generate-key", "another", "ed25519", "sign", "never"], check=True)
    subprocess.run(["gpgconf", "--homedir", key, "--kill", "all"], check=True)
    for name in ("link", "file", "open", "key"):
        with pytest.raises(ApplianceError) as caught:
            apt_repository.sign(folder, tmp_path / name)
        assert caught.value.code.id == "APL-BUNDLE-015", name
    assert tree(folder) == signed


def test_a_long_name_of_the_keys_folder_is_no_matter(folder, tmp_path):
    long = tmp_path / ("k" * 100) / ("e" * 100)
    apt_repository.sign(folder, long)
    assert update(folder).returncode == 0
    assert not list(long.glob("S.*"))  # no agent is left
