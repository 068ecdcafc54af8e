"""What systemd lists, and when a host is well."""

import json

import pytest

from appliance.deploy.status import Status, Unit, parse_units

LISTED = [
    {"unit": "appliance-time-sync.service", "load": "loaded", "active": "failed", "sub": "failed", "description": ""},
    {"unit": "appliance-prometheus.service", "load": "loaded", "active": "active", "sub": "running", "description": ""},
]
RUNS = Unit(name="appliance-prometheus.service", active="active", sub="running")
FAILED = Unit(name="appliance-time-sync.service", active="failed", sub="failed")
STOPPED = Unit(name="appliance-prometheus.service", active="inactive", sub="dead")
TIMER = Unit(name="appliance-certificates.timer", active="active", sub="waiting")
RESTS = Unit(name="appliance-certificates.service", active="inactive", sub="dead")
WORKS = Unit(name="appliance-certificates.service", active="activating", sub="start")
LAPSED = Unit(name="appliance-certificates.service", active="failed", sub="failed")
RELEASE = "1.2.0-0123456789ab"


def test_units_are_those_that_systemd_lists_in_order():
    assert parse_units(json.dumps(LISTED).encode()) == (RUNS, FAILED)
    assert parse_units(b"") == ()


@pytest.mark.parametrize(
    ("release", "units", "ok"),
    [
        (RELEASE, (RUNS,), True),
        (RELEASE, (RUNS, FAILED), False),
        (RELEASE, (RUNS, STOPPED), False),
        (RELEASE, (TIMER, RESTS), True),
        (RELEASE, (TIMER, WORKS), True),
        (RELEASE, (TIMER, LAPSED), False),
        (RELEASE, (RESTS,), False),
        ("", (RUNS,), False),
    ],
)
def test_a_host_is_well_when_a_release_is_current_and_every_unit_is_active_or_waits_for_its_time(release, units, ok):
    assert Status(release=release, units=units, last=None).ok == ok
