"""What people see of a sensitive value: the same for everybody, whatever their role. Pure.

A mask tells the kind and nothing of the value, not even its length or last digits: those narrow down who it is. What a
column declares to be ``none`` is shown as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.ingestion.sensitive.detectors import NONE
from appliance.ingestion.sensitive.sealing import is_sealed

ERASED = "<erased>"


def mask_of(tag: str) -> str:
    return f"<{tag}>"


def masked(row: Mapping[str, Any], tags: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """A row of a table for people: tagged values as their mask, sealed texts of other columns as ``<sealed>``.

    Args:
        tags: as `storage.columns.tags_of` gives them.
    """
    return {name: _masked(value, tags.get(name, (NONE, ""))[0]) for name, value in row.items()}


def _masked(value: Any, tag: str) -> Any:
    if value is None:
        return None
    if tag != NONE:
        return mask_of(tag)
    return mask_of("sealed") if isinstance(value, str) and is_sealed(value) else value
