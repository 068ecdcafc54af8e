"""A bare Debian 12: what debootstrap's smallest variant has, and the three packages that the verifiers name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.base.atomic import exclusive

ROOT = Path(__file__).parents[1] / "build" / "bare-debian"
PACKAGES = "openssl,jq,python3-cryptography,python3-cffi-backend"


@pytest.fixture(scope="session")
def bare_debian() -> Path:
    """A root folder, kept below build/ for the next run. The mirror is the one that this machine's apt uses."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap")
    done = ROOT.with_name(f"{ROOT.name}.complete")
    with exclusive(ROOT.with_name(f"{ROOT.name}.lock")):  # tests run side by side
        if not done.exists():
            shutil.rmtree(ROOT, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(ROOT), mirror()]
            made = subprocess.run(command, capture_output=True, text=True, timeout=900)
            assert made.returncode == 0, (made.stdout + made.stderr)[-3000:]
            done.touch()
    return ROOT


def mirror() -> str:
    """Of Debian 12, as this machine's apt knows it."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME) $(COMPONENT)"],
        capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    sites = [line.split(" ")[0] for line in listed if line.endswith(" bookworm main")]
    if not sites:
        pytest.skip("apt knows no mirror of Debian 12")
    return sites[0]
