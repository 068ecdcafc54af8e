"""What runs on this host: the release that is current, our units and their state, the last run of a deployment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from appliance.base import process
from appliance.deploy import journal
from appliance.deploy.places import Places

_TIMEOUT_S = 30.0
UNITS = "appliance-*"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """`active` and `sub` are systemd's words, such as ``active`` and ``running``."""

    name: str
    active: str
    sub: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """Attributes:
    release: empty where none is current.
    last: the last record of the journal; None where nothing was deployed.
    """

    release: str
    units: tuple[Unit, ...]
    last: dict[str, Any] | None

    @property
    def ok(self) -> bool:
        timed = {each.name.removesuffix(".timer") for each in self.units if each.name.endswith(".timer")}
        resting = {f"{name}.service" for name in timed}  # between two times; "activating" while such a one works
        return bool(self.release) and all(
            each.active == "active" or (each.name in resting and each.active in ("inactive", "activating"))
            for each in self.units
        )


def status(places: Places) -> Status:
    """Raises ApplianceError: APL-BASE-003, systemd does not answer."""
    current = places.current
    records = journal.read(places.journal)
    done = process.run(["systemctl", "list-units", "--all", "--output=json", UNITS], timeout_s=_TIMEOUT_S)
    return Status(
        release=current.readlink().name if current.is_symlink() else "",
        units=parse_units(done.stdout),
        last=records[-1] if records else None,
    )


def parse_units(listed: bytes) -> tuple[Unit, ...]:
    """Of ``systemctl list-units --output=json``."""
    found = [Unit(name=each["unit"], active=each["active"], sub=each["sub"]) for each in json.loads(listed or b"[]")]
    return tuple(sorted(found, key=lambda each: each.name))
