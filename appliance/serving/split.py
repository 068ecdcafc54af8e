"""Which arm answers for an entity: sticky, uniform, independent between candidates.

The entity and the candidate's artifact id are hashed together, so that the same entity always meets the same arm while
a candidate is on trial, and another candidate gets another tenth of the fleet.
"""

from __future__ import annotations

import hashlib

_BUCKETS = 10_000


def bucket(entity: str, artifact_id: str) -> int:
    """0 to 9,999, uniform over entities."""
    return int.from_bytes(hashlib.sha256(f"{artifact_id}\n{entity}".encode()).digest()[:8], "big") % _BUCKETS


def takes_canary(entity: str, artifact_id: str, percent: int) -> bool:
    """True for about `percent` of all entities."""
    return bucket(entity, artifact_id) < percent * _BUCKETS // 100
