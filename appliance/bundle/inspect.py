"""What is in a bundle and why: read from its manifest and lock, unverified. Pure but for `read`.

A member comes from an input of the lock, or from our own repository. `why` follows `wanted_by` from an input up to the
declaration, one shortest way (`bundle.lock`, rule 2).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.bundle import codes, lock, release
from appliance.bundle.lock import Input, Lock
from appliance.bundle.manifest import Manifest

OWN = {
    "start": "the first page of every bundle",
    "verifier": "the verifiers of every bundle, made from our repository",
    "wheels": "our own wheel, made from our repository",
    "docs": "the documentation, made from our repository",
    "ansible": "Ansible roles and playbooks of our repository",
    "apt": "the index of the packages in apt/pool, made from the lock",
    "sbom": "the bill of materials, made from the lock",
    "lock": "the lock that the bundle was made from",
}
NO_LICENCE = "not stated"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A bundle as it describes itself."""

    manifest: Manifest
    lock: Lock

    @property
    def inputs(self) -> Mapping[str, Input]:
        return {each.path: each for each in self.lock.inputs}


def read(folder: Path) -> Contents:
    """Raises ApplianceError: APL-BUNDLE-029 or -020 no manifest, -002 no lock."""
    made = release.read_manifest(folder)
    return Contents(manifest=made, lock=lock.load(folder / f"{made.bundle}.lock.json"))


def parts(contents: Contents) -> Mapping[str, tuple[int, int]]:
    """Part -> files, bytes; the largest first."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for each in contents.manifest.members:
        files[each.part] += 1
        sizes[each.part] += each.size_bytes
    return {part: (files[part], sizes[part]) for part, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))}


def licences(contents: Contents) -> Mapping[str, Sequence[str]]:
    """Licence -> ``kind name version`` of what has it, each once; the most frequent first."""
    found: dict[str, set[str]] = {}
    for each in contents.lock.inputs:
        found.setdefault(each.licence or NO_LICENCE, set()).add(named(each))
    return {name: sorted(found[name]) for name in sorted(found, key=lambda name: (-len(found[name]), name))}


def named(each: Input) -> str:
    return f"{each.kind} {each.name} {each.version}"


def why(contents: Contents, path: str) -> Sequence[str]:
    """From the file up: what it is, who wants that, and who wants that one, up to the declaration.

    Raises:
        ApplianceError: APL-BUNDLE-030, there is no such member.
    """
    member = next((each for each in contents.manifest.members if each.path == path), None)
    if member is None:
        raise ApplianceError(codes.NO_MEMBER, f"no member is called {path!r}")
    given = contents.inputs.get(path)
    if given is None:
        return [path, OWN.get(member.part, "made from our repository")]
    return [path, f"{named(given)} from {given.origin}", *_chain(contents.lock, given)]


def own_files(before: Contents, now: Contents) -> Sequence[tuple[str, str]]:
    """Files made from our repository that are not the same: path and ``added``, ``removed`` or ``changed``.

    What came from elsewhere is compared by `bundle.difference`.
    """
    old, new = (
        {each.path: each for each in one.manifest.members if each.path not in one.inputs} for one in (before, now)
    )
    told = {path: "removed" if path not in new else "added" for path in old.keys() ^ new.keys()}
    told |= {path: "changed" for path in old.keys() & new.keys() if old[path] != new[path]}
    return sorted(told.items())


def _chain(locked: Lock, given: Input) -> list[str]:
    """Reasons from `given` to the declaration, breadth first: one of the shortest ways."""
    by_name: dict[str, Input] = {}
    for each in locked.inputs:
        by_name.setdefault(f"{each.kind}:{each.name}", each)
    ways: deque[tuple[Input, list[str]]] = deque([(given, [])])
    seen = {given.path}
    while ways:
        each, way = ways.popleft()
        for reason in each.wanted_by:
            above = by_name.get(reason)
            if above is None:
                return [*way, f"wanted by {reason}"]
            if above.path not in seen:
                seen.add(above.path)
                ways.append((above, [*way, f"wanted by {named(above)}"]))
    return ["wanted by nobody that the lock names"]
