"""The folder ``apt/`` of a bundle: an apt repository of one suite that a host installs from with its own apt.

``apt/pool/*.deb``, ``apt/dists/appliance/main/binary-amd64/Packages`` and ``Release``; `sign` adds ``InRelease``,
``Release.gpg`` and the public key ``apt/appliance.gpg``.

Rules
1. Debian's own ``apt-ftparchive`` writes both lists. The same lock gives the same bytes: its one date is that of the
   lock, files come in order of name, and user, folder, locale and time zone do not show.
2. A package says of itself what the lock says of it: name, version, size and digest. One more or less is refused.
3. ``Valid-Until`` is left out. A medium is as old as it is, and a host without a network has no newer list to wait
   for; what is too old is told by the bundle's version, not by a clock that may be wrong.
4. One key gives one index the same signatures whenever it signs: Ed25519 has no chance in it, and their instant is the
   date of the index. The key itself is as old as its kind, so that no index and no host's clock is before it.
5. A host trusts this repository by its key (``Signed-By``), never by ``trusted=yes``; `source` is what it writes down.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

from appliance.base import atomic, process
from appliance.base.clock import parse_rfc3339
from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.bundle.debian_index import parse_stanza
from appliance.bundle.lock import Input, Lock

SUITE = "appliance"
FOLDER = "apt"
KEY = "appliance.gpg"
SIGNER = "appliance bundle"
TIMEOUT_S = 900.0
_KEY_SINCE = dt.datetime(2017, 1, 1, tzinfo=dt.UTC)  # about when gpg learned Ed25519
_TOOL = "/usr/bin/apt-ftparchive"
# Read before the machine's own configuration, which then is none: it could add fields.
_CONFIGURATION = """\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
APT::FTPArchive::MD5 "false";
APT::FTPArchive::SHA1 "false";
"""


def write(lock: Lock, folder: Path) -> None:
    """Write the lists for the packages that lie in ``folder/apt/pool`` already.

    Raises:
        ApplianceError: APL-BUNDLE-009 what lies there is not what the lock says; APL-BASE-002, -003.
    """
    top = folder / FOLDER
    lists = top / "dists" / SUITE
    (top / "pool").mkdir(parents=True, exist_ok=True)
    packages = _ftparchive(top, "packages", "pool")
    _check(packages.decode("utf-8"), lock, top / "pool")
    atomic.write_bytes(lists / "main" / "binary-amd64" / "Packages", _in_order(packages))
    for name in ("Release", "InRelease", "Release.gpg"):  # neither lists itself, nor what an earlier run left
        (lists / name).unlink(missing_ok=True)
    date = format_datetime(parse_rfc3339(lock.made_at)).replace("+0000", "UTC")
    fields = {
        "Origin": "appliance",
        "Label": f"appliance {lock.bundle}",
        "Suite": SUITE,
        "Codename": SUITE,
        "Date": date,
        "Architectures": lock.architecture,
        "Components": "main",
    }
    options = [word for key, value in fields.items() for word in ("-o", f"APT::FTPArchive::Release::{key}={value}")]
    atomic.write_bytes(lists / "Release", _ftparchive(lists, *options, "release", "."))


def source(folder: Path) -> str:
    """The file for ``/etc/apt/sources.list.d`` of a host on which the bundle stands at the absolute `folder`.

    The list is not refused for a date that the host's clock has not reached: a wrong clock changes no verdict.
    """
    words = {
        "Types": "deb",
        "URIs": f"file:{folder / FOLDER}",
        "Suites": SUITE,
        "Components": "main",
        "Architectures": "amd64",
        "Signed-By": folder / FOLDER / KEY,
        "Check-Date": "no",
    }
    return "".join(f"{key}: {value}\n" for key, value in words.items())


def sign(folder: Path, key_folder: Path) -> str:
    """Sign the lists in `folder`; gives the fingerprint of the key. Its former signatures are replaced.

    Args:
        key_folder: gpg's home with the builder's one secret key, mode 0700; an absent one is made with a new key
            (Ed25519, no passphrase, without an end). It is the builder's secret and goes into no bundle.

    Raises:
        ApplianceError: APL-BUNDLE-015 the folder is not private or has not exactly one key; APL-BASE-002, -003.
    """
    lists = folder / FOLDER / "dists" / SUITE
    with _gpg_home(key_folder) as home:
        fingerprint = _the_key(home, key_folder)
        data = (lists / "Release").read_bytes()
        options = ("--local-user", fingerprint, "--digest-algo", "SHA512", *_at(_date_of(data)))
        inline = _gpg(home, *options, "--clearsign", stdin=data)
        apart = _gpg(home, *options, "--armor", "--detach-sign", stdin=data)
        public = _gpg(home, "--export", fingerprint)
    atomic.write_bytes(lists / "InRelease", inline)
    atomic.write_bytes(lists / "Release.gpg", apart)
    atomic.write_bytes(folder / FOLDER / KEY, public)
    return fingerprint


def _ftparchive(folder: Path, *words: str) -> bytes:
    if not Path(_TOOL).exists():
        message = "apt-ftparchive is not installed (Debian package apt-utils)"
        raise ApplianceError(codes.REPOSITORY_FAILED, message, where=_TOOL, hint="Install the Debian package.")
    with tempfile.NamedTemporaryFile("w", prefix="apt-", suffix=".conf") as configuration:
        configuration.write(_CONFIGURATION)
        configuration.flush()
        return process.run(
            [_TOOL, *words],
            timeout_s=TIMEOUT_S,
            folder=folder,
            extra_environment={"LC_ALL": "C", "TZ": "UTC", "APT_CONFIG": configuration.name},
        ).stdout


def _in_order(packages: bytes) -> bytes:
    stanzas = [each for each in packages.decode("utf-8").split("\n\n") if each.strip()]
    ordered = sorted(stanzas, key=lambda each: parse_stanza(each)["Filename"])
    return "".join(f"{each.strip(chr(10))}\n\n" for each in ordered).encode()


def _check(packages: str, lock: Lock, pool: Path) -> None:
    wanted = {each.path.removeprefix(f"{FOLDER}/"): each for each in lock.inputs if each.kind == "deb"}
    found = {}
    for text in packages.split("\n\n"):
        if text.strip():
            fields = parse_stanza(text.strip("\n"))
            found[fields["Filename"]] = fields
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found or name not in wanted:
            message = f"{name} is missing" if name in wanted else f"{name} is not in the lock"
            raise ApplianceError(codes.REPOSITORY_FAILED, message, where=str(pool))
        expected, got = _facts(wanted[name]), _facts_of_stanza(found[name])
        if expected != got:
            message = f"{name}: expected {' '.join(expected)}, got {' '.join(got)}"
            raise ApplianceError(codes.REPOSITORY_FAILED, message, where=str(pool))


def _facts(each: Input) -> tuple[str, ...]:
    return each.name, each.version, str(each.size_bytes), each.digest


def _facts_of_stanza(fields: dict[str, str]) -> tuple[str, ...]:
    return fields["Package"], fields["Version"], fields["Size"], f"sha256:{fields['SHA256']}"


@contextmanager
def _gpg_home(key_folder: Path) -> Iterator[Path]:
    """A short name for the folder: the agent's socket has its path, which may have 107 bytes."""
    if not key_folder.exists() and not key_folder.is_symlink():
        atomic.make_folder(key_folder.parent)
        key_folder.mkdir(mode=0o700)
    status = key_folder.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or mode & 0o077:
        message = f"expected a folder of ours with mode 700, got mode {mode:o}"
        raise ApplianceError(codes.SIGNING_KEY_REFUSED, message, where=str(key_folder))
    with atomic.exclusive(key_folder / ".lock"), tempfile.TemporaryDirectory(prefix="gpg-") as scratch:
        home = Path(scratch) / "home"
        home.symlink_to(key_folder.absolute())
        try:
            yield home
        finally:
            process.run(["gpgconf", "--homedir", home, "--kill", "all"], timeout_s=60.0, check=False)


def _the_key(home: Path, key_folder: Path) -> str:
    keys = _fingerprints(home)
    if not keys:
        _gpg(home, *_at(_KEY_SINCE), "--passphrase", "", "--quick-generate-key", SIGNER, "ed25519", "sign", "never")
        keys = _fingerprints(home)
    if len(keys) != 1:
        raise ApplianceError(
            codes.SIGNING_KEY_REFUSED, f"expected one secret key, got {len(keys)}", where=str(key_folder)
        )
    return keys[0]


def _at(instant: dt.datetime) -> tuple[str, str]:
    """Options of gpg by which it believes this to be now, as long as it runs."""
    return "--faked-system-time", f"{instant:%Y%m%dT%H%M%S}!"


def _date_of(release: bytes) -> dt.datetime:
    """The instant in the ``Date`` of a Release file that `write` made."""
    return parsedate_to_datetime(parse_stanza(release.decode("utf-8"))["Date"])


def _fingerprints(home: Path) -> list[str]:
    """Of the secret keys, without their subkeys."""
    found = []
    primary = False
    for line in _gpg(home, "--with-colons", "--list-secret-keys").decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if fields[0] in ("sec", "ssb"):
            primary = fields[0] == "sec"
        elif fields[0] == "fpr" and primary:
            found.append(fields[9])
            primary = False
    return found


def _gpg(home: Path, *words: str, stdin: bytes = b"") -> bytes:
    quiet = ("--batch", "--no-tty", "--quiet", "--no-options", "--pinentry-mode", "loopback")
    return process.run(["gpg", "--homedir", home, *quiet, *words], timeout_s=120.0, stdin=stdin).stdout
