"""Debian's apt with a state of its own: its resolver and its downloader, on a host that we describe.

Rules
1. Sources, keys, proxies and credentials are those of this machine's apt; no file of ours names a host.
2. Everything that apt writes is below the folder that it is given: nothing of this machine's state is read or changed,
   and neither root nor a lock of the machine is needed.
3. Only what Debian 12 itself offers is considered, whatever other sources the machine has.
4. Which packages a host has is told by a ``dpkg`` status file that we write. Recommended packages are never taken.
5. Hooks of the machine's configuration do not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from appliance.base import atomic, process
from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.bundle.debian_index import Index, Stanza, read_index

ARCHITECTURE = "amd64"
RELEASE = "bookworm"
UPDATE_TIMEOUT_S = 900.0
RESOLVE_TIMEOUT_S = 300.0
DOWNLOAD_TIMEOUT_S = 3600.0
_INSTALL = re.compile(r"Inst (\S+) (?:\[[^\]]*\] )?\((\S+) ")
_REMOVE = re.compile(r"Remv (\S+) ")
_HOOKS = ("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success")


class Apt:
    """apt below one folder, which is made when missing and may be removed at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._prepared = False

    def update(self) -> None:
        """Fetch what Debian offers now.

        Raises:
            ApplianceError: APL-BUNDLE-005 no list of Debian came; APL-BASE-002.
        """
        self._prepare()
        # By default apt only warns when a source cannot be reached, and goes on with the list of last time.
        done = self._run("-o", "APT::Update::Error-Mode=any", "update", timeout_s=UPDATE_TIMEOUT_S)
        self.__dict__.pop("index", None)
        if done.returncode != 0 or not any(suite.startswith(f"{RELEASE} ") for suite, _ in self._lists()):
            tail = (done.stderr or done.stdout).decode("utf-8", "replace")[-process.TAIL_CHARACTERS :].strip()
            raise ApplianceError(codes.SOURCE_UNREACHABLE, f"apt has no list of Debian {RELEASE}: {tail}", where="apt")

    @cached_property
    def index(self) -> Index:
        """What Debian offered at the last `update`."""
        self._prepare()
        return read_index(self._lists())

    def resolve(self, names: Sequence[str], host: Iterable[Stanza], *, as_released: bool = False) -> list[Stanza]:
        """What an installation of `names` brings onto a host that has the packages `host`, in order of name.

        Args:
            as_released: leave out what Debian published after the release, security fixes among them.

        Raises:
            ApplianceError: APL-BUNDLE-007 apt finds no way, or would remove a package of the host.
        """
        self._prepare()
        status = "".join(f"{_as_installed(each)}\n\n" for each in host)
        atomic.write_bytes(self.folder / "status", status.encode())
        options = ("-o", f"Dir::Etc::preferences={self.folder / 'preferences-released'}") if as_released else ()
        words = ("install", "--simulate", "--assume-yes", "--", *names)
        done = self._run(*options, *words, timeout_s=RESOLVE_TIMEOUT_S)
        text = done.stdout.decode("utf-8", "replace")
        if done.returncode != 0:
            tail = (text + done.stderr.decode("utf-8", "replace")).strip()[-process.TAIL_CHARACTERS :]
            raise ApplianceError(codes.UNRESOLVED, f"apt finds no way to install them: {tail}", where="apt")
        removed = _REMOVE.findall(text)
        if removed:
            raise ApplianceError(codes.UNRESOLVED, f"apt would remove {', '.join(removed)} of the host", where="apt")
        chosen = sorted({(name.partition(":")[0], version) for name, version in _INSTALL.findall(text)})
        found = []
        for name, version in chosen:
            stanza = self.index.find(name, version)
            if stanza is None:
                raise ApplianceError(codes.UNRESOLVED, f"no list of Debian has {name} {version}", where="apt")
            found.append(stanza)
        return found

    def download(self, wanted: Sequence[tuple[str, str]], target: Path) -> None:
        """Fetch packages by name and version into the folder `target`; apt checks each against its signed list.

        What an earlier call left half done is continued.

        Raises:
            ApplianceError: APL-BUNDLE-005 not all came; those that came whole are in `target`.
        """
        self._prepare()
        target.mkdir(parents=True, exist_ok=True)
        words = [f"{name}={version}" for name, version in wanted]
        done = self._run("download", "--", *words, timeout_s=DOWNLOAD_TIMEOUT_S, cwd=target)
        if done.returncode != 0:
            tail = done.stderr.decode("utf-8", "replace")[-process.TAIL_CHARACTERS :].strip()
            raise ApplianceError(codes.SOURCE_UNREACHABLE, f"apt fetched not all: {tail}", where="apt")

    def _lists(self) -> list[tuple[str, Path]]:
        """Suite and path of every list of Debian that is here."""
        form = "$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(CREATED_BY)|$(FILENAME)"
        done = self._run("indextargets", "--format", form, timeout_s=RESOLVE_TIMEOUT_S)
        found = []
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            origin, codename, component, kind, path = line.split("|", 4)
            if origin == "Debian" and codename.partition("-")[0] == RELEASE and kind == "Packages":
                found.append((f"{codename} {component}", Path(path)))
        return sorted(each for each in found if each[1].is_file())

    def _run(self, *words: str, timeout_s: float, cwd: Path | None = None) -> process.Completed:
        return process.run(
            ["apt-get", "--config-file", self.folder / "apt.conf", *words],
            timeout_s=timeout_s,
            folder=cwd,
            extra_environment={"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            check=False,
            tied=True,
        )

    def _prepare(self) -> None:
        if self._prepared:
            return
        for name in ("state", "lists/partial", "archives/partial", "cache", "none"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(self.folder / "status", b"")
        for name, suites in (("preferences", f"/^{RELEASE}/"), ("preferences-released", RELEASE)):
            atomic.write_bytes(self.folder / name, preferences(suites).encode())
        atomic.write_bytes(self.folder / "apt.conf", configuration(self.folder).encode())
        self._prepared = True


def preferences(suites: str) -> str:
    """apt's preferences: the suites of Debian with such a code name, and nothing else."""
    return (
        f"Package: *\nPin: release o=Debian, n={suites}\nPin-Priority: 500\n\n"
        "Package: *\nPin: release a=*\nPin-Priority: -1\n"
    )


def configuration(folder: Path) -> str:
    """The file that apt reads after the machine's own."""
    places = {
        "Dir::State": folder / "state",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Cache::archives": folder / "archives",
        "Dir::Cache::pkgcache": "pkgcache.bin",
        "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        "Dir::Etc::preferences": folder / "preferences",
        "Dir::Etc::preferencesparts": folder / "none",
    }
    values = {
        **places,
        "APT::Architecture": ARCHITECTURE,
        "APT::Architectures::": ARCHITECTURE,
        "APT::Install-Recommends": "false",
        "APT::Install-Suggests": "false",
        "APT::Sandbox::User": "root",  # everything is ours here, and the folder may lie where no other user can go
        "Acquire::Languages": "none",
        "Acquire::GzipIndexes": "false",
        "Acquire::Retries": "3",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    }
    clear = [f"#clear {each};" for each in ("APT::Architectures", *_HOOKS)]
    return "\n".join([*clear, *(f'{key} "{value}";' for key, value in values.items())]) + "\n"


def _as_installed(stanza: Stanza) -> str:
    return stanza.text.replace("\n", "\nStatus: install ok installed\n", 1)
