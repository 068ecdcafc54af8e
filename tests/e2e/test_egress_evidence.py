"""An egress report of real hosts, signed into a site's log."""

import datetime as dt
import json

import pytest

from appliance.base.clock import SystemClock, rfc3339
from appliance.base.errors import ApplianceError
from appliance.cli.main import run
from appliance.config.site import open_site
from appliance.wiring.parts import Parts
from tests.e2e import egress, evidence
from tests.e2e.attempts import NAME, attempt, negative_control
from tests.e2e.egress import CONTROLS, Control, Declared, VoidReportError
from tests.e2e.host import NspawnHost

TIME = Declared(protocol="udp", network="192.0.2.0/28", port=323)
TO_TIME = Control(name="time", protocol="udp", destination="192.0.2.9", port=323)
ABOUT, INPUTS = "core/0.1", {"manifest": "sha256:" + "5" * 64}


def now():
    return rfc3339(dt.datetime.now(dt.UTC))


def reported(sink, hosts, control, began_at, declared=(TIME,)):
    names = [each.name for each in hosts]
    # A report of a second is no longer than the clock's unit.
    ended_at = rfc3339(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1))
    return egress.report(
        sink.samples(), control, declared, hosts=names, began_at=began_at, ended_at=ended_at, questions=sink.questions()
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    return Parts(site=open_site(folder), clock=SystemClock())


def test_a_quiet_journey_is_proved_and_a_loud_one_is_told(host, sink, parts, tmp_path):
    began_at = now()
    with NspawnHost("h2", sink) as second:
        control = negative_control(sink, [host, second])
        attempt(host, [TO_TIME])
        quiet = reported(sink, [host, second], control, began_at)
        assert quiet["attempts"] == 0
        assert [(each["destination"], each["declared"]) for each in quiet["per_destination"]] == [("192.0.2.9", True)]
        assert {name: set(seen) for name, seen in quiet["negative_control"].items()} == {
            each: {control.name for control in CONTROLS} for each in ("h1", "h2")
        }
        assert quiet["questions"] == {"h1": [NAME], "h2": [NAME]}
        # The very destination of the control: what the host tries there later is an attempt all the same.
        attempt(second, [CONTROLS[0]])
        loud = reported(sink, [host, second], control, began_at)
    assert loud["attempts"] >= 1
    assert ("h2", "192.0.2.1", False) in [(x["host"], x["destination"], x["declared"]) for x in loud["per_destination"]]
    for name, written in (("quiet", quiet), ("loud", loud)):
        (folder := tmp_path / name).mkdir()
        evidence.write(folder, written, about=ABOUT, inputs=INPUTS, signer=parts.signer)
        assert evidence.read(folder, about=ABOUT, anchor=parts.anchor) == written
    assert_forgeries_are_refused(tmp_path, parts.anchor)
    assert run(["trust", "status", "--site", str(parts.site.folder)]) == 0


def assert_forgeries_are_refused(folder, anchor):
    quiet, loud = folder / "quiet", folder / "loud"
    with pytest.raises(evidence.EvidenceError, match="expected a statement on"):
        evidence.read(quiet, about="core/0.2", anchor=anchor)
    (loud / evidence.REPORT).write_bytes((quiet / evidence.REPORT).read_bytes())
    with pytest.raises(evidence.EvidenceError, match="expected a statement on"):
        evidence.read(loud, about=ABOUT, anchor=anchor)
    bundle = json.loads((quiet / evidence.STATEMENT).read_bytes())
    signature = bundle["dsseEnvelope"]["signatures"][0]
    signature["sig"] = signature["sig"][:-8] + "AAAAAA=="
    (quiet / evidence.STATEMENT).write_text(json.dumps(bundle))
    with pytest.raises(ApplianceError):
        evidence.read(quiet, about=ABOUT, anchor=anchor)


def test_a_host_without_a_route_proves_nothing(sink):
    with NspawnHost("cut", sink) as cut:
        for version in ("-4", "-6"):
            cut.run(["ip", version, "route", "delete", "default"])
        began_at = now()
        control = negative_control(sink, [cut])
        with pytest.raises(VoidReportError, match=r"not counted: tcp-ipv4 of cut, .*protocol-253-ipv6 of cut"):
            reported(sink, [cut], control, began_at)
