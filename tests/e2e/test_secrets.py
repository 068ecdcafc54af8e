"""Secrets, certificates and databases on a bare Debian by the roles, from a signed bundle; no packet leaves."""

import json
import os
import re
import subprocess
import time

import pytest

from tests.e2e import signed_bundle
from tests.e2e.host import NspawnHost
from tests.e2e.root import CHECKOUT

PLAYBOOK = CHECKOUT / ".venv-ansible" / "bin" / "ansible-playbook"
PLAY_S = 480
SERVICES = ("appliance-openbao", "appliance-postgres", "appliance-certificates.timer")
ENTRIES = (
    *("kafka/ingest", "kafka/serving", "kafka/collector", "kafka/steward", "registry/appliance"),
    *("store/site", "store/auditor", "catalog/lake", "catalog/registry"),
)
OPENBAO = "/etc/appliance/openbao"
FILES = {
    f"{OPENBAO}/keys/recovery-key": "a new root token takes it; root's alone, to be carried away with the seal key",
    f"{OPENBAO}/deploy/secret-id": "a later run logs in by it; root's alone, good on this host alone",
    f"{OPENBAO}/certificates/secret-id": "the renewal logs in by it; root's alone, good on this host alone",
}
"""Secrets that are on the host in clear, and why."""
AUTHORITY = "/etc/appliance/authority/authority.pem"
BOOTSTRAP = "/etc/appliance/authority/bootstrap.pem"
ASK = """\
import ssl, sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], context=ssl.create_default_context(cafile=sys.argv[2])).read().decode())
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return signed_bundle.make(tmp_path_factory.mktemp("secrets"), "secrets")


@pytest.fixture(scope="module")
def host(sink, bundle):
    with NspawnHost("h1", sink, medium=bundle.folder) as host:
        host.run(["mkdir", "-p", "/opt/appliance/bundle"])
        host.run(["cp", "-r", "/media/bundle", f"/opt/appliance/bundle/{bundle.release}"], timeout_s=300)
        yield host


@pytest.fixture(scope="module")
def play(host, sink, bundle, tmp_path_factory):
    """Runs a playbook; gives how many tasks changed something, and what was said."""
    home = tmp_path_factory.mktemp("ansible")
    inventory = {
        "hosts": {"h1": host.ansible_variables},
        "children": {name: {"hosts": {"h1": {}}} for name in ("secrets", "database")},
        "vars": {
            "layout_release": bundle.release,
            "layout_manifest_digest": bundle.manifest_digest,
            "release_environments": [],
            "release_servers": ["openbao"],
            "preflight_manifest": str(bundle.folder / "manifest.json"),
            "preflight_memory_mib": 256,
            "base_os_journal_max_mib": 200,
        },
    }
    (home / "hosts.yml").write_text(json.dumps({"all": inventory}))
    own = {"ANSIBLE_HOME": str(home), "ANSIBLE_LOCAL_TEMP": str(home), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(name, *words):
        told = [*sink.prefix, str(PLAYBOOK), "-i", str(home / "hosts.yml"), f"playbooks/{name}.yml", *words]
        began = time.monotonic()
        done = subprocess.run(
            told, cwd=CHECKOUT / "ansible", capture_output=True, text=True, timeout=PLAY_S, env={**os.environ, **own}
        )
        print(f"{time.monotonic() - began:7.1f} s  {name} {' '.join(words)}", flush=True)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return int(re.search(r"changed=(\d+)", done.stdout)[1]), done.stdout

    return run


@pytest.fixture(scope="module")
def installed(play):
    changes, said = play("site", "--check", "--diff")
    assert changes > 20
    assert "+openbao" not in said.replace("+++", "")
    changes, said = play("site", "--diff")
    assert changes > 20
    assert "CARRY AWAY /etc/appliance/openbao/keys of h1" in said
    return said


def login(host, role, mode, authority):
    script = (CHECKOUT / "tests/e2e/inside/postgres_login.py").read_text()
    return host.run(["python3", "-Es", "-", role, mode, authority], input=script, check=False)


def ask(host, url, authority):
    return host.run(["python3", "-Es", "-c", ASK, url, authority], check=False)


def assert_they_answer(host):
    assert host.run(["systemctl", "is-active", *SERVICES]).stdout.split() == ["active"] * 3
    assert '"sealed":false' in ask(host, "https://localhost:8200/v1/sys/health", AUTHORITY).stdout
    for role in ("lake", "registry"):
        assert login(host, role, "verify-full", AUTHORITY).stdout == f"{role} true\n"


def test_the_services_answer_by_tls(host, installed):
    assert_they_answer(host)


def test_a_second_run_changes_nothing(play, installed):
    assert play("site", "--diff")[0] == 0
    assert play("site", "--check", "--diff")[0] == 0
    assert play("verify")[0] == 0


def test_plain_text_and_another_authority_are_refused(host, installed):
    assert "400" in ask(host, "http://localhost:8200/v1/sys/health", AUTHORITY).stderr
    assert "CERTIFICATE_VERIFY_FAILED" in ask(host, "https://localhost:8200/v1/sys/health", BOOTSTRAP).stderr
    assert "no encryption" in login(host, "lake", "disable", AUTHORITY).stderr
    assert "certificate verify failed" in login(host, "lake", "verify-full", BOOTSTRAP).stderr


def test_figures_are_shown_without_a_login(host, installed):
    found = ask(host, "https://localhost:8200/v1/sys/metrics?format=prometheus", AUTHORITY).stdout
    assert re.search(r"(?m)^vault_core_unsealed\{.*\} 1$", found)


def test_a_certificate_that_is_due_is_renewed_and_the_service_shows_it(host, installed):
    shown = "echo | openssl s_client -connect localhost:8200 2>/dev/null | openssl x509 -noout -serial"
    before = host.run(["sh", "-c", shown]).stdout
    host.run(["rm", f"{OPENBAO}/tls/certificate.pem"])
    host.run(["systemctl", "start", "appliance-certificates.service"])
    assert host.run(["sh", "-c", shown]).stdout != before
    host.run(["systemctl", "start", "appliance-certificates.service"])  # nothing is due
    journal = host.run(["journalctl", "--unit=appliance-certificates", "--output=cat"]).stdout
    assert journal.count("issued for openbao") == 1


def test_a_changed_policy_is_set_without_a_root_token_that_stays(host, play, installed):
    changes, said = play("site", "--diff", "-e", "openbao_token_seconds=600")
    assert changes == 1
    assert "+role deploy" in said
    assert play("site")[0] == 1
    assert host.run(["ls", f"{OPENBAO}/keys"]).stdout.split() == ["recovery-key", "seal-key"]


def test_openbao_unseals_itself_after_a_restart_of_the_host_and_all_come_up(host, installed):
    host.reboot()
    end = time.monotonic() + 60
    while '"sealed":false' not in ask(host, "https://localhost:8200/v1/sys/health", AUTHORITY).stdout:
        assert time.monotonic() < end
        time.sleep(1)
    assert_they_answer(host)


def test_no_secret_is_anywhere_but_where_it_is_listed(host, installed):
    marker = os.urandom(16).hex()
    host.run(["install", "-m", "0600", "/dev/stdin", "/root/marker"], input=marker)
    host.run(["install", "/dev/stdin", "/var/tmp/planted"], input=f"x{marker}y")
    host.run(["systemd-run", "--quiet", "--unit=planted", f"--setenv=MARKER={marker}", "sleep", "300"])
    host.run(["logger", f"said {marker}"])
    script = (CHECKOUT / "tests/e2e/inside/secrets_seen.py").read_text()
    told = ["site", ",".join(ENTRIES), ",".join([*FILES, "/root/marker"])]
    found = json.loads(host.run(["python3", "-Es", "-", *told], input=script, timeout_s=300).stdout)
    host.run(["systemctl", "stop", "planted"])
    planted = found["seen"].pop("/root/marker")
    assert {"/root/marker", "/var/tmp/planted", "/proc/environ", "journal"} <= set(planted)
    assert found["seen"] == {entry: [] for entry in ENTRIES} | {file: [file] for file in FILES} | {"a token": []}


def test_nothing_was_sent(host, sink, installed):
    assert sink.samples() == []
    assert sink.questions()["h1"] == []
