"""What a bundle holds of our own repository: our wheel, documentation, verifiers, installer, Ansible, the start page.

Rules
1. Everything is made from a copy of the files under version control, with fixed modes: what else lies in a working
   tree has no say. The digest over their names and bytes is the manifest's `source`.
2. Nothing made here depends on folder, clock, time zone, locale, umask or the order of a folder: the build tools are
   told one instant, that of the lock.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from appliance.base import process
from appliance.base.clock import EPOCH, parse_rfc3339
from appliance.base.digest import PREFIX
from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.bundle.manifest import Part
from appliance.trust import standalone

_TIMEOUT_S = 300.0
_NOT_REPRODUCED = ("sitemap.xml", "sitemap.xml.gz")  # for search engines, of which a site has none
START_HERE = """{bundle} {version} of the air-gapped AI appliance, for Debian 12 on amd64.

Nothing in this folder is to be believed because it lies here. You need the digest of the first root of those who
release it, from paper. On Debian 12 with openssl, jq and python3-cryptography, without a network, with any clock:

    bash verify.sh release . sha256:...
    python3 verify.pyz release . --root-digest sha256:...

Both name every file that is missing, changed or not listed. This verifies too, then installs on this host, as root:

    bash install.sh sha256:...

The verifiers and install.sh are here for convenience: take them from a medium that you trust, or compare their digests
with those that the custodians signed.

docs/index.html     the documentation; it opens without a server
manifest.json       every file with its size and digest; trust/ holds what signs it
apt/ wheels/ servers/ models/ ansible/    what gets installed
sbom/               the bill of materials
"""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A clean copy of the repository in `folder`; `files` are its names, `digest` is over names and bytes."""

    folder: Path
    files: tuple[str, ...]
    digest: str


def copy_source(root: Path, target: Path) -> Source:
    """Copy what is under version control in `root` to the new folder `target`.

    Raises:
        ApplianceError: APL-BUNDLE-010 it is no working tree, or a file is a link or cannot be read.
    """
    done = process.run(["git", "-C", root, "ls-files", "-z"], timeout_s=_TIMEOUT_S, check=False)
    names = tuple(sorted(name for name in done.stdout.decode().split("\0") if name))
    if done.returncode or not names:
        raise ApplianceError(codes.SOURCE_UNUSABLE, "expected a git working tree", where=str(root))
    hasher = hashlib.sha256()
    for name in names:
        path, copy = root / name, target / name
        try:
            if path.is_symlink():
                raise ApplianceError(codes.SOURCE_UNUSABLE, "it is a symbolic link", where=name)
            data, executable = path.read_bytes(), bool(path.stat().st_mode & 0o100)
        except OSError as error:
            raise ApplianceError(codes.SOURCE_UNUSABLE, f"cannot be read: {error.strerror}", where=name) from error
        hasher.update(f"{name}\0{len(data)}\0{int(executable)}\0".encode() + hashlib.sha256(data).digest())
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        copy.write_bytes(data)
        copy.chmod(0o755 if executable else 0o644)
    for folder in target.rglob("*"):
        if folder.is_dir():
            folder.chmod(0o755)
    return Source(folder=target, files=names, digest=PREFIX + hasher.hexdigest())


def build_wheel(source: Source, uv: Path, target: Path, made_at: str) -> None:
    """Our wheel, into the folder `target`.

    Raises:
        ApplianceError: APL-BASE-003, uv ended with an error.
    """
    words: list[str | Path] = [
        uv,
        "build",
        "--quiet",
        "--no-config",
        "--offline",
        "--wheel",
        "--out-dir",
        target,
        source.folder,
    ]
    process.run(words, timeout_s=_TIMEOUT_S, extra_environment=_environment(made_at))
    for each in target.iterdir():
        if each.suffix != ".whl":  # uv puts a .gitignore there
            each.unlink()


def build_docs(source: Source, target: Path, made_at: str) -> None:
    """The documentation as pages that open without a server, into the new folder `target`.

    Raises:
        ApplianceError: APL-BASE-003, a page could not be made.
    """
    told = {**_environment(made_at), "PYTHONPATH": str(source.folder)}
    for words in (
        ("docs/generate.py",),
        ("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target)),
    ):
        process.run([sys.executable, *words], timeout_s=_TIMEOUT_S, folder=source.folder, extra_environment=told)
    for name in _NOT_REPRODUCED:
        (target / name).unlink(missing_ok=True)


def small_files(*, bundle: str, version: str, lock: bytes) -> Mapping[str, tuple[bytes, bool, Part]]:
    """Path -> content, executable, part."""
    return {
        "START-HERE.txt": (START_HERE.format(bundle=bundle, version=version).encode(), False, "start"),
        "install.sh": (_read_install_sh(), True, "start"),
        "verify.sh": (standalone.read_verify_sh(), True, "verifier"),
        "verify.pyz": (standalone.build_pyz(), True, "verifier"),
        f"{bundle}.lock.json": (lock, False, "lock"),
    }


def _read_install_sh() -> bytes:
    return (resources.files("appliance.bundle") / "install.sh").read_bytes()


def ansible_files(source: Source) -> tuple[str, ...]:
    """What of the source is Ansible's; its names begin with ``ansible/``."""
    return tuple(name for name in source.files if name.startswith("ansible/"))


def _environment(made_at: str) -> dict[str, str]:
    epoch_s = int((parse_rfc3339(made_at) - EPOCH).total_seconds())
    return {
        "SOURCE_DATE_EPOCH": str(epoch_s),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",  # else what was imported from the copy lies in it
    }
