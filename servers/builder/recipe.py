"""The recipes ``servers/<name>/recipe.toml``: what each key means, and what is refused. Pure but for reading the file.

Keys of every recipe
    name, version, kind (go, maven, wheel, debian), licence (SPDX expression), origin (where the code comes from)
    entry_point   program, jar or class that starts it; relative to ``.servers/<name>``, absolute for Debian's
    provides      file or folder below ``.servers/<name>`` that is built; not for debian
    sha256        digest of `provides` (`digest_of`); not for debian, where the version is recorded at build time
One table per kind
    [go]      package, ldflags (list)
    [maven]   unpack (true: the lock has one archive, which is unpacked; false: the jars are copied), into (folder below
              `provides`, "." for itself), apart ({"group:artifact" = "folder"}: these jars go there instead)
    [wheel]   package (name in offline_wheels/servers.lock), path (file or folder below site-packages)
    [debian]  packages (list)
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.base.errors import ApplianceError
from appliance.deploy import codes

KINDS = ("go", "maven", "wheel", "debian")
_COMMON = {"name": str, "version": str, "kind": str, "licence": str, "origin": str, "entry_point": str}
_BUILT = {"provides": str, "sha256": str}
_TABLES: Mapping[str, Mapping[str, type]] = {
    "go": {"package": str, "ldflags": list},
    "maven": {"unpack": bool, "into": str, "apart": dict},
    "wheel": {"package": str, "path": str},
    "debian": {"packages": list},
}
_LOCK_LINE = re.compile(r"(?P<coordinate>[\w.-]+:[\w.-]+:[\w.-]+(?::[\w.-]+)?(?:@[\w.]+)?) (?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One server; see the module for the fields. `folder` is where the recipe stands."""

    folder: Path
    name: str
    version: str
    kind: str
    licence: str
    origin: str
    entry_point: str
    provides: str = ""
    sha256: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def load_recipes(servers: Path) -> dict[str, Recipe]:
    """All recipes by name, in order of name.

    Raises:
        ApplianceError: APL-SERVERS-001.
    """
    recipes = [load_recipe(path) for path in sorted(servers.glob("*/recipe.toml"))]
    return {recipe.name: recipe for recipe in recipes}


def load_recipe(path: Path) -> Recipe:
    """Raises ApplianceError: APL-SERVERS-001."""
    try:
        return parse_recipe(path.read_bytes(), path.parent)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(path, f"not TOML: {error}") from error


def parse_recipe(data: bytes, folder: Path) -> Recipe:
    """Raises ApplianceError: APL-SERVERS-001; TOMLDecodeError."""
    path, values = folder / "recipe.toml", tomllib.loads(data.decode())
    kind = values.get("kind")
    if kind not in KINDS:
        raise _invalid(path, f"expected kind to be one of {', '.join(KINDS)}, got {kind!r}")
    top = {**_COMMON, **({} if kind == "debian" else _BUILT), kind: dict}
    _check(path, "", values, top)
    _check(path, f"{kind}.", values[kind], _TABLES[kind])
    if values["name"] != folder.name:
        raise _invalid(path, f"expected name to be that of the folder, {folder.name!r}, got {values['name']!r}")
    if kind != "debian" and not re.fullmatch(r"[0-9a-f]{64}", values["sha256"]):
        raise _invalid(path, f"expected sha256 to be 64 hex digits, got {values['sha256']!r}")
    return Recipe(folder=folder, options=values.pop(kind), **values)


def parse_lock(text: str, path: Path) -> dict[str, str]:
    """The lock of a Maven recipe: ``group:artifact:version[:classifier][@type] sha256``, sorted, each once.

    Raises:
        ApplianceError: APL-SERVERS-001.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LOCK_LINE.fullmatch(line)
        if match is None:
            raise _invalid(path, f"expected group:artifact:version[:classifier][@type] sha256, got {line!r}")
        found[match["coordinate"]] = match["sha256"]
    if list(found) != sorted(found) or len(found) != len(text.splitlines()) or not found:
        raise _invalid(path, "expected sorted lines, each coordinate once, at least one")
    return found


def render_lock(found: Mapping[str, str]) -> str:
    """``parse_lock(render_lock(found)) == found`` for a sorted mapping."""
    return "".join(f"{coordinate} {found[coordinate]}\n" for coordinate in sorted(found))


def digest_of(path: Path) -> str:
    """Of a file its SHA-256; of a folder the SHA-256 of what ``sha256sum`` prints for its files, sorted by name.

    So that a folder can be checked without us, in it:
    ``find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum``.
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    names = sorted(str(each.relative_to(path)).encode() for each in path.rglob("*") if each.is_file())
    lines = (f"{digest_of(path / name.decode())}  ".encode() + name + b"\n" for name in names)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _check(path: Path, prefix: str, values: Mapping[str, Any], wanted: Mapping[str, type]) -> None:
    for key in sorted(wanted.keys() | values.keys()):
        if key not in values:
            raise _invalid(path, f"{prefix}{key} is missing")
        if key not in wanted:
            raise _invalid(path, f"{prefix}{key} is not a key of this kind")
        if type(values[key]) is not wanted[key] or values[key] == "":
            raise _invalid(path, f"expected {prefix}{key} to be {wanted[key].__name__}, got {values[key]!r}")


def _invalid(path: Path, message: str) -> ApplianceError:
    return ApplianceError(codes.RECIPE_INVALID, message, where=str(path))
