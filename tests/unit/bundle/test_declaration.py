"""Declarations of bundles: what they add up to, and what is refused before anything is fetched."""

from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle.declaration import Checkout, load, role_packages
from tests.bundle_checkout import debian_recipe, make_checkout, recipe

ROOT = Path(__file__).parents[3]
REFUSED = {
    "unknown key": 'name = "small"\ncolour = "red"\n',
    "unknown key of a table": 'name = "small"\n[debian]\nrole = true\n',
    "another name": 'name = "big"\n',
    "no TOML": "name = small\n",
    "unknown environment": 'name = "small"\nenvironments = ["nothing"]\n',
    "unknown server": 'name = "small"\nservers = ["nothing"]\n',
    "unknown bundle": 'name = "small"\nincludes = ["nothing"]\n',
    "itself": 'name = "small"\nincludes = ["small"]\n',
    "a name that leaves the folder": 'name = "small"\nincludes = ["../small"]\n',
    "a package by an option's name": 'name = "small"\n[debian]\npackages = ["--purge"]\n',
    "a package with a version": 'name = "small"\n[debian]\npackages = ["jq=1.6"]\n',
    "a model that nobody keeps": 'name = "small"\nmodels = ["large"]\n',
    "a recipe without a digest": 'name = "small"\nservers = ["broken"]\n',
    "a recipe with the table of another kind": 'name = "small"\nservers = ["mixed"]\n',
}
BROKEN = {
    "broken": recipe("broken", sha256="none"),
    "mixed": debian_recipe("mixed", "jq").replace('"debian"', '"go"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_file_and_nothing_written(tmp_path, case):
    checkout = make_checkout(tmp_path, REFUSED[case], servers=BROKEN)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ApplianceError) as caught:
        load("small", checkout)
    assert caught.value.code.id == "APL-BUNDLE-001"
    assert caught.value.where.startswith(str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["nothing", "../small", "", "Small"])
def test_a_bundle_that_there_is_not_is_told_with_those_that_there_are(tmp_path, name):
    checkout = make_checkout(tmp_path, 'name = "small"\n')
    with pytest.raises(ApplianceError, match="small") as caught:
        load(name, checkout)
    assert caught.value.code.id == "APL-BUNDLE-001"


def test_what_is_included_adds_up_with_every_reason(tmp_path):
    servers = {"web": debian_recipe("web", "nginx-light"), "store": recipe("store")}
    text = 'name = "small"\nenvironments = ["tools"]\nservers = ["web"]\n[debian]\npackages = ["jq"]\nroles = true\n'
    checkout = make_checkout(tmp_path, text, servers=servers)
    (tmp_path / "bundles/large.toml").write_text(
        'name = "large"\nincludes = ["small"]\nservers = ["store", "web"]\n'
        '[debian]\npackages = ["jq", "nginx-light"]\nbase_updates = true\n'
    )
    role = tmp_path / "ansible/roles/proxy/vars/packages.yml"
    role.parent.mkdir(parents=True)
    role.write_text("---\npackages: [nginx-light, ssl-cert]\n")
    wanted = load("large", checkout)
    assert wanted.environments == ["tools"]
    assert [each.name for each in wanted.servers] == ["store"]
    assert wanted.base_updates == ["bundle:large"]
    assert wanted.packages == {
        "jq": ["bundle:large", "bundle:small"],
        "nginx-light": ["bundle:large", "role:proxy", "server:web"],
        "ssl-cert": ["role:proxy"],
    }
    assert load("small", checkout).base_updates == []


def test_roles_count_only_where_the_declaration_says_so(tmp_path):
    checkout = make_checkout(tmp_path, 'name = "small"\n')
    role = tmp_path / "ansible/roles/proxy/vars/packages.yml"
    role.parent.mkdir(parents=True)
    role.write_text("packages: [nginx-light]\n")
    assert load("small", checkout).packages == {}
    assert role_packages(checkout) == {"proxy": ["nginx-light"]}


@pytest.mark.parametrize(
    "text",
    ["packages: nginx\n", "names: [nginx]\n", "packages: [nginx]\nmore: 1\n", "packages: [NGINX]\n", "a: [\n", ""],
    ids=["no list", "another key", "a key more", "no package name", "no YAML", "empty"],
)
def test_a_role_with_other_packages_than_names_is_refused(tmp_path, text):
    checkout = make_checkout(tmp_path, 'name = "small"\n[debian]\nroles = true\n')
    role = tmp_path / "ansible/roles/proxy/vars/packages.yml"
    role.parent.mkdir(parents=True)
    role.write_text(text)
    with pytest.raises(ApplianceError) as caught:
        load("small", checkout)
    assert (caught.value.code.id, caught.value.where) == ("APL-BUNDLE-001", str(role))


def test_the_bundles_of_this_repository():
    core, gpu, demo = (load(name, Checkout(ROOT)) for name in ("core", "gpu", "demo"))
    recipes = {path.parent.name for path in (ROOT / "servers").glob("*/recipe.toml")}
    of_debian = {each.partition(":")[2] for why in core.packages.values() for each in why if each.startswith("server:")}
    assert {each.name for each in core.servers} | of_debian == recipes
    assert core.environments == ["airflow", "ansible", "runtime", "uv"]
    assert gpu.environments == ["airflow", "ansible", "runtime", "training", "uv"]
    assert core.packages.keys() < gpu.packages.keys()
    assert len(demo.packages) <= 3
    assert "java" not in [each.name for each in demo.servers]
