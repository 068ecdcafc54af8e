"""Where a deployment is on a host, as the role ``layout`` has it, and where its record is kept."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Places:
    """Attributes:
    programs: bundles, control environments and what is made from them.
    record: journal, lock, what each run told, and which releases were seen.
    inventory: the inventory that is taken when none is named.
    """

    programs: Path = Path("/opt/appliance")
    record: Path = Path("/var/lib/appliance/deploy")
    inventory: Path = Path("/etc/appliance/inventory")

    @property
    def bundles(self) -> Path:
        return self.programs / "bundle"

    def bundle(self, release: str) -> Path:
        return self.bundles / release

    def control(self, release: str) -> Path:
        return self.programs / "control" / release

    @property
    def current(self) -> Path:
        return self.programs / "current"

    @property
    def lock(self) -> Path:
        return self.record / "lock"

    @property
    def journal(self) -> Path:
        return self.record / "journal.jsonl"

    @property
    def memory(self) -> Path:
        return self.record / "seen"

    def told(self, run: str) -> Path:
        """What Ansible told in this run, as JSON lines."""
        return self.record / "runs" / f"{run}.jsonl"


def release_name(version: str, manifest_digest: str) -> str:
    """Version and the first 12 hex digits of the manifest's digest."""
    return f"{version}-{manifest_digest.removeprefix('sha256:')[:12]}"


def own_bundle(places: Places, environment: Path = Path(sys.prefix)) -> Path | None:
    """The bundle that the control environment came from in which this runs; None outside of one."""
    found = places.bundle(environment.name)
    return found if environment.parent == places.programs / "control" and found.is_dir() else None


def ansible_program(name: str) -> Path:
    """Beside the Python that runs this: a control environment has both."""
    return Path(sys.prefix) / "bin" / name
