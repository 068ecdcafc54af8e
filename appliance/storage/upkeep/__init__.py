"""Upkeep of the lake's tables: few and large files, a short history, nothing on the disk that nobody needs.

`expiry` is what writers do by themselves; the rest is ``appliance table upkeep``:
`inventory` (what is there) -> `plan` (pure: what to do) -> `run` (does it); `documents` is what stays to be read about
it, `history` reads that back, `row_digest` tells that rows stayed the same.
"""

from appliance.storage.upkeep.expiry import Upkeep, expire, expire_when_due

__all__ = ["Upkeep", "expire", "expire_when_due"]
