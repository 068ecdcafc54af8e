"""Filters over a bundle's manifest, on the machine that drives Ansible."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def bundle_facts(manifest: str) -> dict[str, Any]:
    """`made_at`, and `bytes` in each part (`apt`, `wheels`, ...) and in all."""
    found = json.loads(manifest)
    sizes: dict[str, int] = {"all": 0}
    for each in found["members"]:
        sizes[each["part"]] = sizes.get(each["part"], 0) + each["size_bytes"]
        sizes["all"] += each["size_bytes"]
    return {"made_at": found["made_at"], "bytes": sizes}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"bundle_facts": bundle_facts}
