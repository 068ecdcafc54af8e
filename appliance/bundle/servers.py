"""The third-party servers of a bundle: the files that ``make servers`` built below ``.servers/<name>``.

Rules
1. What goes in is what the recipe calls `provides`, and it has the recipe's digest; nothing else of the folder.
2. `provides` itself may be a link into the environment that a wheel was installed into; below it nothing is a link.
3. A server of kind ``debian`` has no file here: its packages are Debian's.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.base.digest import digest_file, hex_of
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import codes
from appliance.bundle.declaration import Checkout, Recipe
from appliance.bundle.lock import Input
from appliance.bundle.member_path import fault_of

FOLDER = "servers"


def inputs(recipes: Sequence[Recipe], checkout: Checkout, progress: Progress) -> list[Input]:
    """An input for each file of these servers, in order of server and path.

    Raises:
        ApplianceError: APL-BUNDLE-008, naming the server or file.
    """
    progress.begin("read servers", len(recipes))
    found: list[Input] = []
    for recipe in recipes:
        found += _of_server(recipe, checkout.built_server(recipe.name))
        progress.advance(1)
    return found


def file_of(each: Input, checkout: Checkout) -> Path:
    """Where the build machine has the file of a server's input."""
    return checkout.built_server(each.name) / each.path.removeprefix(f"{FOLDER}/{each.name}/")


def _of_server(recipe: Recipe, folder: Path) -> list[Input]:
    provided = folder / recipe.provides
    if not provided.exists():
        raise ApplianceError(codes.SERVER_REFUSED, f"{recipe.name} is not built", where=str(provided))
    top = provided.resolve()
    files = [(path, path.relative_to(top).as_posix()) for path in _files_below(top)] if top.is_dir() else [(top, "")]
    digests = {rest: digest_file(path) for path, rest in files}
    found = hex_of(digests[""]) if "" in digests else _digest_of_folder(digests)
    if found != recipe.sha256:
        message = f"{recipe.name}: expected {recipe.sha256}, got {found}"
        raise ApplianceError(codes.SERVER_REFUSED, message, where=str(provided))
    made = []
    for path, rest in files:
        name = "/".join(filter(None, (FOLDER, recipe.name, recipe.provides, rest)))
        fault = fault_of(name)
        if fault:
            raise ApplianceError(codes.SERVER_REFUSED, f"{name}: {fault}", where=str(path))
        status = path.stat()
        made.append(
            Input(
                kind="server",
                name=recipe.name,
                version=recipe.version,
                path=name,
                size_bytes=status.st_size,
                digest=digests[rest],
                executable=bool(status.st_mode & stat.S_IXUSR),
                licence=recipe.licence,
                origin=recipe.origin,
                wanted_by=[f"server:{recipe.name}"],
            )
        )
    return made


def _files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ApplianceError(codes.SERVER_REFUSED, "it is a link or no plain file", where=str(path))
        if path.is_dir():
            yield from _files_below(path)
        else:
            yield path


def _digest_of_folder(digests: dict[str, str]) -> str:
    """As `servers/README.md` says: the SHA-256 of what ``sha256sum`` prints for the files, in order of name."""
    lines = (f"{hex_of(digests[name])}  {name}\n".encode() for name in sorted(digests, key=str.encode))
    return hashlib.sha256(b"".join(lines)).hexdigest()
