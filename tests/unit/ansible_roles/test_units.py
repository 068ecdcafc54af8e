"""Every unit that a role makes is in the sandbox: systemd itself judges it, without a host."""

import re
import shutil
import subprocess

import pytest

from tests.unit.ansible_roles.conftest import ROOT
from tests.unit.ansible_roles.rendering import data_of, render, units, variables_of

BUDGET = 2.5  # of none of ours; systemd-analyze counts from 0, closed, to 10
UNITS = dict(units())
RENEWAL = "roles/certificates/templates/etc/systemd/system/appliance-certificates.service.j2"
JUDGED = UNITS | {"certificates anywhere": render(ROOT / RENEWAL, variables_of("certificates"))}


def analyze(*words):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", JUDGED)
def test_its_exposure_is_within_the_budget(name, tmp_path):
    unit = tmp_path / f"appliance-{name.split()[0]}.service"
    unit.write_text(JUDGED[name])
    done = analyze("security", "--offline=true", f"--threshold={int(BUDGET * 10)}", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout[-300:]
    assert re.search(r"Overall exposure level for \S+: [0-2]\.\d", done.stdout)


def test_a_unit_without_the_sandbox_is_not(tmp_path):
    unit = tmp_path / "appliance-open.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    assert analyze("security", "--offline=true", f"--threshold={int(BUDGET * 10)}", str(unit)).returncode != 0


@pytest.mark.parametrize("name", JUDGED)
def test_systemd_understands_every_line(name, tmp_path):
    unit = tmp_path / f"appliance-{name.split()[0]}.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", JUDGED[name]))
    done = analyze("verify", "--man=no", str(unit))
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


@pytest.mark.parametrize("name", UNITS)
def test_it_is_its_own_user_and_begins_with_the_mark_that_preflight_looks_for(name):
    from ansible.module_utils.host_checks import UNIT_MARK

    service = name.split()[0]
    assert UNITS[name].startswith(UNIT_MARK)
    for line in (f"User=appliance-{service}", f"StateDirectory=appliance/{service}", "IPAddressDeny=any"):
        assert f"\n{line}\n" in UNITS[name]


def test_numbers_of_the_command_line_make_the_same_units():
    assert dict(units(strings=True)) == UNITS


def test_what_is_loosened_shows_its_reason():
    loosened = [{"option": "MemoryDenyWriteExecute", "value": "no", "reason": "it compiles while it runs"}]
    variables = variables_of(
        "service_unit",
        service_unit_name="web",
        service_unit_description="A web",
        service_unit_command=["/bin/true"],
        service_unit_loosened=loosened,
        service_unit_credentials={"key": "/etc/appliance/web/key"},
        service_unit_watchdog_seconds=30,
    )
    text = render(ROOT / "roles/service_unit/templates/etc/systemd/system/service.j2", variables)
    assert "# MemoryDenyWriteExecute is loosened: it compiles while it runs\n" in text
    assert text.count("MemoryDenyWriteExecute=") == 1
    assert "\nMemoryDenyWriteExecute=no\n" in text
    assert "\nLoadCredential=key:/etc/appliance/web/key\n" in text
    assert "\nWatchdogSec=30\n" in text


def test_a_program_that_ends_by_another_signal_gets_it_alone():
    assert "\nKillMode=mixed\nKillSignal=SIGINT\n" in UNITS["postgres on metal"]
    assert "KillSignal" not in UNITS["openbao on metal"]


def test_the_journal_drops_no_line_of_the_audit_trail():
    assert "\nLogRateLimitIntervalSec=0\n" in UNITS["openbao on metal"]
    assert "LogRateLimit" not in UNITS["postgres on metal"]


def test_only_what_is_in_the_sandbox_can_be_loosened():
    sandbox = data_of(ROOT / "roles/service_unit/vars/main.yml")["__service_unit_sandbox"]
    for role in (ROOT / "roles").iterdir():
        for entries in (data_of(role / "vars/main.yml") or {}).values():
            for each in entries if isinstance(entries, list) else []:
                if isinstance(each, dict) and "option" in each:
                    assert each["option"] in sandbox
                    assert each["reason"]
