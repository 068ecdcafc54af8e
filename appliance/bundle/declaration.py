"""What a bundle holds, as people write it: ``bundles/<name>.toml``. The lock is made from it.

Rules
1. Every name must exist in the checkout: an environment is ``offline_wheels/<name>.lock``, a server
   ``servers/<name>/recipe.toml``, a bundle that is included ``bundles/<name>.toml``.
2. A bundle has all that the bundles have which it includes.
3. Debian packages come from three places: the declaration, the roles (``ansible/roles/<role>/vars/packages.yml``, one
   key ``packages``), and the recipes of servers of kind ``debian``. Each keeps its reason, as in `lock`.
4. Nothing is fetched or written here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appliance.base.errors import ApplianceError
from appliance.bundle import codes
from appliance.config.declarations import load_toml, load_yaml

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}\Z")]
PackageName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9+.-]{1,99}\Z")]
ServerKind = Literal["go", "maven", "wheel", "debian"]
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Checkout:
    """Our repository on the build machine: where each thing stands in it."""

    root: Path

    def declaration(self, name: str) -> Path:
        return self.root / "bundles" / f"{name}.toml"

    def lock(self, name: str) -> Path:
        return self.root / "bundles" / f"{name}.lock.json"

    def wheels_lock(self, environment: str) -> Path:
        return self.root / "offline_wheels" / f"{environment}.lock"

    def recipe(self, server: str) -> Path:
        return self.root / "servers" / server / "recipe.toml"

    def built_server(self, server: str) -> Path:
        return self.root / ".servers" / server

    @property
    def roles(self) -> Path:
        return self.root / "ansible" / "roles"

    @property
    def pip(self) -> Path:
        """The pip that ``setup/environment.sh`` makes and uses."""
        return self.root / ".venv-uv" / "bin" / "pip"


class Debian(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    packages: beside those of roles and servers.
    roles: whether the packages of all roles go in.
    base_updates: whether the packages go in for which Debian published a fix after the release, of those that a
        bare host has.
    """

    packages: list[PackageName] = []
    roles: bool = False
    base_updates: bool = False


class Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file under ``bundles/``. `models` and `data` are there for the day when one is kept outside the store."""

    name: Name
    includes: list[Name] = []
    environments: list[Name] = []
    servers: list[Name] = []
    debian: Debian = Debian()
    models: Annotated[list[str], Meta(max_length=0)] = []
    data: Annotated[list[str], Meta(max_length=0)] = []


class RolePackages(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    packages: list[PackageName]


class _OfDebian(msgspec.Struct, frozen=True):
    packages: list[PackageName]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle needs of a recipe; ``servers.builder`` is what checks all of it."""

    name: str
    version: str
    kind: ServerKind
    licence: str
    origin: str
    provides: str = ""
    sha256: str = ""
    debian: _OfDebian | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A declaration with what it includes, every name looked up.

    Attributes:
        environments: names, in order.
        servers: recipes of the servers that are built, in order of name.
        packages: Debian packages by name, each with the reasons why, in order.
        base_updates: reasons why the packages of the base are brought up to date; empty when they are not.
    """

    name: str
    environments: list[str]
    servers: list[Recipe]
    packages: dict[str, list[str]]
    base_updates: list[str]


def load(name: str, checkout: Checkout) -> Wanted:
    """Raises ApplianceError: APL-BUNDLE-001, naming file and key."""
    every = _with_included(name, checkout, above=())
    environments = sorted({each for one in every for each in one.environments})
    for each in environments:
        if not checkout.wheels_lock(each).is_file():
            raise _unknown(checkout, name, f"environments: there is no offline_wheels/{each}.lock")
    recipes = [_recipe(each, name, checkout) for each in sorted({each for one in every for each in one.servers})]
    reasons: dict[str, set[str]] = {}
    for one in every:
        for package in one.debian.packages:
            reasons.setdefault(package, set()).add(f"bundle:{one.name}")
    if any(one.debian.roles for one in every):
        for role, packages in role_packages(checkout).items():
            for package in packages:
                reasons.setdefault(package, set()).add(f"role:{role}")
    for recipe in recipes:
        for package in recipe.debian.packages if recipe.debian else ():
            reasons.setdefault(package, set()).add(f"server:{recipe.name}")
    return Wanted(
        name=name,
        environments=environments,
        servers=[each for each in recipes if each.kind != "debian"],
        packages={package: sorted(reasons[package]) for package in sorted(reasons)},
        base_updates=sorted({f"bundle:{one.name}" for one in every if one.debian.base_updates}),
    )


def role_packages(checkout: Checkout) -> dict[str, list[str]]:
    """The Debian packages of every role that names some, in order of role.

    Raises:
        ApplianceError: APL-BUNDLE-001.
    """
    paths = sorted(checkout.roles.glob("*/vars/packages.yml"))
    return {path.parts[-3]: load_yaml(path, RolePackages, code=codes.DECLARATION_INVALID).packages for path in paths}


def _with_included(name: str, checkout: Checkout, above: tuple[str, ...]) -> list[Declaration]:
    path = checkout.declaration(name)
    if name in above:
        raise ApplianceError(codes.DECLARATION_INVALID, f"includes: {name} includes itself", where=str(path))
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or not path.is_file():
        known = ", ".join(each.stem for each in sorted(path.parent.glob("*.toml"))) or "none"
        message = f"there is no bundle {name!r}; expected one of: {known}"
        where = str(checkout.declaration(above[-1]) if above else path.parent)
        raise ApplianceError(codes.DECLARATION_INVALID, message, where=where)
    one = load_toml(path, Declaration, code=codes.DECLARATION_INVALID)
    if one.name != name:
        message = f"name: expected that of the file, {name!r}, got {one.name!r}"
        raise ApplianceError(codes.DECLARATION_INVALID, message, where=str(path))
    found = [one]
    for included in one.includes:
        found += _with_included(included, checkout, (*above, name))
    return found


def _recipe(server: str, bundle: str, checkout: Checkout) -> Recipe:
    path = checkout.recipe(server)
    if not path.is_file():
        raise _unknown(checkout, bundle, f"servers: there is no servers/{server}/recipe.toml")
    recipe = load_toml(path, Recipe, code=codes.DECLARATION_INVALID)
    if (recipe.kind == "debian") != (recipe.debian is not None):
        message = f"kind: {recipe.kind} does not go with the table of another kind"
        raise ApplianceError(codes.DECLARATION_INVALID, message, where=str(path))
    if recipe.kind != "debian" and not (recipe.provides and _SHA256.fullmatch(recipe.sha256)):
        message = "provides and sha256: expected a name and 64 hex digits"
        raise ApplianceError(codes.DECLARATION_INVALID, message, where=str(path))
    return recipe


def _unknown(checkout: Checkout, bundle: str, message: str) -> ApplianceError:
    return ApplianceError(codes.DECLARATION_INVALID, message, where=str(checkout.declaration(bundle)))
