"""Who may read which password: the decisions, without a server."""

import pytest

from appliance.deploy.servers import kafka_access
from appliance.deploy.servers.openbao_access import ROLES, policy_of
from appliance.storage.s3 import access


def paths(role):
    return [each.path for each in ROLES[role]]


def test_ingestion_reads_what_it_talks_to_and_the_others_one_password_each():
    assert paths("ingest") == ["kafka/ingest", "kafka/serving", "store/site", "catalog/lake", "registry/appliance"]
    assert paths("collector") == ["kafka/collector"]
    assert paths("steward") == ["kafka/steward"]
    assert paths("auditor") == ["store/auditor"]


def test_every_user_that_the_servers_make_for_a_role_has_its_password_there():
    users = {(each.service, each.user) for passwords in ROLES.values() for each in passwords}
    assert {user for service, user in users if service == "kafka"} == set(kafka_access.USERS)
    assert {user for service, user in users if service == "store"} == set(access.ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_a_policy_allows_to_read_each_entry_by_its_whole_path_and_nothing_else(role):
    lines = policy_of("kv", ROLES[role]).splitlines()
    assert lines == [f'path "kv/data/{path}" {{ capabilities = ["read"] }}' for path in paths(role)]
