"""What waits in the spools, and how far the tables have taken each source."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.ingestion.commit import TABLES
from appliance.ingestion.drop import Drops
from appliance.ingestion.positions import PROPERTY, Positions, restart_point
from appliance.ingestion.sink import Sink
from appliance.ingestion.spool import Spool
from appliance.storage import names
from appliance.storage.tables import Lake


@dataclass(frozen=True, kw_only=True)
class Source:
    """`waiting` files in incoming, `claimed` ones that not every table has taken, and the least `position`."""

    source: str
    waiting: int
    claimed: int
    position: int
    refused_files: int


def sources(sink: Sink, drops: Drops, lake: Lake) -> tuple[Source, ...]:
    """Readings first, then the drops by name."""
    found = [_source(sink.spool, [name for name, _ in TABLES], lake)]
    for name, mapping in drops.mappings().items():
        tables = [names.DROPS_RAW, names.DROPS_QUARANTINE, mapping.table]
        found.append(_source(drops.spool(name, mapping), tables, lake))
    return tuple(found)


def _source(spool: Spool, tables: list[str], lake: Lake) -> Source:
    there = set(lake.tables())
    stands = [
        Positions.parse(lake.head(name).properties.get(PROPERTY)) if name in there else Positions() for name in tables
    ]
    position = restart_point(stands, spool.source)
    return Source(
        source=spool.source,
        waiting=spool.waiting(),
        claimed=sum(1 for each in spool.log() if each.position >= position),
        position=position,
        refused_files=len(spool.refused()),
    )
