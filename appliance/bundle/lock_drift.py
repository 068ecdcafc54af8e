"""Whether a lock is still that of its declaration: a bundle that silently lacks what was declared later is none.

Rules
1. Nothing is asked of a network: the declaration, the roles, the recipes and the locks of environments are held against
   the lock. What the sources offer today is `bundle outdated`'s question.
2. An environment has a wheel of each pin and no other; a server its recipe's version; a Debian package is an input or
   of the base, and an input names each reason that is declared for it.
3. A reason that nobody declares any more is told as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from appliance.base.errors import ApplianceError
from appliance.bundle import codes, wheels
from appliance.bundle.declaration import Checkout, Wanted
from appliance.bundle.lock import Lock
from appliance.bundle.wheels import Pin

_SHOWN = 3  # differences that the error names


def require_current(locked: Lock, wanted: Wanted, checkout: Checkout) -> None:
    """Raises ApplianceError: APL-BUNDLE-032 naming what differs, -001 a lock of wheels cannot be read."""
    pins = {}
    for name in wanted.environments:
        path = checkout.wheels_lock(name)
        pins[name] = wheels.parse_pins(path.read_text(encoding="utf-8"), where=str(path))
    found = list(differences(locked, wanted, pins))
    if found:
        some = "; ".join(found[:_SHOWN])
        raise ApplianceError(
            codes.LOCK_OUTDATED, f"{len(found)} differences: {some}", where=str(checkout.lock(wanted.name)),
            hint=f"Renew it: appliance bundle lock {wanted.name}.",
        )  # fmt: skip


def differences(locked: Lock, wanted: Wanted, pins: Mapping[str, Sequence[Pin]]) -> Iterator[str]:
    """What of the declaration the lock lacks, and what it has that nobody declares. Pure.

    Args:
        pins: environment -> the pins of its lock of wheels.
    """
    reasons = {reason for each in locked.inputs for reason in each.wanted_by if not reason.startswith("deb:")}
    for name, some in pins.items():
        wheel = {
            each.digest for each in locked.inputs if each.kind == "wheel" and f"environment:{name}" in each.wanted_by
        }
        for pin in some:
            if not wheel & pin.digests:
                yield f"environment {name} lacks {pin.name} {pin.version}"
            wheel -= pin.digests
        if wheel:
            yield f"environment {name} has {len(wheel)} wheels that it does not pin"
    servers = {(each.name, each.version) for each in locked.inputs if each.kind == "server"}
    for recipe in wanted.servers:
        if (recipe.name, recipe.version) not in servers:
            yield f"server {recipe.name} {recipe.version} is missing"
    packages = {each.name: set(each.wanted_by) for each in locked.inputs if each.kind == "deb"}
    base = {each.name for each in locked.base}
    for package, why in wanted.packages.items():
        if package not in packages and package not in base:
            yield f"package {package} is missing, for {', '.join(why)}"
        elif package in packages and not packages[package] >= set(why):
            yield f"package {package} does not name {', '.join(sorted(set(why) - packages[package]))}"
    declared = {f"environment:{name}" for name in pins} | {f"server:{each.name}" for each in wanted.servers}
    declared |= {reason for why in wanted.packages.values() for reason in why} | set(wanted.base_updates)
    yield from (f"{reason} is not declared" for reason in sorted(reasons - declared))
