"""What the text of a setting means, with an OpenBao and without one; nothing is asked."""

from pathlib import Path

import msgspec
import pytest

from appliance.base.errors import ApplianceError
from appliance.config.model import SecretsSection
from appliance.secrets.secret import EntrySecret, FileSecret
from appliance.secrets.settings import FILES, Secrets

SITE = Path("/srv/site")
WITHOUT = Secrets(SecretsSection(), SITE)
WITH = Secrets(SecretsSection(openbao="https://bao.site:8200"), SITE)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("keys/a", "/srv/site/keys/a"),
        ("/run/credentials/a", "/run/credentials/a"),
        ("keys/openbao:a", "/srv/site/keys/openbao:a"),
    ],
)
@pytest.mark.parametrize("secrets", [WITH, WITHOUT], ids=["with OpenBao", "without"])
def test_a_path_is_from_the_sites_folder(secrets, text, path):
    assert secrets.named(text) == FileSecret(Path(path))
    assert secrets.password_of("kafka", "ingest", text) == FileSecret(Path(path))


@pytest.mark.parametrize(
    ("text", "path", "field"),
    [
        ("openbao:a", "a", "value"),
        ("openbao:kafka/ingest", "kafka/ingest", "value"),
        ("openbao:plant/north-1/broker_2.old#password", "plant/north-1/broker_2.old", "password"),
    ],
)
def test_an_entry_is_a_path_and_a_field(text, path, field):
    found = WITH.named(text)
    assert isinstance(found, EntrySecret)
    assert (found.path, found.field, str(found)) == (path, field, text)


REFUSED = {
    "nothing": "",
    "a path that no file can have": "a\0b",
    "no path": "openbao:",
    "no field": "openbao:a#",
    "a field alone": "openbao:#a",
    "two fields": "openbao:a#b#c",
    "a slash in front": "openbao:/a",
    "a slash behind": "openbao:a/",
    "an empty part": "openbao:a//b",
    "the folder above": "openbao:a/../b",
    "this folder": "openbao:./a",
    "a query": "openbao:a?version=1",
    "an escaped sign": "openbao:a%2fb",
    "a space": "openbao:a b",
    "the end of a line": "openbao:a\n",
    "a letter that is not ASCII": "openbao:é",
    "an address": "openbao:https://bao.site:8200/a",
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_text_that_names_no_place_is_refused(case):
    with pytest.raises(ApplianceError) as caught:
        WITH.named(REFUSED[case])
    assert caught.value.code.id == "APL-SECRETS-001"


def test_an_entry_is_refused_where_no_server_is_named():
    with pytest.raises(ApplianceError, match=r"secrets\.openbao is empty") as caught:
        WITHOUT.named("openbao:kafka/ingest")
    assert caught.value.code.id == "APL-SECRETS-001"


DEFAULTS = {
    "kafka": ("ingest", "kafka-ingest"),
    "store": ("site", "minio-site"),
    "catalog": ("lake", "postgresql-lake"),
    "registry": ("appliance", "nginx"),
}


@pytest.mark.parametrize("service", FILES)
def test_a_password_that_no_setting_names_is_the_users_own(service):
    user, file = DEFAULTS[service]
    assert WITHOUT.password_of(service, user, "") == FileSecret(SITE / "servers/secrets" / file)
    entry = WITH.password_of(service, user, "")
    assert (entry.path, entry.field) == (f"{service}/{user}", "value")


def test_who_we_are_to_the_server_is_the_role_ingest_of_this_machine_unless_a_setting_names_another():
    own = WITH.named("openbao:a").server
    assert own.address == "https://bao.site:8200"
    assert own.mount == "site"
    assert own.authority == SITE / "servers/certificates/ca.pem"
    assert own.role_id_file == SITE / "servers/secrets/openbao-ingest-role-id"
    assert own.secret_id_file == SITE / "servers/secrets/openbao-ingest-secret-id"
    section = SecretsSection(
        openbao="https://bao.site:8200",
        mount="kv",
        ca_file="ca",
        role_id_file="/run/role",
        secret_id_file="/run/secret",
    )
    given = Secrets(section, SITE).named("openbao:a").server
    assert (given.mount, given.authority) == ("kv", SITE / "ca")
    assert (given.role_id_file, given.secret_id_file) == (Path("/run/role"), Path("/run/secret"))


@pytest.mark.parametrize(
    "address",
    ["http://bao:8200", "https://bao", "https://a@bao:8200", "https://bao:8200/v1", "https://bao:8200?a", "bao:8200"],
)
def test_an_address_that_is_not_https_with_a_port_is_refused(address):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"openbao": address}, SecretsSection)
