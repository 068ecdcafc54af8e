"""Alerts: one per key, oldest first, kept across processes."""

import dataclasses

from appliance.observability.alerts import Alert, Alerts

ONE = Alert(
    code="FORMAT", severity="critical", subject="device tx-1", message="looks like ms", at="2026-03-01T00:00:00Z",
    key="FORMAT/tx-1", facts={"unit": "ms"},
)  # fmt: skip
TWO = dataclasses.replace(ONE, key="FORMAT/tx-2", subject="device tx-2")


def test_a_key_is_raised_once(tmp_path):
    alerts = Alerts(tmp_path)
    assert alerts.record([ONE, TWO, ONE]) == (ONE, TWO)
    assert Alerts(tmp_path).record([dataclasses.replace(ONE, message="again"), TWO]) == ()
    assert Alerts(tmp_path).all() == (ONE, TWO)


def test_no_alerts_make_no_file(tmp_path):
    assert Alerts(tmp_path).record([]) == ()
    assert Alerts(tmp_path).all() == ()
    assert list(tmp_path.iterdir()) == []
