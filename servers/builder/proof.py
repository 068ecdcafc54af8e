"""Proof that what is built depends on its recipe alone: two builds, in other folders, with caches of their own.

Each build gets a copy of the recipe and of the Go toolchain in its own folder, an empty module cache, an empty build
cache and an empty Maven repository. Nothing is shared but the registries.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from servers.builder import tools
from servers.builder.recipe import Recipe, digest_of, load_recipes
from servers.builder.tools import Workshop

PROVED = ("go", "maven")  # what is built here; wheels and Debian's packages come as they are


def covered(root: Path) -> list[str]:
    """The files that the proof covers, relative to the root."""
    names = {"recipe.toml", "go.mod", "go.sum", "main.go", "pom.xml", "lock"}
    files = [path for path in (root / "servers").glob("*/*") if path.name in names]
    files += (root / "servers" / "builder").glob("*.py")
    return [path.relative_to(root).as_posix() for path in sorted(files)] + ["offline_wheels/servers.lock"]


def prove(root: Path, folder: Path) -> Mapping[str, Any]:
    """Build all twice below `folder`; gives the digests and the seconds of each build.

    Raises:
        AssertionError: two builds differ, or differ from the recipe.
    """
    recipes = [each for each in load_recipes(root / "servers").values() if each.kind in PROVED]
    figures = {recipe.name: _prove(recipe, root, folder / recipe.name) for recipe in recipes}
    return {"servers": figures, "builds": 2 * len(figures), "different": 0}


def _prove(recipe: Recipe, root: Path, folder: Path) -> Mapping[str, Any]:
    digests, seconds = [], []
    # Names of different length: a path that got into a program would move all that follows it.
    for name in ("one", "another/folder"):
        place = folder / name
        began = time.monotonic()
        digests.append(_build(recipe, root, place))
        seconds.append(round(time.monotonic() - began, 1))
        shutil.rmtree(place)
    assert digests == [recipe.sha256] * 2, f"{recipe.name}: recipe {recipe.sha256}, built {', '.join(digests)}"
    return {"sha256": recipe.sha256, "seconds": seconds}


def _build(recipe: Recipe, root: Path, place: Path) -> str:
    packages = Workshop(root=root, caches=None, log=place / "log").site_packages
    shutil.copytree(recipe.folder, place / "servers" / recipe.name)
    if recipe.kind == "go":
        shutil.copytree(packages / "go", place / packages.relative_to(root) / "go")
    shop = Workshop(root=place, caches=place / "caches", log=place / "log")
    moved = replace(recipe, folder=place / "servers" / recipe.name)
    draft = place / "draft"
    draft.mkdir()
    {"go": tools.build_go, "maven": tools.build_maven}[recipe.kind](moved, shop, draft)
    digest = digest_of(draft / recipe.provides)
    for path in (place / "caches").rglob("*"):  # Go makes its module cache read-only
        if path.is_dir():
            path.chmod(0o755)
    return digest
