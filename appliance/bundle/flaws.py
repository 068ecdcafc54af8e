"""Known flaws of what a bundle brings: its packages by their package URLs, held against advisories.

Rules
1. A package is what a package URL names. A bundle's bill of materials has them all: packages of Debian, distributions,
   and inside of programs and jars Go modules and Maven coordinates. A lock alone has the first two.
2. Debian's advisories are about source packages, so a binary package is judged by the name and version of its source.
   The signed kernel is a source of its own whose version is that of the kernel's source; it is judged as the latter.
3. Records that are aliases of each other are one flaw. The first id by name stands for it.
4. What cannot be judged is told, never left out: a version that nobody can compare, of a package or of a record about
   one, and an ecosystem without advisories.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from appliance.base.errors import ApplianceError
from appliance.bundle import codes, sbom
from appliance.bundle.advisories import Advisories, Advisory, Affected
from appliance.bundle.affected import IncomparableError, judge
from appliance.bundle.lock import Lock

_DEBIAN = {"bookworm": "Debian:12"}
_OTHERS = {"golang": "Go", "maven": "Maven", "pypi": "PyPI"}
_SIGNED = re.compile(r"(?P<source>linux)-signed-[a-z0-9]+")


@dataclass(frozen=True, kw_only=True, order=True)
class Package:
    """Attributes:
    ecosystem, name, version: as advisories name it.
    files: in the bundle, in order.
    """

    ecosystem: str
    name: str
    version: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """Attributes:
    id: of the record, the first by name where several are one flaw.
    aliases: its other names, in order.
    upstream: the flaws that a distribution's advisory is about, in order; often several, so they are no aliases.
    severity: a word or a CVSS vector, as the record has it; empty when it tells none.
    fixed: the first version that mends it, empty when none is told.
    """

    package: Package
    id: str
    aliases: tuple[str, ...]
    upstream: tuple[str, ...]
    severity: str
    fixed: str

    @property
    def names(self) -> set[tuple[str, str, str]]:
        """What two findings of one flaw have in common, whatever the version."""
        return {(self.package.ecosystem, self.package.name, each) for each in (self.id, *self.aliases)}

    def as_json(self) -> dict[str, Any]:
        return {**msgspec.to_builtins(self.package), "id": self.id, "aliases": list(self.aliases),
                "upstream": list(self.upstream), "severity": self.severity, "fixed": self.fixed}  # fmt: skip


@dataclass(frozen=True, kw_only=True, order=True)
class Unjudged:
    """A record that has a version which its ecosystem does not know. Real dumps have such.

    Attributes:
    file: where it lies.
    package: that it is about, as the bundle has it.
    """

    file: str
    id: str
    package: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """Attributes:
    flaws: in order of package and id.
    not_judged: packages with a version that cannot be compared with that of a record.
    records_not_judged: in order of file; a flaw that one of them is about may be missing.
    without_advisories: ecosystems of packages that no record is about.
    """

    packages: int
    flaws: list[Flaw]
    not_judged: list[Package]
    records_not_judged: list[Unjudged]
    without_advisories: list[str]


def of_lock(lock: Lock) -> list[Package]:
    """Packages of Debian and distributions."""
    return _merged((sbom.purl(each), each.path) for each in lock.inputs)


class _Component(msgspec.Struct, frozen=True):
    name: str
    type: str = ""
    purl: str | None = None
    components: list[_Component] = []


class _Bill(msgspec.Struct, frozen=True):
    components: list[_Component]


def of_bill(data: bytes, *, where: str) -> list[Package]:
    """All that a bill of materials names by a package URL.

    Raises:
        ApplianceError: APL-BUNDLE-031.
    """
    try:
        bill = msgspec.json.decode(data, type=_Bill)
        return _merged((PackageURL.from_string(url), path) for one in bill.components for url, path in _walk(one, ""))
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ApplianceError(codes.BILL_INVALID, str(error), where=where) from error


def of_folder(folder: Path) -> list[Package]:
    """Raises ApplianceError: APL-BUNDLE-031, the bundle has no bill of materials or one that cannot be read."""
    path = folder / sbom.NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ApplianceError(codes.BILL_INVALID, f"cannot be read: {error.strerror}", where=str(path)) from error
    return of_bill(data, where=str(path))


def find(packages: Sequence[Package], advisories: Advisories) -> Found:
    """The flaws of `packages`."""
    about: dict[tuple[str, str], list[tuple[Advisory, Affected]]] = {}
    for advisory in advisories.standing:
        for affected in advisory.record.affected or ():
            if affected.package:
                key = (affected.package.ecosystem, _normal(affected.package.ecosystem, affected.package.name))
                about.setdefault(key, []).append((advisory, affected))
    flaws, not_judged = [], []
    unjudged: set[Unjudged] = set()
    for package in packages:
        hits: dict[str, Flaw] = {}
        for advisory, affected in about.get((package.ecosystem, _normal(package.ecosystem, package.name)), ()):
            try:
                judged = judge(package.version, affected, ecosystem=package.ecosystem)
            except IncomparableError as error:
                if str(error) == package.version:
                    not_judged.append(package)
                else:
                    unjudged.add(_unjudged(package, advisory, error))
                continue
            if judged.affected:
                _put(hits, _flaw(package, advisory, affected, judged.fixed))
        flaws += [hits[name] for name in sorted(hits)]
    known = advisories.ecosystems
    return Found(
        packages=len(packages),
        flaws=flaws,
        not_judged=sorted(set(not_judged)),
        records_not_judged=sorted(unjudged),
        without_advisories=sorted({each.ecosystem for each in packages} - known),
    )


def _unjudged(package: Package, advisory: Advisory, error: IncomparableError) -> Unjudged:
    reason = f"{package.ecosystem} knows no version {str(error)!r}"
    return Unjudged(file=advisory.where, id=advisory.record.id, package=package.name, reason=reason)


def beside(flaws: Iterable[Flaw], others: Iterable[Flaw]) -> list[Flaw]:
    """Those of `flaws` that are not among `others`: mended, or brought in, by who stands first."""
    known = {name for each in others for name in each.names}
    return [each for each in flaws if not each.names & known]


def _flaw(package: Package, advisory: Advisory, affected: Affected, fixed: str) -> Flaw:
    record = advisory.record
    return Flaw(
        package=package,
        id=record.id,
        aliases=tuple(sorted({*(record.aliases or ())} - {record.id})),
        upstream=tuple(sorted({*(record.upstream or ())})),
        severity=_severity(advisory, affected),
        fixed=fixed,
    )


def _put(hits: dict[str, Flaw], flaw: Flaw) -> None:
    """Add it, joined with those that are the same flaw by another name."""
    for other in [each for each in hits.values() if each.names & flaw.names]:
        del hits[other.id]
        first = min(flaw, other, key=lambda each: each.id)
        names = {flaw.id, other.id, *flaw.aliases, *other.aliases} - {first.id}
        flaw = Flaw(
            package=flaw.package, id=first.id, aliases=tuple(sorted(names)),
            upstream=tuple(sorted({*flaw.upstream, *other.upstream})),
            severity=first.severity or flaw.severity or other.severity, fixed=first.fixed or flaw.fixed or other.fixed,
        )  # fmt: skip
    hits[flaw.id] = flaw


def _severity(advisory: Advisory, affected: Affected) -> str:
    for some in (affected.ecosystem_specific, affected.database_specific, advisory.record.database_specific):
        for key in ("severity", "urgency"):
            word = (some or {}).get(key)
            if isinstance(word, str) and word:
                return word.lower()
    vectors = sorted(affected.severity or advisory.record.severity or (), key=lambda each: each.type)
    return vectors[-1].score if vectors else ""


def _walk(one: _Component, file: str) -> Iterable[tuple[str, str]]:
    """Each package URL with the file that holds it: the one around it, else the files that it is."""
    around = one.name if one.type == "file" else file
    if one.purl:
        files = [around] if around else [each.name for each in one.components if each.type == "file"] or [""]
        yield from ((one.purl, each) for each in files)
    for each in one.components:
        yield from _walk(each, around)


def _merged(given: Iterable[tuple[PackageURL, str]]) -> list[Package]:
    files: dict[tuple[str, str, str], set[str]] = {}
    for url, path in given:
        key = _key(url)
        if key:
            files.setdefault(key, set()).add(path)
    return [
        Package(ecosystem=key[0], name=key[1], version=key[2], files=tuple(sorted(files[key] - {""})))
        for key in sorted(files)
    ]


def _key(url: PackageURL) -> tuple[str, str, str] | None:
    """Ecosystem, name and version; None where there are no advisories for such a thing."""
    version = url.version or ""
    if url.type == "deb":
        qualifiers = url.qualifiers if isinstance(url.qualifiers, dict) else {}
        ecosystem = _DEBIAN.get(qualifiers.get("distro", ""))
        source, _, of_source = qualifiers.get("upstream", url.name).partition("@")
        signed = _SIGNED.fullmatch(source)
        source, version = (signed["source"] if signed else source), of_source or version
        return (ecosystem, source, re.sub(r"\+(\d+)\Z", r"-\1", version) if signed else version) if ecosystem else None
    separator = ":" if url.type == "maven" else "/"
    name = separator.join(filter(None, (url.namespace, url.name)))
    return (_OTHERS[url.type], name, version) if url.type in _OTHERS else None


def _normal(ecosystem: str, name: str) -> str:
    return canonicalize_name(name) if ecosystem == "PyPI" else name.lower() if ecosystem == "Go" else name
