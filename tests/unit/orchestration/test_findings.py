"""What counts as a finding, and what says nothing about the files."""

import pytest

from appliance.base.errors import ApplianceError
from appliance.orchestration.findings import Findings
from appliance.secrets import codes as secret_codes
from appliance.storage import codes as storage_codes

NO_VERDICT = {
    "the store is away": storage_codes.STORE_AWAY,
    "the store's secret cannot be read": storage_codes.SECRET_UNREADABLE,
    "the server with its secret is away": secret_codes.UNREACHABLE,
    "the server with its secret is sealed": secret_codes.SEALED,
    "the role may not read its secret": secret_codes.FORBIDDEN,
    "there is no secret": secret_codes.MISSING,
}


def failing(code):
    raise ApplianceError(code, "said")


@pytest.mark.parametrize("case", NO_VERDICT)
def test_where_nothing_was_seen_there_is_no_verdict(tmp_path, case):
    findings = Findings(tmp_path)
    with pytest.raises(ApplianceError, match=NO_VERDICT[case].id):
        findings.attempt("name", lambda: failing(NO_VERDICT[case]), "path")
    assert findings.links == []


def test_bytes_that_are_gone_are_a_finding(tmp_path):
    findings = Findings(tmp_path)
    assert findings.attempt("name", lambda: failing(storage_codes.OBJECT_DAMAGED), "path") is None
    assert [(link.path, link.ok) for link in findings.broken] == [("path", False)]
