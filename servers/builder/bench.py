"""Builds what is missing into ``.servers/<name>``, checks every digest, and keeps what is already right.

``.servers/<name>/built.json`` says what stands there: the recipe's facts for the bill of materials, the digest of the
inputs (recipe, locks, sources, builder, toolchain) and the digest of the result. A server is kept when both digests
still hold; an altered file is noticed and built again. A new one is built beside its place and renamed in.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.deploy import codes
from servers.builder import tools
from servers.builder.recipe import Recipe, digest_of, load_recipe
from servers.builder.tools import Workshop

AT_ONCE = 2  # builds side by side; each Go build uses two cores of its own
BUILT = "built.json"
Say = Callable[[str], None]


def inputs_digest(recipe: Recipe, root: Path) -> str:
    """SHA-256 over all that decides the result: the recipe's files but its README, the builder, the locked wheels."""
    hasher = hashlib.sha256()
    files = [path for path in sorted(recipe.folder.iterdir()) if path.is_file() and path.name != "README.md"]
    files += sorted((root / "servers" / "builder").glob("*.py"))
    files += [root / "offline_wheels" / "servers.lock"]
    for path in files:
        hasher.update(f"{path.name} {digest_of(path)}\n".encode())
    return hasher.hexdigest()


def build(recipe: Recipe, root: Path, target: Path, *, caches: Path | None = None) -> dict[str, Any]:
    """Build into `target`, which is replaced as a whole; gives the facts of built.json.

    Raises:
        ApplianceError: APL-SERVERS-002, 003, 004; `target` is as it was.
    """
    draft = target.with_name(f".draft-{target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    shop = Workshop(root=root, caches=caches, log=target.with_name("log") / f"{recipe.name}.log")
    shop.log.unlink(missing_ok=True)
    facts: dict[str, Any] = {
        "name": recipe.name,
        "kind": recipe.kind,
        "licence": recipe.licence,
        "origin": recipe.origin,
        "entry_point": recipe.entry_point,
        "inputs": inputs_digest(recipe, root),
    }
    if recipe.kind == "debian":
        facts["version"] = tools.find_debian(recipe)
    else:
        makers = {"go": tools.build_go, "maven": tools.build_maven, "wheel": tools.build_wheel}
        facts["version"] = makers[recipe.kind](recipe, shop, draft)
        facts |= {"provides": recipe.provides, "sha256": digest_of(draft / recipe.provides)}
        if facts["sha256"] != recipe.sha256:
            message = f"{recipe.provides}: expected {recipe.sha256}, got {facts['sha256']}"
            raise ApplianceError(codes.DIGEST_DIFFERS, message, where=str(recipe.folder / "recipe.toml"))
    (draft / BUILT).write_text(json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return facts


def standing(recipe: Recipe, root: Path, target: Path) -> dict[str, Any] | None:
    """The facts of what stands in `target`, None when it must be built: missing, of other inputs, or altered."""
    try:
        facts: dict[str, Any] = json.loads((target / BUILT).read_bytes())
    except (OSError, ValueError):
        return None
    if facts.get("inputs") != inputs_digest(recipe, root):
        return None
    if recipe.kind == "debian":  # it may have been upgraded or removed
        return facts if facts.get("version") == tools.find_debian(recipe) else None
    built = target / recipe.provides
    return facts if built.exists() and digest_of(built) == facts.get("sha256") == recipe.sha256 else None


def build_all(recipes: Sequence[Recipe], root: Path, folder: Path, say: Say) -> list[dict[str, Any]]:
    """Build what is missing, two at a time; gives the facts of all, with ``seconds`` and ``kept``.

    Raises:
        ApplianceError: the first one; what else was built stays.
    """

    def one(recipe: Recipe) -> dict[str, Any]:
        began = time.monotonic()
        kept = standing(recipe, root, folder / recipe.name)
        if kept is None:
            say(f"{recipe.name}: building ({recipe.kind}, {recipe.version})")
        facts = kept or build(recipe, root, folder / recipe.name)
        seconds = round(time.monotonic() - began, 1)
        say(f"{recipe.name}: {'is there' if kept else f'built in {seconds} s'}")
        return {**facts, "seconds": seconds, "kept": kept is not None}

    folder.mkdir(exist_ok=True)
    with atomic.exclusive(folder / ".lock"), ThreadPoolExecutor(AT_ONCE) as pool:
        # The long ones first, so that the others run beside them.
        order = sorted(recipes, key=lambda recipe: ("go", "maven", "wheel", "debian").index(recipe.kind))
        started = {recipe.name: pool.submit(one, recipe) for recipe in order}
        return [started[recipe.name].result() for recipe in recipes]


def relock(recipe: Recipe, root: Path, folder: Path) -> Recipe:
    """Take what the registries give now as right: write the lock and the digest into the recipe's folder.

    For the one who renews a version, and reviews the change of these files; never part of a build.
    """
    draft = folder / f".relock-{recipe.name}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    shop = Workshop(root=root, caches=None, log=folder / "log" / f"{recipe.name}.log")
    if recipe.kind == "maven":
        tools.build_maven(recipe, shop, draft, relock=True)
    elif recipe.kind == "go":
        tools.build_go(recipe, shop, draft)
    elif recipe.kind == "wheel":
        tools.build_wheel(recipe, shop, draft)
    path = recipe.folder / "recipe.toml"
    if recipe.kind != "debian":
        path.write_text(path.read_text().replace(recipe.sha256, digest_of(draft / recipe.provides)))
    shutil.rmtree(draft)
    return load_recipe(path)
