"""What is wrong with a source, Connect or a declaration is told within five seconds, and nothing is added."""

import contextlib
import time
from pathlib import Path

import certifi
import kafka
import pytest

from appliance.base.errors import ApplianceError
from appliance.deploy.servers import kafka as broker
from appliance.deploy.servers.https import ask
from tests.integration.changes.conftest import CaptureSite

pytestmark = pytest.mark.integration

STRANGER = certifi.where()
LACKING = {
    "no publication": ("DROP PUBLICATION appliance", 3, "CREATE PUBLICATION appliance;"),
    "a table that is not published": ("ALTER PUBLICATION appliance DROP TABLE links", 3, "ADD TABLE public.links;"),
    "no such table": ("DROP TABLE links", 4, ""),
    "a table that may not be read": ("REVOKE ALL ON links FROM capture", 4, "GRANT SELECT ON public.links TO capture;"),
    "no primary key": ("ALTER TABLE links DROP CONSTRAINT links_pkey", 5, ""),
    "a weak replica identity": ("ALTER TABLE links REPLICA IDENTITY DEFAULT", 6, "REPLICA IDENTITY FULL;"),
    "no table of signals": ("DROP TABLE appliance.signals", 7, "CREATE TABLE appliance.signals"),
    "signals that may not be written": ("REVOKE INSERT ON appliance.signals FROM capture", 7, "GRANT SELECT, INSERT"),
    "people's names": (
        "ALTER TABLE links ADD owner text; INSERT INTO links SELECT 'f' || n, n, 1, (ARRAY['Anna Schmidt', "
        "'Peter Meyer', 'Julia Novak', 'John Carter', 'Maria Lopez'])[n % 5 + 1] FROM generate_series(1, 60) n",
        8,
        "",
    ),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, servers):
    return CaptureSite(tmp_path_factory.mktemp("capture") / "site", servers)


@pytest.fixture
def site(shared, register):
    """One site for all of these tests, which add nothing; each with a register of its own."""
    declared = dict(shared.declared)
    shared.follow(register)
    yield shared
    with contextlib.suppress(ApplianceError):
        shared.connectors.remove(shared.connector)
    shared.declared = declared


def refused(ask_for):
    """The error of a call that is refused within five seconds."""
    began = time.monotonic()
    with pytest.raises(ApplianceError) as caught:
        ask_for()
    assert time.monotonic() - began < 5
    return caught.value


@pytest.mark.parametrize("name", LACKING)
def test_a_source_that_is_not_fit(site, register, name):
    change, number, statement = LACKING[name]
    assert site.connectors.objections(site.connector) == ()
    register.do(change)
    found = site.connectors.objections(site.connector)
    assert [each for each in found if each.number == number and statement in each.statement], found
    error = refused(lambda: site.connectors.add(site.connector))
    assert (error.code.id, f"({number})" in error.message) == ("APL-CHANGE-007", True)
    assert site.connectors.status(site.connector).state == "not added"


def test_what_the_administrator_is_told(site, register):
    register.do("ALTER PUBLICATION appliance DROP TABLE links")
    ended = site.fail("source")
    assert ended.printed["objections"][0]["statement"] == "ALTER PUBLICATION appliance ADD TABLE public.links;"
    register.do(ended.printed["objections"][0]["statement"])
    assert site.do("source")["objections"] == []


def test_a_column_that_somebody_has_seen_is_no_objection(site, register):
    register.do(LACKING["people's names"][0])
    for key in ("excluded", "plain"):
        site.declare(**{key: '["public.links.owner"]'})
        assert site.connectors.objections(site.connector) == ()


DECLARED = {
    "wrong password": ({"password_file": "wrong"}, "APL-CHANGE-006", "password authentication failed"),
    "no password": ({"password_file": "missing"}, "APL-CHANGE-006", "cannot be read"),
    "no such database": ({"database": '"nothing"'}, "APL-CHANGE-006", "does not exist"),
    "nobody listens": ({"port": 1}, "APL-CHANGE-006", "refused"),
    "another authority": ({"ca_file": f'"{STRANGER}"'}, "APL-CHANGE-006", "certificate verify failed"),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_source_that_does_not_let_us_in(site, name):
    changes, code, words = DECLARED[name]
    if "password_file" in changes:
        path = site.product.folder / "keys" / changes["password_file"]
        if changes["password_file"] == "wrong":
            path.write_text("not-it")
            path.chmod(0o600)
        changes = {"password_file": f'"{path}"'}
    site.declare(**changes)
    error = refused(lambda: site.connectors.add(site.connector))
    assert (error.code.id, words in error.message) == (code, True), error


SETTINGS = {
    "not configured": ("url", "", "APL-CHANGE-001"),
    "nobody listens": ("url", "https://127.0.0.1:1", "APL-CHANGE-002"),
    "another authority": ("ca_file", STRANGER, "APL-CHANGE-003"),
    "no certificate": ("certificate_file", "missing.pem", "APL-CHANGE-003"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_connect_that_cannot_be_asked(site, name):
    setting, value, code = SETTINGS[name]
    path = site.product.folder / "site.toml"
    before = path.read_text()
    lines = before.splitlines()
    section = lines.index("[connect]")
    place = next(number for number, line in enumerate(lines) if number > section and line.startswith(f"{setting} ="))
    lines[place] = f'{setting} = "{value}"'
    path.write_text("\n".join(lines) + "\n")
    error = refused(lambda: site.connectors.status(site.connector))
    assert error.code.id == code
    assert [each.state for each in site.connectors.all()] == ["unknown"]
    path.write_text(before)


def test_only_the_role_ingest_and_connect_itself_come_to_the_topics(servers, site, register):
    """The collector, which may write readings, may neither read nor write changes."""
    register.do("INSERT INTO links VALUES ('north', 1, 0.5)")
    site.connectors.add(site.connector)
    producer = kafka.KafkaProducer(**broker.client_settings(servers.place, "collector"), acks="all")
    sent = producer.send(f"changes.{site.connector}.public.links", b"{}")
    with pytest.raises(kafka.errors.KafkaError, match="Authorization"):
        sent.get(timeout=20)
    producer.close()


def test_the_password_of_a_source_stands_in_no_configuration(servers, site):
    site.connectors.add(site.connector)
    told = ask(servers.place, "connect", f"/connectors/{site.connector}/config", client=True).json()
    assert "a-password-of-the-source" not in str(told)
    for path in (servers.place.folder / "kafka" / "data").rglob("*.log"):
        assert b"a-password-of-the-source" not in path.read_bytes(), path
    assert b"a-password-of-the-source" not in Path(servers.place.log("connect")).read_bytes()
