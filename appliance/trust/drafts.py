"""Work folders of split signing: a change that waits for custodians who sign elsewhere.

    WORK/draft.json  request.json  root-before.json      made here; the request goes to the custodians
    WORK/signed.json                                     assembled from their responses, and then published

Rules
1. A work folder is made once and never changed by another draft.
2. Nothing counts before it is published: nothing refers to what a draft leaves behind until then (files of targets, a
   key, a certificate).
3. A key that the change replaces goes on signing until then, so its window may not end where the log stands now:
   `check_windows` refuses to publish a draft that would cut off what was signed in the meantime.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.trust import codes, custody
from appliance.trust.policy import TrustPolicy
from appliance.trust.tuf import repository, signing
from appliance.trust.tuf.signing import Request

DRAFT, REQUEST, ROOT, SIGNED = "draft.json", "request.json", "root-before.json", "signed.json"


class Drafting:
    """Drafts a change of targets in the new folder `work`, in place of publishing it; see `custody.Publication`."""

    def __init__(self, work: Path) -> None:
        self.work = work
        require_new(work)

    def publish(self, trust: Path, changes: Mapping[str, bytes], now: dt.datetime) -> None:
        folder = trust / "tuf"
        targets = {**repository.contents(folder), **custody.verifiers(), **changes}
        draft = repository.draft_targets(folder, targets, now=now)
        write(self.work, draft, root=repository.newest_root(folder), previous=repository.newest_targets(folder))


def require_new(work: Path) -> None:
    """Raises:
    ApplianceError: APL-TRUST-015, there is something of this name.
    """
    if work.exists():
        raise ApplianceError(codes.TARGET_EXISTS, f"{work} exists", where=str(work))


def write(work: Path, draft: bytes, *, root: bytes | None, previous: bytes | None = None) -> None:
    """Make a work folder for `draft`, which is judged by `root` and compared with `previous`.

    Raises:
        ApplianceError: APL-TRUST-015 there is something of this name; APL-TUF-013, APL-BASE-002.
    """
    require_new(work)
    request = signing.signing_request(draft, root=root, previous=previous)
    atomic.write_bytes(work / DRAFT, draft)
    if root is not None:
        atomic.write_bytes(work / ROOT, root)
    atomic.write_bytes(work / REQUEST, request)


def request_of(work: Path) -> Request:
    """What custodians are asked to sign."""
    return signing.parse_request((work / REQUEST).read_bytes())


def check_windows(before: TrustPolicy, after: TrustPolicy, size: int) -> None:
    """Whether every key that goes out of use with `after` counts for all that a log of `size` entries holds.

    Raises:
        ApplianceError: APL-TRUST-033, a window would end before the log does.
    """
    for window in before.windows:
        ending = after.window(window.use, window.id)
        last = None if ending is None else ending.last_index
        if window.last_index is None and last is not None and last < size - 1:
            raise ApplianceError(
                codes.CHANGE_REFUSED,
                f"the {window.use} key would count up to log index {last}, and the log has grown to {size} entries: "
                "draft the rotation again, with a greater --overlap",
            )
