"""The bill of materials of a bundle: CycloneDX 1.6 (ECMA-424), made by the specification's own library.

Rules
1. A component for each package, distribution, server and model of the lock, with version, licence, package URL and, as
   its parts, the files that it is in the bundle, each with its SHA-256. Our own files are parts of the product.
2. What is inside a file that others built in: Go modules as their program lists them, Go's own library as `stdlib`,
   Maven coordinates by the digest of the jar. They are parts of the file.
3. The package URL of a Debian package names the source package as ``upstream``, as scanners expect it: advisories are
   about source packages.
4. Every member is there once but the bill itself. Nothing is random and no clock is read: the serial number is a hash
   of the lock and of the members.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from appliance.base import process
from appliance.base.clock import parse_rfc3339
from appliance.base.digest import digest_json, hex_of
from appliance.bundle.lock import Input, Lock
from appliance.bundle.manifest import Member

NAME = "sbom/bundle.cdx.json"
_PRODUCT = "appliance"
_TYPES = {
    "deb": ComponentType.LIBRARY,
    "wheel": ComponentType.LIBRARY,
    "server": ComponentType.APPLICATION,
    "model": ComponentType.MACHINE_LEARNING_MODEL,
    "data": ComponentType.DATA,
}
_TIMEOUT_S = 60.0
STDLIB = "stdlib"  # what advisories call Go's own library
_COMPILER = re.compile(r": go(\d+\.\d+(?:\.\d+)?(?:(?:rc|beta)\d+)?)\b")
_Key = tuple[str, str, str]  # kind, name, version


@dataclass(frozen=True, kw_only=True)
class Module:
    """A Go module that a program was built from, with the sum of go.sum; empty for Go's own library."""

    path: str
    version: str
    sum: str


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What is known of the inside of files.

    Attributes:
        modules: path of a program in the bundle -> its Go modules.
        coordinates: digest of a jar -> ``group:artifact:version``.
    """

    modules: Mapping[str, Sequence[Module]] = field(default_factory=dict)
    coordinates: Mapping[str, str] = field(default_factory=dict)


def render(locked: Lock, *, version: str, members: Sequence[Member], inside: Inside) -> bytes:
    """The bill of the members, as JSON."""
    product = Component(
        type=ComponentType.PLATFORM, name=_PRODUCT, version=version, bom_ref=f"{_PRODUCT}@{version}",
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )  # fmt: skip
    inputs = {each.path: each for each in locked.inputs}
    by_path = {each.path: each for each in members}
    of: dict[tuple[str, str, str], list[Input]] = {}
    for each in locked.inputs:
        of.setdefault((each.kind, each.name, each.version), []).append(each)
    packages = {key: _package(some, by_path, inside) for key, some in sorted(of.items())}
    components = list(packages.values())
    own = [_file(each, inside) for each in members if each.path not in inputs]
    components.append(
        Component(
            type=ComponentType.APPLICATION, name=f"{_PRODUCT}-{locked.bundle}", version=version,
            bom_ref=f"own@{version}", licenses=[LicenseFactory().make_from_string("Apache-2.0")], components=own,
        )
    )  # fmt: skip
    identity = digest_json(
        {"bundle": locked.bundle, "version": version, "members": {e.path: e.digest for e in members}}
    )
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, identity),
        metadata=BomMetaData(timestamp=parse_rfc3339(locked.made_at), component=product),
        components=components,
    )
    _register(bom, product, packages, of)
    return JsonV1Dot6(bom).output_as_string(indent=1).encode() + b"\n"


def _register(
    bom: Bom, product: Component, packages: Mapping[_Key, Component], of: Mapping[_Key, Sequence[Input]]
) -> None:
    """Who depends on whom: a Debian package on those that it asked for, the product on everything else."""
    asked: dict[str, list[Component]] = {}
    for key, some in of.items():
        reasons = {reason for each in some for reason in each.wanted_by}
        for parent in reasons:
            asked.setdefault(parent if parent.startswith("deb:") else "", []).append(packages[key])
    wanted_by_packages = {id(each) for parent, some in asked.items() if parent for each in some}
    direct = [each for each in bom.components if id(each) not in wanted_by_packages]
    bom.register_dependency(product, {id(each): each for each in (*direct, *asked.get("", ()))}.values())
    for (kind, name, _), component in packages.items():
        bom.register_dependency(component, asked.get(f"{kind}:{name}", []))


def read_inside(folder: Path, members: Iterable[Member], go: Path, locks: Iterable[Path]) -> Inside:
    """Ask the Go toolchain about the programs below ``servers/``, and read the locks of Maven recipes.

    Raises:
        ApplianceError: APL-BASE-003, the toolchain cannot be started.
    """
    coordinates = {}
    for path in locks:
        for line in path.read_text(encoding="utf-8").splitlines():
            coordinate, _, sha256 = line.partition(" ")
            coordinates[f"sha256:{sha256}"] = coordinate
    programs = [each.path for each in members if each.executable and each.path.startswith("servers/")]
    modules = {path: _modules(go, folder / path) for path in programs}
    return Inside(modules={path: some for path, some in modules.items() if some}, coordinates=coordinates)


def _modules(go: Path, program: Path) -> tuple[Module, ...]:
    done = process.run([go, "version", "-m", program], timeout_s=_TIMEOUT_S, check=False)
    found: list[Module] = []
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    compiler = _COMPILER.search(lines[0]) if lines else None
    for line in lines:
        words = line.split("\t")[1:]
        if len(words) == 4 and words[0] in ("dep", "=>"):
            if words[0] == "=>" and found:
                found.pop()  # replaced by this one
            found.append(Module(path=words[1], version=words[2], sum=words[3]))
    own = [Module(path=STDLIB, version=compiler[1], sum="")] if compiler else []
    return (*own, *found)


def _package(some: Sequence[Input], members: Mapping[str, Member], inside: Inside) -> Component:
    first = some[0]
    return Component(
        type=_TYPES[first.kind],
        name=first.name,
        version=first.version,
        bom_ref=f"{first.kind}:{first.name}@{first.version}",
        purl=purl(first),
        licenses=[licence(first.licence)] if first.licence else [],
        properties=[Property(name="appliance:origin", value=first.origin)],
        components=[_file(members[each.path], inside) for each in some],
    )


def licence(words: str) -> License:
    """An SPDX identifier or expression where `words` are one, else a licence of that name."""
    made = LicenseFactory().make_from_string(words)
    # The library knows no reference of our own to a text in a copyright file, which SPDX allows in an expression.
    if "LicenseRef-" in words and isinstance(made, DisjunctiveLicense):
        return LicenseExpression(words)
    return made


def _file(member: Member, inside: Inside) -> Component:
    modules = [_module(member.path, each) for each in inside.modules.get(member.path, ())]
    coordinate = inside.coordinates.get(member.digest)
    return Component(
        type=ComponentType.FILE,
        name=member.path,
        bom_ref=f"file:{member.path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hex_of(member.digest))],
        properties=[Property(name="appliance:size_bytes", value=str(member.size_bytes))],
        components=[*modules, *([_jar(member.path, coordinate)] if coordinate else [])],
    )


def _module(path: str, each: Module) -> Component:
    namespace, _, name = each.path.rpartition("/")
    return Component(
        type=ComponentType.LIBRARY,
        name=each.path,
        version=each.version,
        bom_ref=f"{path}#{each.path}@{each.version}",
        purl=PackageURL("golang", namespace or None, name, each.version),
        properties=[Property(name="appliance:go_sum", value=each.sum)] if each.sum else [],
    )


def _jar(path: str, coordinate: str) -> Component:
    group, artifact, version = coordinate.partition("@")[0].split(":")[:3]
    return Component(
        type=ComponentType.LIBRARY,
        group=group,
        name=artifact,
        version=version,
        bom_ref=f"{path}#{coordinate}",
        purl=PackageURL(type="maven", namespace=group, name=artifact, version=version),
    )


def purl(each: Input) -> PackageURL:
    """The package URL of what an input is of."""
    match each.kind:
        case "deb":
            upstream = {"upstream": f"{each.source.name}@{each.source.version}"} if each.source else {}
            qualifiers = {"arch": "amd64", "distro": "bookworm", **upstream}
            return PackageURL("deb", "debian", each.name, each.version, qualifiers)
        case "wheel":
            return PackageURL("pypi", None, each.name, each.version)
        case _:
            return PackageURL("generic", None, each.name, each.version)
