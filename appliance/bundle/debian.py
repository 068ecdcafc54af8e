"""The Debian packages of a bundle: what the bare host has, and what an installation brings to it.

Rules
1. The bare host, the `base`, is debootstrap's smallest variant of the release with `BASE`. Its versions are those of
   the release without later fixes: a host that was set up from Debian's own medium is no newer.
2. apt itself finds what is brought. A package of the base is among it in a newer version where a package that is
   wanted needs that one, and, where the declaration says ``base_updates``, for every package that has a fix.
3. Every package keeps its reasons: those of the declaration, and ``deb:PARENT`` for each package of the bundle that
   depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.bundle.apt import Apt
from appliance.bundle.debian_index import Stanza
from appliance.bundle.lock import Input, Package

BASE = ("apt", "usr-is-merged", "openssl", "jq", "python3-cryptography")
"""Beside all required packages: what debootstrap adds, and what the verifiers that need no installation name."""


def resolve(
    apt: Apt, wanted: Mapping[str, Sequence[str]], *, base_updates: Sequence[str] = ()
) -> tuple[list[Package], list[Input]]:
    """The base, and an input for each package beyond it, both in order of name. `apt` must be up to date.

    Args:
        wanted: names of packages with the reasons why.
        base_updates: reasons why the base is brought up to date; none: it is not.

    Raises:
        ApplianceError: APL-BUNDLE-003 Debian does not offer one, -007 they do not fit together.
    """
    absent = [name for name in wanted if name not in apt.index]
    if absent:
        listed = ", ".join(f"{name} ({', '.join(wanted[name])})" for name in absent)
        message = f"Debian as this machine's apt sees it has no {listed}"
        hint = (
            "Add the component that has it (contrib, non-free, non-free-firmware) to the Debian sources of this "
            "machine's apt, or take the package out of what wants it."
        )
        raise ApplianceError(codes.NOT_OFFERED, message, where="apt", hint=hint)
    host = apt.resolve([*apt.index.required(), *BASE], (), as_released=True)
    reasons = {name: set(why) for name, why in wanted.items()}
    if base_updates:
        for name in [each.name for each in host]:
            reasons.setdefault(name, set()).update(base_updates)
    brought = apt.resolve(sorted(reasons), host) if reasons else []
    why = wanted_by(brought, reasons)
    base = [Package(name=each.name, version=each.version) for each in host]
    return base, [as_input(each, why[each.name]) for each in brought]


def wanted_by(brought: Iterable[Stanza], declared: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The reasons for each package of `brought`, in order.

    Raises:
        ApplianceError: APL-BUNDLE-007 one has none, so that nobody could say why it is there.
    """
    stanzas = list(brought)
    reasons: dict[str, set[str]] = {each.name: set(declared.get(each.name, ())) for each in stanzas}
    carriers: dict[str, set[str]] = {}
    for each in stanzas:
        for name in {each.name, *each.provides()}:
            carriers.setdefault(name, set()).add(each.name)
    for each in stanzas:
        for name in each.needs():
            for carrier in carriers.get(name, set()) - {each.name}:
                reasons[carrier].add(f"deb:{each.name}")
    unexplained = sorted(name for name, why in reasons.items() if not why)
    if unexplained:
        message = f"apt brings {', '.join(unexplained)}, which nothing that it brings depends on"
        raise ApplianceError(codes.UNRESOLVED, message, where="apt")
    return {name: sorted(why) for name, why in reasons.items()}


def as_input(stanza: Stanza, why: list[str]) -> Input:
    """Without a licence: the lists of Debian tell none."""
    return Input(
        kind="deb",
        name=stanza.name,
        version=stanza.version,
        path=f"apt/pool/{stanza.file_name}",
        size_bytes=stanza.size_bytes,
        digest=stanza.digest,
        origin=f"Debian {stanza.suite}",
        source=Package(name=stanza.source[0], version=stanza.source[1]),
        wanted_by=why,
    )
