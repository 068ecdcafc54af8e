"""Makes the lock of a bundle from its declaration and from what the sources offer now.

Rules
1. Debian's lists, pip's choice and the built servers are asked anew each time; the former lock is asked only which
   wheel pip chose, so that one which the store holds is not fetched a second time, and for licences of packages.
2. What comes is put into the store: wheels are fetched to know their size and licence, packages of Debian for their
   licence. A package that the former lock has with the same digest keeps its licence and is not fetched for it.
3. `made_at` is that of the former lock when nothing else changed: a lock without news is the same bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from appliance.base.clock import rfc3339
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import codes, debian, package_licences, servers, sources, wheels
from appliance.bundle.apt import Apt
from appliance.bundle.chunks import PIPS_AT_ONCE, Chunk, run_chunks
from appliance.bundle.declaration import Checkout, Wanted
from appliance.bundle.lock import Input, Lock, Package, parse, render
from appliance.bundle.store import Store
from appliance.bundle.wheels import Pin

CHUNK = 16  # distributions that one pip fetches; their sizes are not known before


def make(
    wanted: Wanted,
    *,
    checkout: Checkout,
    store: Store,
    former: Lock | None,
    now: dt.datetime,
    progress: Progress,
) -> Lock:
    """Ask the sources; gives the new lock and writes none. The caller holds `store.exclusive`.

    Raises:
        ApplianceError: APL-BUNDLE-001 to -008, -016, APL-BASE-002, -003.
    """
    found = servers.inputs(wanted.servers, checkout, progress)
    apt = Apt(store.incoming("apt"))
    progress.begin("ask Debian", 2)
    apt.update()
    progress.advance(1)
    base, packages = debian.resolve(apt, wanted.packages, base_updates=wanted.base_updates)
    progress.advance(1)
    found += _with_licences(packages, base, apt, store, former, progress)
    found += _wheels(wanted, checkout, store, former, progress)
    made = Lock(
        format="appliance-bundle-lock/1",
        bundle=wanted.name,
        made_at=rfc3339(now.replace(microsecond=0)),
        architecture="amd64",
        base=base,
        inputs=sorted(found, key=lambda each: each.path),
    )
    parse(render(made), where=wanted.name)  # what nobody could read is not written
    if former is not None and msgspec.structs.replace(made, made_at=former.made_at) == former:
        return former
    return made


def _with_licences(
    packages: Sequence[Input],
    base: Iterable[Package],
    apt: Apt,
    store: Store,
    former: Lock | None,
    progress: Progress,
) -> list[Input]:
    known = {each.digest: each.licence for each in (former.inputs if former else ()) if each.kind == "deb"}
    unknown = [each for each in packages if not known.get(each.digest)]
    sources.fetch_packages(unknown, apt=apt, store=store, progress=progress)
    brought = {each.name: each for each in packages}
    of_base = {each.name: each.version for each in base}

    def package_of(name: str, asker: str) -> Path | None:
        """That of the bundle, else that of the base: what `asker` needs is there in one of them."""
        each = brought.get(name)
        if each is None:
            stanza = apt.index.find(name, of_base.get(name, ""))
            if stanza is None:
                return None
            each = debian.as_input(stanza, [f"deb:{asker}"])
        if not store.has(each.digest, each.size_bytes):
            sources.fetch_packages([each], apt=apt, store=store, progress=progress)
        return store.path(each.digest)

    progress.begin("read licences", len(unknown))
    found = dict(known)
    for each in unknown:
        found[each.digest] = package_licences.licence(each.name, package_of)
        progress.advance(1)
    return [msgspec.structs.replace(each, licence=found[each.digest]) for each in packages]


def _wheels(wanted: Wanted, checkout: Checkout, store: Store, former: Lock | None, progress: Progress) -> list[Input]:
    reasons: dict[Pin, list[str]] = {}
    for environment in wanted.environments:
        path = checkout.wheels_lock(environment)
        for pin in wheels.parse_pins(path.read_text(encoding="utf-8"), where=str(path)):
            reasons.setdefault(pin, []).append(f"environment:{environment}")
    chosen: dict[Pin, tuple[str, str]] = {}  # name and digest of the file
    known = {each.digest: each for each in (former.inputs if former else ()) if each.kind == "wheel"}
    for pin in reasons:
        for digest in sorted(pin.digests & known.keys()):
            if store.has(digest, known[digest].size_bytes):
                chosen[pin] = (Path(known[digest].path).name, digest)
    rest = [pin for pin in reasons if pin not in chosen]

    def fetch(chunk: Chunk[Pin]) -> dict[Pin, tuple[str, str]]:
        return wheels.fetch(checkout.pip, chunk, store)

    progress.begin("fetch wheels", len(rest))
    chunks = [rest[start : start + CHUNK] for start in range(0, len(rest), CHUNK)]
    for chunk, names in run_chunks(chunks, fetch, at_once=PIPS_AT_ONCE):
        if isinstance(names, ApplianceError):
            raise names
        chosen |= names
        progress.advance(len(chunk))
    made: dict[str, Input] = {}
    for pin, why in reasons.items():
        if pin not in chosen:
            raise ApplianceError(codes.NOT_OFFERED, f"pip fetched no file of {pin.name} {pin.version}", where="pip")
        name, digest = chosen[pin]
        before = made[digest].wanted_by if digest in made else []
        made[digest] = wheels.describe(
            store.path(digest), pin, file_name=name, digest=digest, why=sorted({*before, *why})
        )
    return list(made.values())
