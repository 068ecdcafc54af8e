"""A run from a signed bundle to what Ansible did, with a playbook of a few lines and the places in a folder."""

import dataclasses
import json
import shutil

import pytest

from appliance.base.clock import SystemClock
from appliance.base.digest import digest_file
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.cli.main import run
from appliance.deploy import inventory, journal
from appliance.deploy.deployment import Order, deploy
from appliance.deploy.places import Places, own_bundle, release_name
from tests.bundles import FILES, flip, make_releaser
from tests.unit.ansible_roles.conftest import ROOT

PLAYBOOK = """\
- name: Make the host
  hosts: monitoring
  gather_facts: false
  tasks:
    - name: Write who made it
      ansible.builtin.copy:
        content: "{{ layout_release }} {{ layout_manifest_digest }}\\n"
        dest: "%s"
        mode: "0644"
"""
LOCK = {"inputs": [{"wanted_by": ["environment:runtime"]}, {"wanted_by": ["environment:uv", "environment:ansible"]}]}
EXAMPLE = "all: {hosts: {node1: {ansible_host: 192.0.2.10}}, children: {monitoring: {hosts: {node1: }}}}\n"


@pytest.fixture(scope="module")
def releaser(tmp_path_factory):
    return make_releaser(tmp_path_factory.mktemp("releaser"))


@dataclasses.dataclass
class Case:
    """A bundle in its place, and the places of a host that are all below one folder."""

    bundle: object
    places: Places
    made: object
    root_digest: str

    def order(self, **others):
        return Order(**{"verb": "install", "bundle": self.bundle, "root_digest": self.root_digest} | others)

    def deploy(self, said=None, **others):
        return deploy(
            self.order(**others), places=self.places, clock=SystemClock(), progress=NoProgress(),
            say=(said if said is not None else []).append,
        )  # fmt: skip

    @property
    def records(self):
        return journal.read(self.places.journal)


def make_case(folder, releaser, version="1.2.0"):
    made = folder / "made"
    playbook = (PLAYBOOK % made).encode()
    files = {
        **FILES,
        "ansible/ansible.cfg": ((ROOT / "ansible.cfg").read_bytes(), False, "ansible"),
        "ansible/plugins/callback/json_lines.py": (
            (ROOT / "plugins/callback/json_lines.py").read_bytes(), False, "ansible"),
        "ansible/inventory/example/hosts.yml": (EXAMPLE.encode(), False, "ansible"),
        "ansible/inventory/example/group_vars/all/monitoring.yml": (b"---\na: 1\n", False, "ansible"),
        **{f"ansible/playbooks/{each}.yml": (playbook, False, "ansible") for each in ("site", "preflight", "verify")},
    }  # fmt: skip
    medium = releaser.make(folder / f"medium-{version}", version=version, files=files, lock=json.dumps(LOCK).encode())
    places = Places(programs=folder / "opt", record=folder / "record", inventory=folder / "etc/inventory")
    bundle = places.bundle(release_name(version, digest_file(medium / "manifest.json")))
    bundle.parent.mkdir(parents=True, exist_ok=True)
    medium.rename(bundle)  # as install.sh leaves it
    return Case(bundle=bundle, places=places, made=made, root_digest=releaser.root_digest)


@pytest.fixture
def case(tmp_path, releaser):
    return make_case(tmp_path, releaser)


def test_install_makes_the_host_and_a_second_run_changes_nothing(case):
    said = []
    done = case.deploy(said)
    assert done.ok, done.words
    digest = case.records[0]["manifest"]
    assert case.made.read_text() == f"{done.release} {digest}\n"
    assert done.release == f"1.2.0-{digest[7:19]}"
    (host,) = done.hosts.values()
    assert host.changed == 1
    assert any("Write who made it" in each for each in said)
    (host,) = case.deploy().hosts.values()
    assert (host.ok, host.changed) == (1, 0)
    assert [(each["step"], each.get("result")) for each in case.records] == [("begin", None), ("end", "done")] * 2
    assert case.records[0]["inventory"] == inventory.digest(case.places.inventory)


def test_no_byte_code_is_left_in_the_bundle(case):
    before = sorted(case.bundle.rglob("*"))
    assert case.deploy().ok
    assert sorted(case.bundle.rglob("*")) == before
    assert case.deploy().ok


@pytest.mark.parametrize("place", ["medium", "opt/bundle/1.2.0-0123456789ab"])
def test_a_bundle_that_is_not_in_its_place_is_refused(case, tmp_path, place):
    shutil.copytree(case.bundle, tmp_path / place)
    with pytest.raises(ApplianceError) as error:
        case.deploy(bundle=tmp_path / place)
    assert error.value.code.id == "APL-DEPLOY-007"
    assert case.records == []
    assert not case.places.inventory.exists()


@pytest.mark.parametrize("words", [{"verb": "preflight"}, {"check": True, "diff": True}])
def test_a_look_changes_nothing(case, words):
    said = []
    assert case.deploy(said, **words).ok
    assert case.made.exists() == (words.get("verb") == "preflight")  # whose playbook is the same one here
    assert not case.places.inventory.exists()
    assert any("+1.2.0-" in each for each in said) == bool(words.get("diff"))


def test_a_bundle_that_was_changed_is_refused_and_nothing_is_done(case):
    flip(case.bundle / "ansible/playbooks/site.yml", 10)
    done = case.deploy()
    assert not done.ok
    assert [each.path for each in done.verdict.broken] == ["ansible/playbooks/site.yml"]
    assert case.records == []
    assert not case.places.inventory.exists()


def test_an_older_release_is_refused(tmp_path, releaser, case):
    assert case.deploy(verb="preflight").ok
    assert not (case.places.memory / "releases.json").exists()  # a look at a newer one keeps nobody from this one
    assert case.deploy().ok
    older = make_case(tmp_path, releaser, "1.0.0")  # released later: the log goes on, the version goes back
    assert "1.2.0 was seen before" in older.deploy().verdict.broken[0].detail


def test_two_at_once_are_refused(case):
    codes = []

    def second(_):
        if not codes:
            try:
                case.deploy()
            except ApplianceError as error:
                codes.append(error.code.id)

    deploy(case.order(), places=case.places, clock=SystemClock(), progress=NoProgress(), say=second)
    assert codes == ["APL-BASE-006"]


def test_a_task_that_fails_is_named_and_the_run_is_on_record(case):
    case.made.mkdir()
    (case.made / "in the way").write_text("x")
    done = case.deploy(inventory=None)
    (failure,) = done.failures
    assert (failure.task, failure.role) == ("Write who made it", "")
    assert failure.message
    assert not done.ok
    assert case.records[-1]["result"] == "failed"
    assert done.output.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        ("all: {hosts: {a: {ansible_connection: local}, b: {ansible_host: 192.0.2.1}}}\n", "APL-DEPLOY-002"),
        ("all: {hosts: {a: {ansible_host: 192.0.2.1}}}\n", "APL-DEPLOY-002"),
        ("all: [\n", "APL-DEPLOY-001"),
        (None, "APL-DEPLOY-001"),
    ],
)
def test_an_inventory_that_is_none_or_names_others_is_refused(case, tmp_path, hosts, code):
    folder = tmp_path / "mine"
    folder.mkdir()
    if hosts:
        (folder / "hosts.yml").write_text(hosts)
    with pytest.raises(ApplianceError) as error:
        case.deploy(inventory=folder)
    assert error.value.code.id == code
    assert case.records == []


def test_an_inventory_for_this_host_has_all_groups_and_what_the_bundle_has(case, tmp_path):
    target = tmp_path / "new/inventory"
    inventory.write_for_this_host(case.bundle, target)
    written = {str(each.relative_to(target)): each.read_text() for each in target.rglob("*") if each.is_file()}
    assert set(written) == {"hosts.yml"} | {f"group_vars/all/{each}.yml" for each in ("release", "time", "monitoring")}
    assert written["group_vars/all/release.yml"] == "---\nrelease_environments: [runtime]\nrelease_servers: [minio]\n"
    assert "ansible_connection: local" in written["hosts.yml"]
    assert "    monitoring:" in written["hosts.yml"]
    with pytest.raises(ApplianceError) as error:
        inventory.write_for_this_host(case.bundle, target)
    assert error.value.code.id == "APL-DEPLOY-001"


def test_the_bundle_of_a_control_environment_is_found(tmp_path):
    places = Places(programs=tmp_path)
    places.bundle("1.2.0-0123456789ab").mkdir(parents=True)
    assert own_bundle(places, places.control("1.2.0-0123456789ab")) == places.bundle("1.2.0-0123456789ab")
    assert own_bundle(places, places.control("1.3.0-0123456789ab")) is None
    assert own_bundle(places, tmp_path / "venv") is None


def test_the_command_line_refuses_a_typing_error(capsys):
    assert run(["deploy", "install", "--bundle", "/x", "--root-digest", "sha256:2a97"]) == 2
    assert "64 hex digits" in capsys.readouterr().err
    assert run(["deploy", "init", "/tmp/nothing", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "APL-DEPLOY-006"


@pytest.fixture
def ask(case, capsys, monkeypatch):
    """Asks the command line, with the places of this host in a folder; gives its code and what it printed."""
    monkeypatch.setattr("appliance.deploy.places.Places", lambda: case.places)

    def run_verb(verb, *words):
        capsys.readouterr()
        given = ("--bundle", str(case.bundle), "--root-digest", case.root_digest)
        return run(["deploy", verb, *given, *words]), capsys.readouterr()

    return run_verb


def test_people_and_programs_are_told_what_was_done(ask):
    code, said = ask("install")
    assert code == 0
    assert "install of release 1.2.0-" in said.out
    assert "Write who made it" in said.err
    code, said = ask("install", "--json")
    told = json.loads(said.out)
    assert (code, told["ok"], [each["changed"] for each in told["hosts"].values()]) == (0, True, [0])
    assert said.err == ""


@pytest.mark.parametrize(("verb", "code", "id"), [("install", 1, "APL-DEPLOY-004"), ("preflight", 4, "APL-DEPLOY-003")])
def test_a_failure_is_told_with_host_task_and_what_to_do(ask, case, verb, code, id):
    case.made.mkdir()
    (case.made / "in the way").write_text("x")
    ended, said = ask(verb)
    assert ended == code
    assert ", Write who made it: " in said.out
    assert id in said.out
    assert "\n  do: " in said.out


def test_a_refused_bundle_ends_with_the_code_of_verification(ask, case):
    flip(case.bundle / "ansible/playbooks/site.yml", 10)
    code, said = ask("install")
    assert code == 3
    assert "ansible/playbooks/site.yml" in said.out
