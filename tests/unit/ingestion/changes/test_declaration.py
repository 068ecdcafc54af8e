"""A declared source holds together, or its file is refused naming the key; Debezium is told what is declared."""

from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.changes.configuration import configuration
from appliance.ingestion.connectors.declaration import load_all

SOURCE = """
kind = "changes"
[changes]
host = "register.example"
database = "register"
user = "capture"
password_file = "keys/sources/register.secret"
ca_file = "keys/register-ca.pem"
excluded = ["public.owners.name"]
[changes.tables]
"public.owners" = "owners"
"""


def load(tmp_path, text):
    (tmp_path / "register.toml").write_text(text)
    return load_all(tmp_path)["register"]


def test_what_is_left_out_has_its_default(tmp_path):
    changes = load(tmp_path, SOURCE).changes
    assert (changes.port, changes.publication, changes.signals) == (5432, "appliance", "appliance.signals")


REFUSED = {
    "with a mapping": ('kind = "changes"', 'kind = "changes"\nmapping = "m"', "mapping"),
    "without a section": (SOURCE[SOURCE.index("[changes]") :], "", "section"),
    "the section of another kind": ('kind = "changes"', 'kind = "rest"', "section [rest]"),
    "a table without its schema": ('"public.owners" =', '"owners" =', "changes.tables"),
    "a name of the product": ('= "owners"', '= "readings"', "the product's own"),
    "a name that is none": ('= "owners"', '= "Owners!"', "changes.tables"),
    "two tables of one name": ('= "owners"', '= "owners"\n"public.b" = "owners"', "one name"),
    "an excluded column of another table": ("public.owners.name", "public.others.name", "changes.excluded"),
    "signals that are captured": ("[changes.tables]", '[changes.tables]\n"appliance.signals" = "s"', "changes.signals"),
    "a heartbeat that is none": ('user = "capture"', 'user = "capture"\nheartbeat = "soon"', "changes.heartbeat"),
    "no password": ('password_file = "keys/sources/register.secret"\n', "", "password_file"),
    "a password in OpenBao": ("keys/sources/register.secret", "openbao:sources/a", "changes.password_file"),
    "an unknown key": ('user = "capture"', 'user = "capture"\nslot = "x"', "slot"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_naming_the_key(tmp_path, name):
    old, new, key = REFUSED[name]
    assert old in SOURCE
    with pytest.raises(ApplianceError) as caught:
        load(tmp_path, SOURCE.replace(old, new))
    assert caught.value.code.id == "APL-CONN-001"
    assert key in str(caught.value)


def test_debezium_is_told_where_the_password_is_and_not_the_password(tmp_path):
    told = configuration("register-a", load(tmp_path, SOURCE).changes, Path("/site"))
    assert told["database.password"] == "${secret:/site/keys/sources:register.secret}"
    assert told["slot.name"] == "appliance_register_a"
    assert told["topic.prefix"] == "changes.register-a"
    assert told["table.include.list"] == r"public\.owners,appliance\.signals"
    assert told["column.exclude.list"] == r"public\.owners\.name"
    assert told["offset.mismatch.strategy"] == "trust_offset"
    assert all(isinstance(value, str) for value in told.values())
