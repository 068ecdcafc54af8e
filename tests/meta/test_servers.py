"""Every third-party server has a complete recipe: version, licence, origin, digest, locks, and a page that says why."""

import re
from pathlib import Path

import pytest
from packaging.licenses import canonicalize_license_expression

from servers.builder.recipe import load_recipes, parse_lock

ROOT = Path(__file__).parents[2]
RECIPES = load_recipes(ROOT / "servers")
NEEDED = {
    "minio", "mc", "versitygw", "kafka", "connect", "registry", "java", "openbao", "postgresql", "prometheus",
    "alertmanager", "nginx", "mosquitto", "supervisor",
}  # fmt: skip


def test_all_servers_of_the_product_have_a_recipe():
    assert set(RECIPES) == NEEDED
    folders = {path.name for path in (ROOT / "servers").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - {"builder"} == NEEDED


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_the_licence_is_an_spdx_expression(name):
    assert canonicalize_license_expression(RECIPES[name].licence) == RECIPES[name].licence


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_the_page_says_version_and_licence(name):
    text = (ROOT / "servers" / name / "README.md").read_text()
    assert text.startswith("# ")
    assert "icence" in text
    assert re.search(r"\d", text)


@pytest.mark.parametrize("name", sorted(name for name, each in RECIPES.items() if each.kind != "debian"))
def test_the_digest_is_there(name):
    assert len(set(RECIPES[name].sha256)) > 8  # not a placeholder


@pytest.mark.parametrize("name", sorted(name for name, each in RECIPES.items() if each.kind == "go"))
def test_go_modules_are_pinned(name):
    folder = RECIPES[name].folder
    module, version = re.fullmatch(r"Go module (\S+) (\S+)", RECIPES[name].origin).groups()
    assert re.search(rf"\b{re.escape(module)} {re.escape(version)}\b", (folder / "go.mod").read_text())
    assert f"{module} {version} h1:" in (folder / "go.sum").read_text()
    assert "replace" not in (folder / "go.mod").read_text().split()


@pytest.mark.parametrize("name", sorted(name for name, each in RECIPES.items() if each.kind == "maven"))
def test_maven_coordinates_are_in_the_lock(name):
    folder = RECIPES[name].folder
    lock = parse_lock((folder / "lock").read_text(), folder / "lock")
    found = re.findall(
        r"<groupId>([\w.]+)</groupId>\s*<artifactId>([\w.-]+)</artifactId>\s*<version>([\w.-]+)</version>",
        (folder / "pom.xml").read_text(),
    )
    wanted = [":".join(each) for each in found if each[0] != "appliance.servers"]
    assert wanted
    assert [each for each in wanted if not any(line.startswith(each) for line in lock)] == []
    assert not re.search(r"<repositories|<url>", (folder / "pom.xml").read_text())


@pytest.mark.parametrize("name", sorted(name for name, each in RECIPES.items() if each.kind == "wheel"))
def test_the_wheel_is_in_the_lock(name):
    lock = (ROOT / "offline_wheels" / "servers.lock").read_text()
    package, version = re.search(r"index package (\S+) ([\d.]+)", RECIPES[name].origin).groups()
    assert package == RECIPES[name].options["package"]
    assert f"{package}=={version.rstrip('.')} \\" in lock


@pytest.mark.parametrize("name", sorted(name for name, each in RECIPES.items() if each.kind == "debian"))
def test_debian_packages_are_named_and_their_program_has_a_full_path(name):
    assert RECIPES[name].options["packages"]
    assert RECIPES[name].entry_point.startswith("/usr/")
