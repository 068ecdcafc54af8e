"""What holds of every role: one place for a default, all verbs, one owner of a file, pages that say what is there."""

import importlib.util
import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.host_checks import merged

from tests.unit.ansible_roles.conftest import ROOT
from tests.unit.ansible_roles.rendering import (
    CONTAINER,
    ROLES,
    SHARED,
    VERBS,
    as_on_a_command_line,
    data_of,
    needs_of,
    render,
    tasks_of,
    variables_of,
)

NAMES = [role.name for role in ROLES]
SERVICES = [name for name in NAMES if name not in SHARED]
TEMPLATES = [
    path.relative_to(ROOT / "roles").as_posix()
    for path in sorted((ROOT / "roles").glob("*/templates/**/*.j2"))
    if "roles/service_unit/" not in path.as_posix()  # rendered for each service, see test_units
]
WRITERS = ("ansible.builtin.template", "ansible.builtin.copy", "bundle_files", "python_environment")


def specs_of(name):
    return data_of(ROOT / "roles" / name / "meta/argument_specs.yml")["argument_specs"]


def options_of(name):
    found = {}
    for entry in specs_of(name).values():
        found |= entry.get("options", {})
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_default_is_what_its_specification_says(name):
    defaults = data_of(ROOT / "roles" / name / "defaults/main.yml") or {}
    said = {key: option["default"] for key, option in options_of(name).items() if "default" in option}
    assert said == defaults
    for key, option in options_of(name).items():
        assert ("default" in option) != option.get("required", False), key


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_has_the_name_of_its_role(name):
    assert [key for key in options_of(name) if not key.startswith(f"{name}_")] == []


@pytest.mark.parametrize("name", SERVICES)
def test_all_verbs_are_there_each_with_its_specification(name):
    role = ROOT / "roles" / name
    assert {path.stem for path in (role / "tasks").glob("*.yml")} >= {"main", *VERBS}
    assert list(specs_of(name)) == ["main", *VERBS]
    for verb in VERBS:
        assert specs_of(name)[verb]["options"] == specs_of(name)["main"]["options"]
    order = [task["ansible.builtin.import_tasks"] for task in data_of(role / "tasks/main.yml")]
    assert order == ["install.yml", "configure.yml", "service.yml", "verify.yml"]


@pytest.mark.parametrize("name", SERVICES)
def test_the_playbooks_know_it(name):
    for playbook, words in (
        ("preflight", "tasks_from: preflight"),
        ("site", "role: "),
        ("verify", "tasks_from: verify"),
    ):
        text = (ROOT / "playbooks" / f"{playbook}.yml").read_text()
        assert words in text
        assert re.search(rf"\b{name}\b", text), playbook


@pytest.mark.parametrize("name", NAMES)
def test_its_page_says_what_is_there(name):
    spec = importlib.util.spec_from_file_location("role_pages", ROOT.parent / "docs/role_pages.py")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    assert (ROOT / "roles" / name / "README.md").read_text() == pages.readme(ROOT / "roles" / name), "run make fix"


def test_a_file_has_one_owner():
    owners = defaultdict(list)
    for role in ROLES:
        for path, task in tasks_of(role):
            for module in WRITERS:
                told = task.get(module, {})
                target = told.get("dest") or told.get("path")
                if target:
                    owners[target].append(f"{role.name}/{path.name}")
    assert {target: who for target, who in owners.items() if len(who) > 1} == {}
    assert len(owners) > 5


def test_a_template_lies_as_its_target_does():
    for role in ROLES:
        for _, task in tasks_of(role):
            told = task.get("ansible.builtin.template")
            if told:
                target = told["dest"].replace("{{ layout_configuration }}", "/etc/appliance")
                if "{{" not in target:
                    assert told["src"] == f"{target[1:]}.j2"
                assert (role / "templates" / told["src"]).is_file()


def test_packages_are_named_in_one_place_and_debians_units_masked_before():
    for role in ROLES:
        listed = data_of(role / "vars/packages.yml")
        tasks = [task for path, task in tasks_of(role) if path.name == "install.yml"]
        asked = [task["bundle_packages"]["names"] for task in tasks if "bundle_packages" in task]
        assert asked == ([f"{{{{ __{role.name}_packages.packages }}}}"] if listed else [])
        masks = [
            at for at, task in enumerate(tasks) if task.get("ansible.builtin.systemd_service", {}).get("masked") is True
        ]
        installs = [at for at, task in enumerate(tasks) if "bundle_packages" in task]
        if masks:
            assert max(masks) < min(installs)


def test_every_unit_of_ours_has_a_handler_that_restarts_it():
    for role in ROLES:
        for _, task in tasks_of(role):
            if task.get("ansible.builtin.include_role", {}).get("name") == "service_unit":
                names = {each["name"] for each in data_of(role / "handlers/main.yml")}
                assert f"Restart {task['vars']['service_unit_name']}" in names


def test_nothing_is_done_in_a_way_that_the_house_does_not_do():
    for role in ROLES:
        for path, task in tasks_of(role):
            where = f"{role.name}/{path.name}: {task.get('name')}"
            assert "ignore_errors" not in task, where
            assert "ansible.builtin.shell" not in task, where
            command = task.get("ansible.builtin.command")
            assert command is None or "changed_when" in task or "creates" in command, where


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_whole_with_the_defaults(template):
    role = template.partition("/")[0]
    for facts in ({}, CONTAINER):
        text = render(ROOT / "roles" / template, variables_of(role, **({"facts": facts} if facts else {})))
        assert text.endswith("\n")
        assert f"Written by the role {role}" in text or template.endswith("appliance.sources.j2")
        assert "{{ " not in text.replace("{{ $labels", "")
        if Path(template).stem.endswith(".yml"):
            assert isinstance(yaml.safe_load(text), dict)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_number_or_switch_of_the_command_line_is_one(template):
    role = template.partition("/")[0]
    told = as_on_a_command_line(role)
    path = ROOT / "roles" / template
    assert render(path, variables_of(role, **told)) == render(path, variables_of(role))


def test_switches_that_are_off_on_the_command_line_are_off():
    path = ROOT / "roles/bundle_repo/templates/etc/apt/apt.conf.d/90appliance.j2"
    assert "SourceParts" not in render(path, variables_of("bundle_repo", bundle_repo_only="false"))


def test_needs_on_the_command_line_are_the_same():
    for name in SERVICES:
        role = ROOT / "roles" / name
        told, same = needs_of(role), needs_of(role, **as_on_a_command_line(name))
        assert not told or merged([told]) == merged([same])


def test_the_needs_of_all_roles_can_be_added_up():
    told = {name: needs_of(ROOT / "roles" / name) for name in SERVICES}
    assert [name for name, needs in told.items() if needs and needs["role"] != name] == []
    needs = merged([needs for needs in told.values() if needs])
    assert needs.ports == {5432: "postgres", 8200: "openbao", 8201: "openbao", 9090: "prometheus"}
    assert needs.places == {
        "/var/lib/appliance/openbao": 2 << 30,
        "/var/lib/appliance/postgres": 8 << 30,
        "/var/lib/appliance/prometheus": 8 << 30,
        "/var/log/journal": 2 << 30,
    }
    assert needs.memory_bytes == (512 + 64 + 512 + 768) << 20


def test_the_source_is_that_of_the_bundle():
    from appliance.bundle import apt_repository

    variables = variables_of("bundle_repo")
    text = render(ROOT / "roles/bundle_repo/templates/etc/apt/sources.list.d/appliance.sources.j2", variables)
    assert text == apt_repository.source(Path("/opt/appliance/bundle/1.0.0-0123456789ab"))


def test_prometheus_reads_what_the_site_names():
    targets = [
        {"job": "a", "targets": ["h:1"], "scheme": "https", "authority": "/ca"},
        {"job": "b", "targets": ["h:2"]},
    ]
    variables = variables_of("prometheus", prometheus_targets=targets, prometheus_alertmanagers=["h:9093"])
    path = ROOT / "roles/prometheus/templates/etc/appliance/prometheus/prometheus.yml.j2"
    found = yaml.safe_load(render(path, variables))
    assert found["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["h:9093"]}]}]
    assert found["scrape_configs"][1:] == [
        {
            "job_name": "a", "scheme": "https", "metrics_path": "/metrics", "tls_config": {"ca_file": "/ca"},
            "static_configs": [{"targets": ["h:1"]}],
        },
        {"job_name": "b", "scheme": "http", "metrics_path": "/metrics", "static_configs": [{"targets": ["h:2"]}]},
    ]  # fmt: skip
