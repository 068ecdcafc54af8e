"""Whether an advisory is about a version, and which version mends it. Pure; `univers` compares.

Rules (OSV schema, "Evaluation")
1. A version is affected when `versions` lists it, or when a range holds it: events in order of version, the last one
   at or before it counts. ``fixed`` is the first good version, ``last_affected`` the last bad one.
2. A range with limits counts below the greatest of them only.
3. Each ecosystem compares as it does itself: Debian by ``dpkg``, PyPI by PEP 440, Go by SemVer, Maven by its own order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from univers.versions import DebianVersion, GolangVersion, InvalidVersion, MavenVersion, PypiVersion, Version

from appliance.bundle.advisories import Affected, Range

SCHEMES: Mapping[str, type[Version]] = {
    "Debian": DebianVersion,
    "Go": GolangVersion,
    "Maven": MavenVersion,
    "PyPI": PypiVersion,
}
"""Ecosystem, without its release, -> how it compares."""


class IncomparableError(ValueError):
    """A version that its ecosystem does not know; the message has it."""


@dataclass(frozen=True)
class Judged:
    """`fixed`: the least version behind this one that mends it; empty when none is told."""

    affected: bool
    fixed: str = ""


def judge(version: str, affected: Affected, *, ecosystem: str) -> Judged:
    """What `affected` says of `version`.

    Raises:
        IncomparableError: a version cannot be compared, and no list names this one.
    """
    scheme = SCHEMES[ecosystem.partition(":")[0]]
    ranges = [each for each in affected.ranges or () if each.type != "GIT"]
    listed = _listed(version, affected.versions or (), scheme)
    try:
        given = parse(version, scheme)
        hit = [each for each in ranges if _holds(each, given, scheme)]
        if not listed and not hit:
            return Judged(affected=False)
        fixes = [each for one in hit or ranges for each in _fixes(one, scheme) if each[0] > given]
        return Judged(affected=True, fixed=min(fixes)[1] if fixes else "")
    except IncomparableError:
        if listed:
            return Judged(affected=True)
        raise


def parse(version: str, scheme: type[Version]) -> Version:
    """Raises IncomparableError."""
    # SemVer gives build metadata no order; Go writes +incompatible there. In Python and Debian a + does count.
    text = version.partition("+")[0] if scheme is GolangVersion else version
    try:
        return scheme(text)
    except (InvalidVersion, ValueError, TypeError) as error:  # some schemes of the library let the latter two out
        raise IncomparableError(version) from error


def _listed(version: str, versions: list[str] | tuple[()], scheme: type[Version]) -> bool:
    if version in versions or scheme is not PypiVersion:
        return version in versions
    # A pip lock says 2024.1.1 where the index says 2024.01.01.
    return any(_same(version, each) for each in versions)


def _same(one: str, other: str) -> bool:
    try:
        return bool(parse(one, PypiVersion) == parse(other, PypiVersion))
    except IncomparableError:
        return False


def _holds(one: Range, given: Version, scheme: type[Version]) -> bool:
    told = [each for event in one.events for each in event.told]
    limits = [version for name, version in told if name == "limit"]
    if limits and not any(each == "*" or given < parse(each, scheme) for each in limits):
        return False
    points = [(name, version != "0", parse(version, scheme)) for name, version in told if name != "limit"]
    inside = False
    for name, later, version in sorted(points, key=lambda each: each[1:]):
        match name:
            case "introduced" if not later or given >= version:
                inside = True
            case "fixed" if given >= version:
                inside = False
            case "last_affected" if given > version:
                inside = False
    return inside


def _fixes(one: Range, scheme: type[Version]) -> list[tuple[Version, str]]:
    return [(parse(each.fixed, scheme), each.fixed) for each in one.events if each.fixed is not None]
