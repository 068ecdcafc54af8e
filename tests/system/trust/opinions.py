"""How the builds of the second verifier, and the third one, are asked."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from appliance.trust import standalone

BUILDS = {
    "verify.py": standalone.build_verify_py,
    "verify.pyz": standalone.build_pyz,
    "verify.sh": standalone.read_verify_sh,
}


def command(verifier: str, pack: str, root_digest: str) -> list[str]:
    """What an auditor types; `verifier` is the path of one of `BUILDS`."""
    if verifier.endswith(".sh"):
        return ["bash", verifier, "pack", pack, root_digest]
    return ["python3", verifier, "pack", "--root-digest", root_digest, pack]


def ask(arguments: Sequence[str]) -> str | None:
    """The refused step, or None when everything holds."""
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr == ""
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode == 0:
        assert last == "VERIFIED"
        return None
    assert (done.returncode, last[:8]) == (3, "REFUSED "), done.stdout
    return last[8:].partition(":")[0]


def write_builds(folder: Path) -> None:
    for name, build in BUILDS.items():
        (folder / name).write_bytes(build())
