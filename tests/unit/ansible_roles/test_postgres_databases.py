"""Passwords of databases: PostgreSQL gets a verifier, and a verifier that is right stays."""

from pathlib import Path

import pytest

PASSWORD = "pencil"


@pytest.fixture
def databases(plugin):
    return plugin("modules", "postgres_databases")


def test_a_verifier_is_that_of_rfc_7677(databases):
    import base64

    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    made = databases.verifier(PASSWORD, salt)
    assert made.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:")
    assert databases.is_of(made, PASSWORD)
    assert not databases.is_of(made, "other")
    assert not databases.is_of("md5abc", PASSWORD)
    assert not databases.is_of("", PASSWORD)


def test_what_is_missing_is_made_in_order(databases):
    due = databases.statements("role|appliance||t\ndatabase|postgres|appliance|\n", {"lake": PASSWORD})
    assert list(due) == ["role lake", "database lake"]
    assert due["role lake"].startswith('CREATE ROLE "lake" LOGIN PASSWORD \'SCRAM-SHA-256$')
    assert not any(PASSWORD in each for each in due.values())


def test_what_is_right_stays(databases):
    kept = databases.verifier(PASSWORD, b"0123456789abcdef")
    state = f"role|lake|{kept}|t\ndatabase|lake|lake|\n"
    assert databases.statements(state, {"lake": PASSWORD}) == {}
    assert list(databases.statements(state, {"lake": "other"})) == ["role lake"]
    assert list(databases.statements(state.replace("|t\n", "|f\n"), {"lake": PASSWORD})) == ["role lake"]
    assert list(databases.statements(state.replace("|lake|\n", "|appliance|\n"), {"lake": PASSWORD})) == [
        "database lake"
    ]


@pytest.mark.parametrize("name", ['a"; DROP', "A", "", "1a", "a-b"])
def test_a_name_is_no_statement(databases, name):
    with pytest.raises(ValueError, match="no name for a database"):
        databases.statements("", {name: PASSWORD})


def test_a_cluster_is_made_by_the_user_of_the_service(plugin):
    made = plugin("modules", "postgres_cluster").command(
        Path("/p"), Path("/d/draft"), "appliance-postgres", "appliance"
    )
    assert made[:4] == ["setpriv", "--reuid=appliance-postgres", "--regid=appliance-postgres", "--init-groups"]
    assert "--data-checksums" in made
