"""One planted problem for each check: exactly that one is named. What is ours already is no problem."""

import datetime as dt

import pytest
from ansible.module_utils.host_checks import (
    CHECKS,
    UNIT_MARK,
    Filesystem,
    Host,
    Listener,
    Needs,
    User,
    findings,
    merged,
)

GIB = 1 << 30
MADE = dt.datetime(2026, 1, 5, 18, tzinfo=dt.UTC)
NEEDS = Needs(
    memory_bytes=2 * GIB,
    cores=2,
    places={"/opt/appliance": 2 * GIB, "/var/lib/appliance": 3 * GIB},
    programs=["/opt/appliance"],
    ports={9090: "prometheus"},
    not_before=[MADE],
)
GOOD = {
    "system": "debian",
    "system_version": "12",
    "architecture": "x86_64",
    "init": "systemd",
    "init_state": "running",
    "memory_bytes": 2 * GIB,
    "cores": 2,
    "now": MADE,
    "places": {
        "/opt/appliance": Filesystem(device=1, free_bytes=5 * GIB),
        "/var/lib/appliance": Filesystem(device=1, free_bytes=5 * GIB),
    },
    "listeners": [Listener(port=22, program="sshd", unit="ssh.service")],
    "users": {"appliance-prometheus": User(uid=998, shell="/usr/sbin/nologin")},
    "units": {"appliance-prometheus.service": f"{UNIT_MARK}; changes are lost.\n[Unit]\n"},
}
# id -> what is wrong with the host, words of the finding
PLANTED = {
    "HOST_SYSTEM": ({"system_version": "13"}, "expected debian 12, got debian 13"),
    "HOST_ARCHITECTURE": ({"architecture": "aarch64"}, "expected x86_64, got aarch64"),
    "HOST_INIT": ({"init": "sh", "init_state": ""}, "sh is process 1, state unknown"),
    "HOST_MEMORY": ({"memory_bytes": GIB}, "expected 2048 MiB for the services of this host, got 1024 MiB"),
    "HOST_CORES": ({"cores": 1}, "expected 2 cores, got 1"),
    "PLACE_SPACE": (
        {"places": {place: Filesystem(device=1, free_bytes=4 * GIB) for place in NEEDS.places}},
        "/opt/appliance, /var/lib/appliance: expected 5120 MiB free, got 4096 MiB",
    ),
    "PLACE_NOEXEC": (
        {"places": {place: Filesystem(device=1, free_bytes=5 * GIB, noexec=True) for place in NEEDS.places}},
        "/opt/appliance is mounted noexec",
    ),
    "PLACE_READ_ONLY": (
        {"places": {"/opt/appliance": Filesystem(device=1, free_bytes=5 * GIB, read_only=True)}},
        "/opt/appliance is mounted read-only",
    ),
    "PORT_IN_USE": (
        {"listeners": [Listener(port=9090, program="java", unit="other.service")]},
        "port 9090, for prometheus, is in use by java of other.service",
    ),
    "CLOCK_BEHIND": (
        {"now": dt.datetime(1970, 1, 1, tzinfo=dt.UTC)},
        "1970-01-01 00:00 UTC, the bundle is of 2026-01-05",
    ),
    "CLOCK_AHEAD": ({"now": dt.datetime(2038, 1, 19, tzinfo=dt.UTC)}, "2038-01-19 00:00 UTC, ten years after"),
    "USER_FOREIGN": (
        {"users": {"appliance-x": User(uid=1000, shell="/bin/bash")}},
        "the user appliance-x is a person's: number 1000, shell /bin/bash",
    ),
    "UNIT_FOREIGN": (
        {"units": {"appliance-x.service": "[Unit]\n"}},
        "/etc/systemd/system/appliance-x.service is not ours",
    ),
}  # fmt: skip


def test_a_good_host_passes():
    assert findings(Host(**GOOD), NEEDS) == []


def test_every_check_has_a_planted_problem():
    assert PLANTED.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", PLANTED)
def test_exactly_the_planted_problem_is_named(name):
    changes, words = PLANTED[name]
    (found,) = findings(Host(**{**GOOD, **changes}), NEEDS)
    assert found.id == name
    assert words in found.found
    assert found.fix.endswith((".", "`"))


def test_all_are_named_at_once_in_the_order_of_the_checks():
    worst = {**GOOD}
    for changes, _ in PLANTED.values():
        worst |= changes
    worst["places"] = {place: Filesystem(device=1, free_bytes=0, noexec=True, read_only=True) for place in NEEDS.places}
    named = list(dict.fromkeys(each.id for each in findings(Host(**worst), NEEDS)))
    assert named == [each for each in CHECKS if each != "CLOCK_BEHIND"]  # the clock cannot be both


@pytest.mark.parametrize(
    "changes",
    [
        {"places": {place: Filesystem(device=1, free_bytes=0, used_bytes=3 * GIB) for place in NEEDS.places}},
        {"listeners": [Listener(port=9090, program="prometheus", unit="appliance-prometheus.service")]},
        {"init_state": "degraded"},
        {
            "places": {
                "/opt/appliance": Filesystem(device=1, free_bytes=2 * GIB),
                "/var/lib/appliance": Filesystem(device=2, free_bytes=3 * GIB),
            }
        },
    ],
    ids=[
        "it is there already",
        "our own service listens",
        "somebody else's unit failed",
        "two filesystems with what each needs",
    ],
)
def test_no_problem(changes):
    assert findings(Host(**{**GOOD, **changes}), NEEDS) == []


def test_the_needs_of_roles_add_up():
    needs = merged(
        [
            {
                "role": "a",
                "memory_mib": "100",
                "places": [{"path": "/var", "bytes": 5}],
                "ports": [1],
                "programs": ["/opt"],
            },
            {
                "role": "b",
                "memory_mib": 20,
                "cores": 4,
                "places": [{"path": "/var", "bytes": "7"}],
                "ports": ["2"],
                "programs": ["/opt"],
            },
            {"role": "c", "not_before": ["2026-01-05T18:00:00Z"]},
        ]
    )
    assert needs == Needs(
        memory_bytes=120 << 20,
        cores=4,
        places={"/var": 12},
        ports={1: "a", 2: "b"},
        programs=["/opt"],
        not_before=[MADE],
    )


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([{"role": "a", "ports": [1]}, {"role": "b", "ports": ["1"]}], "a and b both want port 1"),
        ([{"role": "a", "prots": [1]}], r"a: unknown needs \['prots'\]"),
        ([{"role": "a", "places": [{"path": "{{ x }}", "bytes": 1}]}], "a: expected a full path, got"),
        ([{"role": "a", "not_before": ["2026-01-05T18:00:00"]}], "expected an instant with its zone"),
    ],
)
def test_needs_that_make_no_sense_are_refused(told, words):
    with pytest.raises(ValueError, match=words):
        merged(told)
