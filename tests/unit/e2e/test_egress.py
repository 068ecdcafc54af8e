"""The egress report separates the deliberate attempts from the journey's own, and is void where they prove nothing."""

import pytest

from tests.e2e import egress
from tests.e2e.egress import CONTROLS, UNKNOWN, Declared, Sample, VoidReportError, counted_between

BEGAN, ENDED = "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"
SYSLOG = Declared(protocol="tcp", network="10.9.0.0/24", port=6514)


def sample(host="h1", protocol="tcp", destination="203.0.113.7", port=443, packets=1):
    return Sample(host=host, protocol=protocol, destination=destination, port=port, packets=packets)


def control(host="h1", *, without=()):
    return [sample(host, x.protocol, x.destination, x.port, 2) for x in CONTROLS if x.name not in without]


def report(samples, controls, declared=(), hosts=("h1",), began_at=BEGAN, ended_at=ENDED):
    return egress.report(samples, controls, declared, hosts=hosts, began_at=began_at, ended_at=ended_at)


def test_a_journey_without_attempts():
    assert report(control(), control()) == {
        "format": "appliance-egress/1",
        "hosts": ["h1"],
        "began_at": BEGAN,
        "ended_at": ENDED,
        "attempts": 0,
        "declared": [],
        "negative_control": {"h1": {each.name: 2 for each in CONTROLS}},
        "per_destination": [],
        "questions": {},
    }


def test_the_control_has_every_kind():
    kinds = {(each.protocol, ":" in each.destination) for each in CONTROLS}
    assert kinds == {(kind, six) for kind in ("tcp", "udp", "253") for six in (False, True)} | {
        ("icmp", False),
        ("icmpv6", True),
    }
    assert {53} < {each.port for each in CONTROLS}


def test_attempts_are_all_packets_beyond_the_control_and_the_declared():
    seen = [sample(packets=3), sample(destination="10.9.0.5", port=6514, packets=40), sample(destination="10.9.0.5")]
    told = report([*control(), *seen], control(), [SYSLOG])
    assert told["attempts"] == 4
    assert [(x["destination"], x["port"], x["packets"], x["declared"]) for x in told["per_destination"]] == [
        ("10.9.0.5", 443, 1, False),
        ("10.9.0.5", 6514, 40, True),
        ("203.0.113.7", 443, 3, False),
    ]


@pytest.mark.parametrize(
    "seen",
    [
        sample(protocol="udp", destination="10.9.0.5", port=6514),
        sample(destination="10.9.1.5", port=6514),
        sample(destination="2001:db8::5", port=6514),
        sample(destination=UNKNOWN, protocol=UNKNOWN, port=0),
        sample(protocol="ethernet 34997", destination=UNKNOWN, port=0),
    ],
    ids=["protocol", "network", "version", "unknown", "frame"],
)
def test_what_only_resembles_a_declared_destination_is_an_attempt(seen):
    assert report([*control(), seen], control(), [SYSLOG])["attempts"] == 1


def test_a_packet_to_a_destination_of_the_control_after_the_control_is_an_attempt():
    later = [sample("h1", each.protocol, each.destination, each.port, 5) for each in CONTROLS]
    assert report(later, control())["attempts"] == 3 * len(CONTROLS)


def test_what_else_was_sent_while_the_control_was_made_is_an_attempt():
    other = sample(packets=7)
    assert report([*control(), other], [*control(), other])["attempts"] == 7


@pytest.mark.parametrize("name", [each.name for each in CONTROLS])
def test_it_is_void_where_one_deliberate_attempt_was_not_counted(name):
    seen = control(without=[name])
    with pytest.raises(VoidReportError, match=rf"not counted: {name} of h1$"):
        report(seen, seen)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hosts": ()}, r"expected hosts, each once, got \[\]"),
        ({"hosts": ("h1", "h1")}, r"each once, got \['h1', 'h1'\]"),
        ({"hosts": ("h1", "h2")}, "not counted: tcp-ipv4 of h2, "),
        ({"samples": [*control(), sample("h3")]}, "packets of hosts that had no control: h3"),
        ({"samples": []}, "fewer packets in all than in the control"),
        ({"ended_at": BEGAN}, f"began at {BEGAN} and ended at {BEGAN}"),
    ],
    ids=["no host", "twice", "no control", "stranger", "fewer", "no time"],
)
def test_it_is_void_where_its_parts_contradict_each_other(changes, message):
    with pytest.raises(VoidReportError, match=message):
        report(**{"samples": control(), "controls": control(), **changes})


def test_what_was_counted_between_two_readings():
    first = [sample(packets=2), sample(port=80, packets=1)]
    later = [sample(packets=5), sample(port=80, packets=1), sample("h2", packets=1)]
    assert counted_between(first, later) == [sample(packets=3), sample("h2", packets=1)]
