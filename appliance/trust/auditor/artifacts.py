"""Judges the artifacts of a pack.

Rules
1. `subject`: a statement that counts names the digest of each file below ``artifacts/``.
2. An artifact needs no statement of a certain kind: what its signer vouched for is in the statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from appliance.base.digest import digest_file
from appliance.base.errors import ApplianceError
from appliance.trust import codes
from appliance.trust.auditor.bundles import Accepted
from appliance.trust.auditor.case import Case


def digests(case: Case) -> Mapping[str, str]:
    """Path of each artifact in the pack, in order -> digest."""
    files = sorted(each for each in (case.folder / "artifacts").rglob("*") if each.is_file())
    return {path.relative_to(case.folder).as_posix(): digest_file(path) for path in files}


def judge_artifacts(case: Case, found: Mapping[str, str], accepted: Sequence[Accepted]) -> None:
    """Rule 1; `found` is what `digests` gave."""
    named = frozenset[str]().union(*(each.about for each in accepted))
    for place, digest in found.items():
        if digest in named:
            case.holds("subject", digest, place, name="artifacts")
        else:
            error = ApplianceError(codes.SUBJECT_UNKNOWN, f"no statement names {digest}")
            case.refuse(error, name="artifacts", path=place)
