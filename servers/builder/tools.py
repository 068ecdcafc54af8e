"""How each kind of recipe is built: Go modules, Maven coordinates, index packages, Debian packages.

Registries, proxies and mirrors are those of the machine's own configuration of ``go``, ``mvn`` and ``pip``; nothing
here names one. Each function fills a draft folder and gives the version that it found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.deploy import codes
from servers.builder.recipe import Recipe, digest_of, parse_lock, render_lock

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 3600.0  # MinIO: 3 to 8 minutes on two cores, and what the network takes
MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where a build runs.

    Attributes:
        root: the working tree, with ``.venv-servers`` in it.
        caches: folder of the tools' caches for this build alone; None: those of the machine.
        log: file that gets what the tools print.
    """

    root: Path
    caches: Path | None
    log: Path

    @property
    def site_packages(self) -> Path:
        return self.root / ".venv-servers" / "lib" / "python3.11" / "site-packages"


def build_go(recipe: Recipe, shop: Workshop, draft: Path) -> str:
    """A static program that depends on neither folder, user nor time.

    Raises:
        ApplianceError: APL-SERVERS-002 no toolchain, APL-SERVERS-003.
    """
    toolchain = shop.site_packages / "go"
    program = _needed(toolchain / "bin" / "go")
    environment = {
        "GOROOT": str(toolchain),
        "GOTOOLCHAIN": "local",  # never another one from the network
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false -p=2",
        "GOOS": "linux",
        "GOARCH": "amd64",
        "GOAMD64": "v1",
        "GOEXPERIMENT": "",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    if shop.caches is not None:
        environment |= {
            "GOPATH": str(shop.caches / "gopath"),
            "GOMODCACHE": str(shop.caches / "gomodcache"),
            "GOCACHE": str(shop.caches / "gocache"),
        }
    ldflags = " ".join(["-s", "-w", "-buildid=", *recipe.options["ldflags"]])
    _run(
        shop,
        [program, "build", "-o", draft / recipe.provides, "-ldflags", ldflags, recipe.options["package"]],
        recipe.folder,
        environment,
    )
    return recipe.version


def build_maven(recipe: Recipe, shop: Workshop, draft: Path, *, relock: bool = False) -> str:
    """Resolve the pom, compare every file with the lock, put the files in place.

    Raises:
        ApplianceError: APL-SERVERS-002 no Maven, APL-SERVERS-003, APL-SERVERS-004 another file than the lock's.
    """
    program = shutil.which("mvn")
    if program is None:
        raise ApplianceError(codes.TOOL_MISSING, "mvn is not installed (Debian package maven)", where=recipe.name)
    resolved = draft / "resolved"
    settings = [f"-Dmaven.repo.local={shop.caches / 'm2'}"] if shop.caches is not None else []
    _run(
        shop,
        [
            program,
            "--batch-mode",
            "--no-transfer-progress",
            "--strict-checksums",
            *("--file", recipe.folder / "pom.xml"),
            *settings,
            MAVEN_PLUGIN,
            f"-DoutputDirectory={resolved}",
            "-DincludeScope=runtime",
            "-Dmdep.useRepositoryLayout=true",
        ],
        recipe.folder,
        {},
    )
    # The layout comes with notes of its own, which are not files of anybody's release.
    files = {
        coordinate_of(path.relative_to(resolved)): path
        for path in resolved.rglob("*")
        if path.is_file() and not path.name.startswith(("maven-metadata-", "_remote."))
    }
    came = {coordinate: digest_of(path) for coordinate, path in files.items()}
    lock = recipe.folder / "lock"
    if relock:
        lock.write_text(render_lock(came))
    check_lock(came, parse_lock(lock.read_text(), lock), lock)
    if recipe.options["unpack"]:
        (archive,) = files.values()
        _unpack(archive, draft / recipe.provides / recipe.options["into"])
    else:
        for coordinate, path in files.items():
            group_artifact = ":".join(coordinate.split(":")[:2])
            place = recipe.options["apart"].get(group_artifact, recipe.options["into"])
            folder = draft / recipe.provides / place
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / path.name
            if target.exists():
                raise ApplianceError(codes.BUILD_FAILED, f"two files are named {path.name}", where=str(lock))
            path.rename(target)
            target.chmod(0o644)
    shutil.rmtree(resolved)
    return recipe.version


def coordinate_of(path: Path) -> str:
    """The coordinate of a file in the layout of a Maven repository.

    ``org/x/name/1.0/name-1.0-all.tar.gz`` -> ``org.x:name:1.0:all@tar.gz``.
    """
    *group, artifact, version, file = path.parts
    rest = file.removeprefix(f"{artifact}-{version}")
    classifier, _, kind = rest.partition(".")
    classifier = classifier.removeprefix("-")
    return (
        f"{'.'.join(group)}:{artifact}:{version}"
        + (f":{classifier}" if classifier else "")
        + (f"@{kind}" if kind != "jar" else "")
    )


def check_lock(came: Mapping[str, str], locked: Mapping[str, str], path: Path) -> None:
    """Every file is in the lock with its digest, and every line of the lock came.

    Raises:
        ApplianceError: APL-SERVERS-004, naming the first difference.
    """
    for coordinate in sorted(came.keys() | locked.keys()):
        expected, got = locked.get(coordinate, "not in the lock"), came.get(coordinate, "did not come")
        if expected != got:
            raise ApplianceError(codes.DIGEST_DIFFERS, f"{coordinate}: expected {expected}, got {got}", where=str(path))


def build_wheel(recipe: Recipe, shop: Workshop, draft: Path) -> str:
    """Link to what the environment installed by hash.

    Raises:
        ApplianceError: APL-SERVERS-002.
    """
    source = _needed(shop.site_packages / recipe.options["path"])
    link = draft / recipe.provides
    link.parent.mkdir(parents=True, exist_ok=True)
    # Relative, and one folder up because the draft becomes a folder beside itself.
    link.symlink_to(Path(os.path.relpath(source, link.parent)))
    return recipe.version


def find_debian(recipe: Recipe) -> str:
    """The versions of the installed packages, ``package=version``.

    Raises:
        ApplianceError: APL-SERVERS-002.
    """
    found = []
    for package in recipe.options["packages"]:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package], capture_output=True, text=True
        )
        status, _, version = done.stdout.partition(" ")
        if status != "installed":
            raise ApplianceError(
                codes.TOOL_MISSING, f"the Debian package {package} is not installed", where=recipe.name
            )
        found.append(f"{package}={version}")
    _needed(Path(recipe.entry_point))
    return " ".join(found)


def _unpack(archive: Path, target: Path) -> None:
    """Plain files and folders only; no name leaves the target."""
    target.mkdir(parents=True)
    with tarfile.open(archive) as members:
        for member in members:
            place = (target / member.name).resolve()
            if not (member.isfile() or member.isdir()) or not place.is_relative_to(target.resolve()):
                raise ApplianceError(
                    codes.DIGEST_DIFFERS, f"{member.name} is a link or leaves the folder", where=str(archive)
                )
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            source = members.extractfile(member)
            assert source is not None
            with source, place.open("wb") as file:
                shutil.copyfileobj(source, file)


def _needed(path: Path) -> Path:
    if not path.exists():
        raise ApplianceError(codes.TOOL_MISSING, f"{path} does not exist")
    return path


def _run(shop: Workshop, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
    """Run a tool to its end, its words into the log."""
    shop.log.parent.mkdir(parents=True, exist_ok=True)
    with shop.log.open("ab") as log:
        log.write((" ".join(map(str, command)) + "\n").encode())
        log.flush()
        try:
            done = subprocess.run(
                list(map(str, command)),
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise ApplianceError(codes.BUILD_FAILED, f"ran past {TIMEOUT_S:g} s", where=str(shop.log)) from error
    if done.returncode != 0:
        tail = shop.log.read_text(errors="replace")[-800:].strip()
        raise ApplianceError(
            codes.BUILD_FAILED, f"{command[0]} ended with {done.returncode}: {tail}", where=str(shop.log)
        )
