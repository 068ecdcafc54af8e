"""The full bundles: `core` by two builders that differ in everything, `gpu` once; each verified by all three."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance.bundle import release
from appliance.bundle.reproduce import compare

ROOT = Path(__file__).parents[3]
OTHER = {"TZ": "Pacific/Auckland", "LC_ALL": "POSIX", "HOME": "/nonexistent", "USER": "other"}


def prove(folder: Path) -> Mapping[str, Any]:
    """Figures; AssertionError when a bundle differs or does not verify. Takes 15 GB in `folder` and the store."""
    releases = folder / "releases"
    _ask("site", "init", "--site", str(releases), "--set", "site.name=releases")
    _ask("trust", "enroll", "builder/proof", "--site", str(releases))
    root_digest = _ask("trust", "status", "--site", str(releases))["root_digest"]
    figures: dict[str, Any] = {}
    for name in ("core", "gpu"):
        fetched = _ask("bundle", "fetch", name, "--checkout", str(ROOT))
        assert not fetched["failures"], fetched["failures"]
        target = folder / name
        began = time.monotonic()
        made = _ask("bundle", "build", name, "--out", str(target), "--checkout", str(ROOT))
        figures[name] = {**made, "assembled_s": round(time.monotonic() - began, 1)}
        del figures[name]["folder"]
        _ask("bundle", "sign", str(target), "--as", "builder/proof", "--site", str(releases))
        for who, words in _verifiers(target, root_digest).items():
            began = time.monotonic()
            done = subprocess.run(words, capture_output=True, check=False)
            assert done.returncode == 0, done.stdout.decode()[-2000:]
            figures[name][f"{who}_s"] = round(time.monotonic() - began, 1)
    second = folder / "in another place" / "core"
    second.parent.mkdir(mode=0o700)
    _ask("bundle", "build", "core", "--out", str(second), "--checkout", str(ROOT), umask=0o077, environment=OTHER)
    one, other = release.read_manifest(folder / "core"), release.read_manifest(second)
    differs = compare(folder / "core", one, second, other)
    assert not differs, differs[:5]
    return {**figures, "members_that_differ_between_two_builders": len(differs)}


def _verifiers(folder: Path, root_digest: str) -> Mapping[str, Sequence[str]]:
    return {
        "appliance": _words("bundle", "verify", str(folder), "--root-digest", root_digest),
        "verify.pyz": ["python3", f"{folder}/verify.pyz", "release", str(folder), "--root-digest", root_digest],
        "verify.sh": ["bash", f"{folder}/verify.sh", "release", str(folder), root_digest],
    }


def _words(*words: str) -> list[str]:
    return ["unshare", "--net", sys.executable, "-m", "appliance", *words]


def _ask(*words: str, umask: int = 0o022, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *words, "--json"],
        capture_output=True, check=False, umask=umask, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stdout.decode()[-2000:], done.stderr.decode()[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found
