"""One run of ``appliance deploy preflight|install|verify``: lock, bundle, inventory, journal, playbook.

Rules
1. One run at a time on a host; the lock is the kernel's, and ends with us.
2. The bundle in its place is verified before anything of it is used; its digest is what the roles get.
3. The journal has a run before Ansible begins.
4. Preflight and ``--check`` change nothing but the journal.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from appliance.base import atomic
from appliance.base.clock import Clock, rfc3339
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.deploy import codes, host_bundle, inventory, journal, playbook
from appliance.deploy.events import Failure, HostSum
from appliance.deploy.places import Places
from appliance.trust.verdict import Verdict

Verb = Literal["preflight", "install", "verify"]
_PLAYBOOKS: dict[Verb, str] = {"preflight": "preflight", "install": "site", "verify": "verify"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    Attributes:
    inventory: None takes that of the host; where there is none, one for this host alone is made, which ``install``
        keeps.
        check: tell what would change, and change nothing.
        diff: show every difference.
    """

    verb: Verb
    bundle: Path
    root_digest: str
    inventory: Path | None = None
    check: bool = False
    diff: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Attributes:
    verdict: of a bundle that was refused; nothing else is set then but `release`, which is empty.
    words: Ansible's own last words, for a run that failed without a task that did.
    """

    run: str = ""
    release: str = ""
    verdict: Verdict | None = None
    status: int = 0
    seconds: float = 0.0
    hosts: dict[str, HostSum] | None = None
    failures: tuple[Failure, ...] = ()
    words: tuple[str, ...] = ()
    output: Path = Path()

    @property
    def ok(self) -> bool:
        return self.verdict is None and self.status == 0


def deploy(order: Order, *, places: Places, clock: Clock, progress: Progress, say: Callable[[str], None]) -> Outcome:
    """Carry it out. A bundle that does not hold and a playbook that fails are outcomes, not errors.

    Raises:
        ApplianceError: APL-BASE-006 another run is at work, APL-DEPLOY-001, -002, -005, APL-BASE-002 the
            journal cannot be written, and those of `host_bundle.verified`.
    """
    began = time.monotonic()
    with atomic.exclusive(places.lock, wait=False), contextlib.ExitStack() as held:
        verdict, bundle = host_bundle.verified(
            order.bundle,
            root_digest=order.root_digest,
            places=places,
            progress=progress,
            remembers=order.verb == "install" and not order.check,
        )
        if bundle is None:
            return Outcome(verdict=verdict)
        say(f"release {bundle.release} is verified")
        environment = playbook.settings(bundle, places.record / "ansible")
        where = held.enter_context(_inventory(order, bundle.folder, places, say))
        inventory.require_local(where, environment)
        now = clock.now()
        run = f"{now.astimezone(dt.UTC):%Y%m%dT%H%M%S.%fZ}-{order.verb}"
        record: dict[str, Any] = {
            "run": run,
            "verb": order.verb,
            "check": order.check,
            "who": journal.who(),
            "release": bundle.release,
            "manifest": bundle.manifest_digest,
            "inventory": inventory.digest(where),
        }
        journal.add(places.journal, {**record, "step": "begin", "at": rfc3339(now)})
        result, status, told = "stopped", 1, None
        try:
            status, told = playbook.run(
                playbook.words(
                    _PLAYBOOKS[order.verb], bundle=bundle, inventory=where, check=order.check, diff=order.diff
                ),
                environment=environment,
                folder=bundle.folder / "ansible",
                output=places.told(run),
                say=say,
            )
            result = "done" if status == 0 else "failed"
        except ApplianceError as error:
            result = error.code.id
            raise
        finally:
            seconds = round(time.monotonic() - began, 1)
            ended = {"step": "end", "at": rfc3339(clock.now()), "result": result, "seconds": seconds}
            hosts = {name: each.as_json for name, each in told.hosts.items()} if told else {}
            journal.add(places.journal, {**record, **ended, "hosts": hosts})
    return Outcome(
        run=run,
        release=bundle.release,
        status=status,
        seconds=seconds,
        hosts=told.hosts,
        failures=tuple(told.failures),
        words=tuple(told.words),
        output=places.told(run),
    )


@contextlib.contextmanager
def _inventory(order: Order, bundle: Path, places: Places, say: Callable[[str], None]) -> Iterator[Path]:
    if order.inventory is not None or places.inventory.exists():
        yield order.inventory or places.inventory
    elif order.verb == "install" and not order.check:
        inventory.write_for_this_host(bundle, places.inventory)
        say(f"there was no inventory: one for this host alone is in {places.inventory}")
        yield places.inventory
    elif order.verb == "verify":
        raise ApplianceError(codes.INVENTORY_UNUSABLE, "there is no inventory", where=str(places.inventory))
    else:  # what install would take, for this look alone
        with tempfile.TemporaryDirectory(prefix="appliance-inventory-") as folder:
            inventory.write_for_this_host(bundle, Path(folder) / "inventory")
            yield Path(folder) / "inventory"
