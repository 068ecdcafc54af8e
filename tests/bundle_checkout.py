"""A small checkout of our repository for tests of the bundle: declarations, pip locks, recipes and built servers."""

import hashlib
import json
from pathlib import Path

from appliance.base.digest import digest_bytes
from appliance.bundle.declaration import Checkout
from appliance.bundle.lock import Input, Lock, Package

WHEEL_LOCK = "one==1.0 \\\n    --hash=sha256:" + "1" * 64 + "\n"


def make_checkout(root: Path, bundle: str, *, servers: dict[str, str] | None = None) -> Checkout:
    """`bundle`: the text of bundles/small.toml; `servers`: texts of recipes by name."""
    for name, text in {
        "bundles/small.toml": bundle,
        "offline_wheels/tools.lock": WHEEL_LOCK,
        **{f"servers/{name}/recipe.toml": recipe for name, recipe in (servers or {}).items()},
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Checkout(root)


def recipe(name: str, provides: str = "program", sha256: str = "0" * 64) -> str:
    return (
        f'name = "{name}"\nversion = "1.2"\nkind = "go"\nlicence = "MIT"\norigin = "Go module {name}"\n'
        f'entry_point = "{provides}"\nprovides = "{provides}"\nsha256 = "{sha256}"\n[go]\npackage = "."\nldflags = []\n'
    )


def debian_recipe(name: str, *packages: str) -> str:
    return (
        f'name = "{name}"\nversion = "1"\nkind = "debian"\nlicence = "MIT"\norigin = "Debian"\n'
        f'entry_point = "/usr/bin/{name}"\n[debian]\npackages = {json.dumps(packages)}\n'
    )


def an_input(path: str, data: bytes, **others: object) -> Input:
    facts: dict = {
        "kind": "wheel", "name": path.rpartition("/")[2], "version": "1", "origin": "PyPI",
        "wanted_by": ["environment:tools"], **others,
    }  # fmt: skip
    return Input(path=path, size_bytes=len(data), digest=digest_bytes(data), **facts)


def a_lock(*inputs: Input, base: tuple[Package, ...] = ()) -> Lock:
    return Lock(
        format="appliance-bundle-lock/1", bundle="small", made_at="2026-01-05T18:00:00Z", architecture="amd64",
        base=list(base), inputs=sorted(inputs, key=lambda each: each.path),
    )  # fmt: skip


def sha256_of_folder(files: dict[str, bytes]) -> str:
    """As servers/README.md says it can be checked with stock tools."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
