"""The full bundles: `core` by two builders that differ in everything, and its whole way to a site; `gpu` once.

Each is verified by all three verifiers. What happens after the fetch happens where no network is.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance.base.progress import NoProgress
from appliance.bundle import release
from appliance.bundle.forecast import CLUSTER_BYTES
from appliance.bundle.hashing import hash_files
from appliance.bundle.manifest import Manifest
from appliance.bundle.reproduce import compare

ROOT = Path(__file__).parents[3]
OTHER = {
    **{"TZ": "Pacific/Auckland", "LC_ALL": "POSIX", "HOME": "/nonexistent", "USER": "other"},
    "PYTHONDONTWRITEBYTECODE": "",
}
SHARE = 0.3  # of the bundle on one volume: four of them, where no file is greater than that
VOLUMES = 4
ROUNDS = 3  # of hashing; the least counts
OFFLINE = ("unshare", "--net")


def prove(folder: Path, *, first: str = "core", others: Sequence[str] = ("gpu",)) -> Mapping[str, Any]:
    """Figures; AssertionError when a bundle differs or does not verify. Takes 15 GB in `folder` and the store."""
    releases = folder / "releases"
    _ask("site", "init", "--site", str(releases), "--set", "site.name=releases")
    _ask("trust", "enroll", "builder/proof", "--site", str(releases))
    root_digest = _ask("trust", "status", "--site", str(releases))["root_digest"]
    figures: dict[str, Any] = {}
    for name in (first, *others):
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
        if name == first:
            figures[name]["way_without_a_network"] = way(target, root_digest, folder / "way")
            figures[name]["hashing"] = hashing(target, release.read_manifest(target))
    second = folder / "in another place" / first
    second.parent.mkdir(mode=0o700)
    _ask("bundle", "build", first, "--out", str(second), "--checkout", str(ROOT), umask=0o077, environment=OTHER)
    one, other = release.read_manifest(folder / first), release.read_manifest(second)
    differs = compare(folder / first, one, second, other)
    assert not differs, differs[:5]
    return {**figures, "members_that_differ_between_two_builders": len(differs)}


def way(bundle: Path, root_digest: str, scratch: Path) -> Mapping[str, float]:
    """From the releaser's folder over four volumes into a site's folder: seconds of each step, none with a network."""
    made = release.read_manifest(bundle)
    spent: dict[str, float] = {}

    def step(name: str, *words: str) -> dict[str, Any]:
        began = time.monotonic()
        told = _ask(*words, offline=True)
        spent[f"{name}_s"] = round(time.monotonic() - began, 1)
        return told

    volumes, joined, root = scratch / "volumes", scratch / "joined", ("--root-digest", root_digest)
    assert step("verify", "bundle", "verify", str(bundle), *root)["verified"]
    assert step("inspect", "bundle", "inspect", str(bundle))["files"] == len(made.members)
    split = step("split", "bundle", "split", str(bundle), str(volumes), "--size", str(_size_of_volume(made)))
    assert split["count"] >= VOLUMES, split
    assert step("verify_volumes", "bundle", "verify", str(volumes), *root)["verified"]
    step("join", "bundle", "join", str(joined), *(str(each) for each in sorted(volumes.iterdir())))
    shutil.rmtree(volumes)
    assert step("verify_joined", "bundle", "verify", str(joined), *root)["verified"]
    differs = compare(bundle, made, joined, release.read_manifest(joined))
    assert not differs, differs[:5]
    shutil.rmtree(scratch)
    return {"volumes": split["count"], **spent}


def _size_of_volume(made: Manifest) -> int:
    """With what clusters and records of the files take."""
    return math.ceil((made.size_bytes + 2 * len(made.members) * CLUSTER_BYTES) * SHARE)


def hashing(bundle: Path, made: Manifest) -> Mapping[str, float]:
    """All members from the page cache by one worker and by two, and by openssl: least of the rounds, in turn."""
    sizes = {each.path: each.size_bytes for each in made.members}
    listed = {each.path: each.digest for each in made.members}

    def ours(workers: int) -> None:
        found = hash_files(bundle, sizes, NoProgress(), workers=workers)
        assert {each.path: each.digest for each in found} == listed

    def openssl() -> None:
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-r", *sorted(sizes)], cwd=bundle, capture_output=True, check=True
        )
        lines = (line.split(" *", 1) for line in done.stdout.decode().splitlines())
        assert {path: f"sha256:{digest}" for digest, path in lines} == listed

    ways: dict[str, Callable[[], None]] = {"one": lambda: ours(1), "two": lambda: ours(2), "openssl": openssl}
    clock, processor = dict.fromkeys(ways, math.inf), dict.fromkeys(ways, math.inf)
    for _ in range(ROUNDS):
        for name, work in ways.items():
            began, used = time.monotonic(), _processor_s()
            work()
            clock[name] = min(clock[name], time.monotonic() - began)
            processor[name] = min(processor[name], _processor_s() - used)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "one_worker_s": round(clock["one"], 2),
        "two_workers_s": round(clock["two"], 2),
        "two_workers_are_faster_by": round(clock["one"] / clock["two"], 2),
        "processor_s": round(processor["one"], 2),
        "openssl_processor_s": round(processor["openssl"], 2),
        "ratio_to_openssl_by_processor": round(processor["openssl"] / processor["one"], 2),
    }


def _processor_s() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _verifiers(folder: Path, root_digest: str) -> Mapping[str, Sequence[str]]:
    return {
        "appliance": _words("bundle", "verify", str(folder), "--root-digest", root_digest),
        "verify.pyz": ["python3", f"{folder}/verify.pyz", "release", str(folder), "--root-digest", root_digest],
        "verify.sh": ["bash", f"{folder}/verify.sh", "release", str(folder), root_digest],
    }


def _words(*words: str) -> list[str]:
    return [*OFFLINE, sys.executable, "-m", "appliance", *words]


def _ask(
    *words: str, umask: int = 0o022, environment: Mapping[str, str] | None = None, offline: bool = False
) -> dict[str, Any]:
    done = subprocess.run(
        [*(OFFLINE if offline else ()), sys.executable, "-m", "appliance", *words, "--json"],
        capture_output=True, check=False, umask=umask, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stdout.decode()[-2000:], done.stderr.decode()[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found
