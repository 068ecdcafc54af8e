"""Small Debian packages, a bundle's repository of them, and an apt with a state of its own that reads nothing else."""

import os
import subprocess
import tempfile
from pathlib import Path

from appliance.bundle import apt_repository
from appliance.bundle.lock import Lock
from tests.bundle_checkout import a_lock, an_input

NAMES = ("hello-appliance", "hello-data")


def make_package(
    pool: Path, name: str, *, version: str = "1.0", depends: str = "", doc: str = "", link: str = "", packed: str = "xz"
) -> Path:
    """`doc`: text of its copyright file; `link`: what its doc folder is a link to; `packed`: in dpkg-deb's word."""
    target = pool / f"{name}_{version}_all.deb"
    pool.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/share" / name).mkdir(parents=True)
        (tree / "usr/share" / name / "text").write_text(f"{name} {version}\n")
        (tree / "usr/share/doc").mkdir()
        folder = tree / "usr/share/doc" / name
        if link:
            folder.symlink_to(link)
        elif doc:
            folder.mkdir()
            (folder / "copyright").write_text(doc)
        (tree / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
            f"{f'Depends: {depends}' + chr(10) if depends else ''}Description: a package of a test\n"
        )
        for path in (tree, *tree.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
        command = ["dpkg-deb", f"-Z{packed}", "--root-owner-group", "--build", tree, target]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
    return target


def make_repository(folder: Path) -> Lock:
    """Two packages, one of which needs the other, with their lists, not signed; gives the lock."""
    first, second = NAMES
    debs = [
        make_package(folder / "apt/pool", first, depends=f"{second} (>= 1.0)"),
        make_package(folder / "apt/pool", second),
    ]
    lock = a_lock(
        *(
            an_input(
                f"apt/pool/{deb.name}", deb.read_bytes(), kind="deb", name=name, version="1.0",
                wanted_by=["bundle:small"],
            )
            for deb, name in zip(debs, NAMES, strict=True)
        )
    )  # fmt: skip
    apt_repository.write(lock, folder)
    return lock


def apt(state: Path, source: str, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """apt-get without a network, knowing this one source; the machine's state is neither read nor changed."""
    for name in ("lists/partial", "cache/archives/partial", "none"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "bundle.sources").write_text(source)
    (state / "apt.conf").write_text(
        f'Dir::State "{state}/state";\nDir::State::lists "{state}/lists";\nDir::State::status "{state}/status";\n'
        f'Dir::Cache "{state}/cache";\nDir::Etc::sourcelist "{state}/bundle.sources";\n'
        f'Dir::Etc::sourceparts "{state}/none";\n'
        f'Dir::Etc::trusted "/dev/null";\nDir::Etc::trustedparts "{state}/none";\n'
        f'Dir::Etc::main "/dev/null";\nDir::Etc::parts "{state}/none";\nDir::Etc::preferences "/dev/null";\n'
        f'Dir::Etc::preferencesparts "{state}/none";\nAPT::Architecture "amd64";\nAPT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n'
    )
    return subprocess.run(
        ["unshare", "-rn", "apt-get", *words],
        capture_output=True, text=True, timeout=120, check=False, cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8", "APT_CONFIG": str(state / "apt.conf")},
    )  # fmt: skip
