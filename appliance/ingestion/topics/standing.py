"""How far each partition of a topic is behind its end: told by the worker that has it, one small file for each.

``<site>/topics/<topic>-<partition>.json``. It is for people and metrics; where reading goes on is in the tables alone.
A worker that stopped leaves the file as it was, and its age tells.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import msgspec

from appliance.base import atomic


class Standing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    source: as in the position maps, ``kafka:<topic>:<partition>``.
    taken: offset up to which records are committed.
    end: offset after the last record that may be read, when it was asked for.
    waits_for: schema id that the partition waits for; 0: none.
    at: when this was so.
    commit_s: how long the worker's last commit took; 0 before its first.
    """

    source: str
    taken: int
    end: int
    waits_for: int
    at: dt.datetime
    commit_s: float = 0.0

    @property
    def lag(self) -> int:
        """Offsets that are not committed."""
        return max(self.end - self.taken, 0)


def tell(folder: Path, standing: Standing) -> None:
    """Write it down. Raises ApplianceError APL-BASE-002."""
    _, topic, partition = standing.source.split(":")
    folder.mkdir(exist_ok=True)
    atomic.write_bytes(folder / f"{topic}-{partition}.json", msgspec.json.encode(standing))


def told(folder: Path) -> Iterator[Standing]:
    """What workers told last, by source; a file that cannot be read is passed over."""
    for path in sorted(folder.glob("*.json")):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Standing)
        except (OSError, msgspec.DecodeError):
            continue
