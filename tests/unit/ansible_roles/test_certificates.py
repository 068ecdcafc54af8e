"""A certificate is issued when it is due and not before; by a stand-in for the PKI, with certificates of openssl."""

import datetime as dt
import json
import os
import subprocess
from types import SimpleNamespace

import pytest
from ansible.module_utils import certificates
from ansible.module_utils.certificates import Certificate, Issuer, Wanted

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def run(words, check_rc=True):
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def make(plugin):
    bootstrap = plugin("modules", "bootstrap_certificate")

    def made(section, text, days, *signed_by):
        return bootstrap._make(SimpleNamespace(run_command=run), section, text, days, *signed_by)

    return made, bootstrap.settings


@pytest.fixture
def authority(tmp_path, make):
    made, settings = make
    certificate, key = made("authority", settings("an authority", [], []), 10)
    (tmp_path / "authority.pem").write_bytes(certificate)
    (tmp_path / "authority.key").write_bytes(key)
    return tmp_path / "authority.pem"


@pytest.fixture
def issuer(authority, make, monkeypatch):
    """`asked`: what it was asked to issue."""
    made, settings = make
    asked = []

    class Pki:
        def required_login(self, folder):
            return self

        def put(self, path, body=None):
            if path != "pki/issue/service":
                return None
            asked.append(body)
            names, addresses = [body["common_name"], *body["alt_names"].split(",")], body["ip_sans"].split(",")
            signed_by = ("-CA", str(authority), "-CAkey", str(authority.with_suffix(".key")))
            certificate, key = made("service", settings("web", names, addresses), 3, *signed_by)
            return {"data": {"certificate": certificate.decode(), "private_key": key.decode()}}

    monkeypatch.setattr(certificates, "group_number", lambda name: os.getgid())
    found = Issuer(server=Pki(), login=authority.parent, mount="pki", role="service", authority=authority, hours=72)
    return found, asked


@pytest.fixture
def wanted(tmp_path):
    return Wanted.of(
        {
            "service": "web", "path": str(tmp_path / "tls"), "group": "web", "unit": "appliance-web.service",
            "names": ["localhost"], "addresses": ["127.0.0.1"],
        }
    )  # fmt: skip


def test_it_is_issued_once_and_the_unit_is_told_once(issuer, wanted):
    told = []
    issuer, asked = issuer
    assert list(certificates.renew(issuer, [wanted], NOW, tell=told.append)) == ["web"]
    assert certificates.renew(issuer, [wanted], NOW, tell=told.append) == {}
    assert told == ["appliance-web.service"]
    assert [each["ttl"] for each in asked] == ["72h"]
    key = wanted.path / "key.pem"
    assert oct(key.stat().st_mode & 0o777) == "0o640"


@pytest.fixture
def issued(issuer, wanted):
    certificates.renew(issuer[0], [wanted], NOW, tell=lambda unit: None)
    return issuer[0]


def test_it_is_due_from_two_thirds_of_its_life(issued, wanted):
    assert certificates.why_due(wanted, issued.authority, NOW + 1.9 * DAY) == ""
    assert certificates.why_due(wanted, issued.authority, NOW + 2.1 * DAY) == "two thirds of its life are over"


def test_it_is_due_for_other_names(issued, wanted):
    other = Wanted(**{**wanted.__dict__, "names": ("localhost", "node1")})
    assert certificates.why_due(other, issued.authority, NOW) == "it is for localhost, web, 127.0.0.1"


@pytest.mark.parametrize("harm", ["key", "certificate", "authority", "half"])
def test_it_is_due_when_it_does_not_fit(issued, wanted, make, harm):
    made, settings = make
    other, key = made("authority", settings("an authority", [], []), 10)
    if harm == "key":
        (wanted.path / "key.pem").unlink()
    elif harm == "certificate":
        (wanted.path / "certificate.pem").write_bytes(b"")
    elif harm == "authority":
        issued.authority.write_bytes(other)
    else:
        (wanted.path / "key.pem").write_bytes(key)
    assert certificates.why_due(wanted, issued.authority, NOW).startswith("there is none")


def test_what_it_says_of_itself(issued, wanted):
    found = certificates.read(wanted.path / "certificate.pem")
    assert (found.names, found.addresses) == (("localhost", "web"), ("127.0.0.1",))
    assert found.days_left(NOW) in (2, 3)


def test_two_thirds():
    found = Certificate(begins=NOW, ends=NOW + 30 * DAY, names=(), addresses=())
    assert found.renewed_from() == NOW + 20 * DAY


def test_the_program_says_what_it_did_not_do(tmp_path, capsys):
    settings = {
        "address": "https://127.0.0.1:1", "bootstrap": str(tmp_path / "a"), "authority": str(tmp_path / "b"),
        "login": str(tmp_path), "mount": "pki", "role": "service", "hours": 1,
    }  # fmt: skip
    (tmp_path / "renewal.json").write_text(json.dumps(settings))
    (tmp_path / "services").mkdir()
    assert certificates.main(tmp_path / "renewal.json") == 0
    want = {"service": "a", "path": str(tmp_path / "tls"), "group": "a", "unit": "a", "names": [], "addresses": []}
    (tmp_path / "services/a.json").write_text(json.dumps(want))
    assert certificates.main(tmp_path / "renewal.json") == 1
    assert "role openbao" in capsys.readouterr().err
