"""What a site declares about its data: measures, decoder fixes and drop mappings.

``declarations/measures.toml``::

    accepted_qualities = ["good", "estimated"]     # optional, this is the default

    [measure.oil_temperature]
    unit = "Cel"
    min = -40.0
    max = 180.0
    interval = "15min"          # one reading is expected so often
    may_rest = false            # optional; true where a constant value is normal
    description = "Top oil"     # optional

``declarations/decoders.toml`` (may be missing)::

    [[decoder]]
    firmware = "4.2.0"
    event_time_unit = "ms"      # what this firmware sends: s, ms, us or ns

``declarations/drops/NAME.toml``: see `ingestion.mapping`; ``declarations/contracts/NAME.yaml``: `gates.contract`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from appliance.base.digest import digest_json
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.config.codes import DECLARATION_INVALID
from appliance.config.declarations import load_toml
from appliance.ingestion.gates.contract import Contract, load_contracts
from appliance.storage import names

US_PER_UNIT: Mapping[str, tuple[int, int]] = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
"""Unit of event_time -> (factor, divisor) that make microseconds of it."""


class Measure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measure: what its readings must be."""

    unit: str
    min: float
    max: float
    interval: str
    may_rest: bool = False
    description: str = ""

    @property
    def interval_us(self) -> int:
        return duration_us(self.interval)


class Measures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file measures.toml."""

    measure: dict[str, Measure]
    accepted_qualities: list[str] = msgspec.field(default_factory=lambda: ["good", "estimated"])

    @property
    def digest(self) -> str:
        """Identity of the declared rules; goes into the facts of each commit."""
        plain = msgspec.to_builtins(self)
        for each in plain["measure"].values():
            each["min"], each["max"] = repr(each["min"]), repr(each["max"])
        return digest_json(plain)


class Decoder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How readings of a firmware are to be read where it departs from the wire form."""

    firmware: str
    event_time_unit: Literal["s", "ms", "us", "ns"]


class Decoders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file decoders.toml."""

    decoder: list[Decoder] = msgspec.field(default_factory=list)

    def event_time_units(self) -> dict[str, str]:
        return {each.firmware: each.event_time_unit for each in self.decoder}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Attributes:
    contract: that of ``silver.readings``, if it has checks for the sink.
    """

    measures: Measures
    decoders: Decoders
    contract: Contract | None = None


def load(folder: Path) -> Declared:
    """Read and check ``measures.toml``, ``decoders.toml`` and the contracts.

    Raises:
        ApplianceError: APL-CONFIG-004, naming file and key.
    """
    path = folder / "measures.toml"
    measures = load_toml(path, Measures)
    for name, measure in measures.measure.items():
        if not measure.min < measure.max:
            raise ApplianceError(
                DECLARATION_INVALID,
                f"measure.{name}: min {measure.min} is not below max {measure.max}",
                where=str(path),
            )
        try:
            measure.interval_us  # noqa: B018 - checked here, so that later use cannot fail
        except ApplianceError as error:
            raise ApplianceError(
                DECLARATION_INVALID, f"measure.{name}.interval: {error.message}", where=str(path)
            ) from error
    fixes = folder / "decoders.toml"
    decoders = load_toml(fixes, Decoders) if fixes.is_file() else Decoders()
    if len(decoders.event_time_units()) != len(decoders.decoder):
        raise ApplianceError(DECLARATION_INVALID, "two decoders name the same firmware", where=str(fixes))
    contracts = load_contracts(folder / "contracts")
    of_sink = [each for each in contracts if each.table == names.READINGS and each.in_sink]
    return Declared(measures=measures, decoders=decoders, contract=of_sink[0] if of_sink else None)
