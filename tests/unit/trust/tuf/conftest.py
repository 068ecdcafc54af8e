"""A repository on a medium, and all keys that ever sign it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.trust import keys
from appliance.trust.tuf import client, repository
from appliance.trust.tuf.client import Trusted

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
TARGETS = {"trust-config.json": b'{"generation":1}\n', "verifiers/verify.py": b"print()\n"}
KEYS = {
    name: keys.generate("mldsa65" if name.startswith("lattice") else "ed25519")
    for name in ("ann", "ben", "cem", "dora", "lattice", "lattice2", "publisher", "publisher2")
}
CUSTODIANS = ("ann", "ben", "cem", "lattice")


def named(*names: str) -> list[keys.SigningKey]:
    return [KEYS[name] for name in names]


@dataclass(kw_only=True)
class Medium:
    """A repository and the state of one client of it."""

    folder: Path
    state: Path
    now: dt.datetime = NOW
    pinned: str = ""
    custodians: tuple[str, ...] = CUSTODIANS
    publisher: str = "publisher"
    targets: dict[str, bytes] = field(default_factory=lambda: dict(TARGETS))

    def create(self) -> None:
        self.pinned = repository.create(
            self.folder,
            custodians=named(*self.custodians),
            publisher=KEYS[self.publisher],
            targets=self.targets,
            now=self.now,
        )

    def update(self, **targets: bytes) -> None:
        self.targets |= {name.replace("_", "-") + ".json": data for name, data in targets.items()}
        repository.update(
            self.folder,
            custodians=named(*self.custodians),
            publisher=KEYS[self.publisher],
            targets=self.targets,
            now=self.now,
        )

    def rotate(self, *custodians: str, publisher: str = "", signers: tuple[str, ...] = ()) -> None:
        chosen = signers or tuple(dict.fromkeys((*self.custodians, *custodians)))
        self.publisher = publisher or self.publisher
        repository.rotate(
            self.folder,
            signers=named(*chosen),
            custodians=[key.public for key in named(*custodians)],
            publisher=KEYS[self.publisher],
            now=self.now,
        )
        self.custodians = custodians

    def refresh(self, source: str = "", *, at: dt.datetime | None = NOW) -> Trusted:
        return client.refresh(source or str(self.folder), self.state, pinned_root_digest=self.pinned, reference_time=at)

    def believed(self) -> dict[str, bytes]:
        """What lies in the state folder."""
        return {path.name: path.read_bytes() for path in sorted(self.state.glob("*.json"))}


@pytest.fixture
def medium(tmp_path: Path) -> Medium:
    made = Medium(folder=tmp_path / "medium", state=tmp_path / "state")
    made.create()
    return made
