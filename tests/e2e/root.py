"""The Debian 12 of the test hosts: a root folder made once by debootstrap, and never changed afterwards.

Rules
1. It has the packages that a bundle counts as the base of a host (`appliance.bundle.debian`), what a host needs to
   boot and to be reached (`SYSTEM`), and what these depend on: nothing that a bundle is to bring.
2. It is cached below ``build/`` by its recipe; another recipe makes another root beside it. Hosts lay an overlay over
   it, so that one is made in seconds.
3. It names no mirror, no resolver and no machine, and has no key: a host gets those of its own, as one that was
   installed from Debian's own medium.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from appliance.base.atomic import exclusive
from appliance.bundle.debian import BASE
from tests.bare_debian import mirror

CHECKOUT = Path(__file__).parents[2]
SUITE = "bookworm"
SYSTEM = ("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "iproute2", "procps")
UNRESOLVED = ("python3-cffi-backend",)
"""Of the base: debootstrap does not follow the virtual package by which python3-cryptography depends on it."""
EMPTIED = ("etc/apt/sources.list", "etc/hostname", "etc/machine-id", "etc/resolv.conf")
REMOVED = ("etc/ssh/ssh_host_*", "var/cache/apt/archives/*.deb", "var/lib/apt/lists/*_*", "var/log/*.log")
RECIPE = {
    "suite": SUITE,
    "packages": sorted({*SYSTEM, *BASE, *UNRESOLVED}),
    "emptied": EMPTIED,
    "removed": REMOVED,
}
TIMEOUT_S = 900


def make() -> Path:
    """The root folder: made in a minute or two when there is none of this recipe, else at once.

    Raises:
        OSError, subprocess.CalledProcessError: it cannot be made; nothing half made is taken for a root later.
    """
    key = hashlib.sha256(json.dumps(RECIPE, sort_keys=True).encode()).hexdigest()[:12]
    root = CHECKOUT / "build" / f"e2e-root-{key}"
    with exclusive(root.with_name(f"{root.name}.lock")):  # tests run side by side
        if not root.is_dir():
            _bootstrap(root)
    return root


def _bootstrap(root: Path) -> None:
    made = root.with_name(f"{root.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    packages = ",".join(RECIPE["packages"])
    words = ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(made), mirror()]
    log = root.with_name(f"{root.name}.log")
    with log.open("wb") as file:
        try:
            subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, check=True, timeout=TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            error.add_note(log.read_text(errors="replace")[-3000:])
            raise
    for name in EMPTIED:
        (made / name).write_bytes(b"")
    for pattern in REMOVED:
        for path in made.glob(pattern):
            path.unlink()
    os.sync()  # a root that a power cut left half written would be taken for a whole one
    made.rename(root)
