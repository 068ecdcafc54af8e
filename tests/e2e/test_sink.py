"""Nothing leaves a host uncounted, nothing that leaves arrives anywhere, and a host at rest sends nothing."""

import json
import socket
import subprocess
import time

import pytest

from tests.e2e.attempts import attempt
from tests.e2e.egress import CONTROLS, UNKNOWN, Control, Sample, counted_between
from tests.e2e.host import NspawnHost
from tests.e2e.sink import Sink
from tests.e2e.testbed import Testbed, command, ip

QUIET_S = 20
COUNTED_S = 5
OTHERS = (
    Control(name="sctp", protocol="132", destination="192.0.2.1"),
    Control(name="multicast-ipv4", protocol="udp", destination="224.0.0.251", port=5353),
    Control(name="multicast-ipv6", protocol="udp", destination="ff02::fb%uplink", port=5353),
    Control(name="sink-ipv4", protocol="tcp", destination="198.18.1.1", port=80),
    Control(name="sink-link-local", protocol="udp", destination="fe80::1%uplink", port=4242),
    Control(name="control-link", protocol="tcp", destination="198.19.1.1", port=22),
)
# Sends what no socket of IP sends: a frame of another protocol, one to nobody's address, a second fragment.
FRAMES = """\
import socket, sys

kind = sys.argv[1]
gateway = bytes.fromhex(sys.argv[2].replace(":", ""))
datagram = bytes.fromhex("4500001c00010000401100005db8d801c0000201000100430008ffff")
fragment = bytes.fromhex("4500001c00010001401100005db8d801c0000201000100430008ffff")

def checked(packet):
    words = [int.from_bytes(packet[at:at + 2]) for at in range(0, 20, 2)]
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return packet[:10] + (0xFFFF - total).to_bytes(2) + packet[12:]

protocol, target, body = {
    "protocol": (0x88B5, gateway, b"text"),
    "address": (0x0800, bytes.fromhex("02000000ffff"), checked(datagram)),
    "fragment": (0x0800, gateway, checked(fragment)),
}[kind]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sending:
    sending.bind(("uplink", 0))
    own = sending.getsockname()[4]
    sending.send(target + own + protocol.to_bytes(2) + body.ljust(46, b"\\0"))
"""
SEEN = {
    "protocol": ("ethernet 34997", UNKNOWN, 0),
    "address": ("udp", "192.0.2.1", 67),
    "fragment": ("udp", "192.0.2.1", 0),
}
DROP = """\
table inet own {
  chain output { type filter hook output priority 0; tcp dport 443 drop; }
}
"""
BLIND = """\
table inet own {
  chain input { type filter hook input priority 0; policy drop; iifname { lo, control } accept; }
  chain output { type filter hook output priority -400; notrack; accept; }
  chain postrouting { type nat hook postrouting priority 100; masquerade; }
}
"""


@pytest.fixture
def counted(sink):
    """Gives what was counted since the test began; waits for `expected`, a key without its host."""
    before = sink.samples()

    def read(expected=None):
        end = time.monotonic() + COUNTED_S
        while True:
            found = counted_between(before, sink.samples())
            if expected is None or expected in [each.key[1:] for each in found] or time.monotonic() > end:
                return found
            time.sleep(0.05)

    return read


def without_scope(control):
    return control.protocol, control.destination.partition("%")[0], control.port


@pytest.mark.parametrize("control", [*CONTROLS, *OTHERS], ids=lambda each: each.name)
def test_every_kind_of_packet_is_counted(host, counted, control):
    attempt(host, [control])
    expected = without_scope(control)
    found = counted(expected)
    assert [each.key for each in found] == [("h1", *expected)]
    assert found[0].packets >= 1


@pytest.mark.parametrize("kind", SEEN)
def test_frames_that_no_hook_of_ip_would_see_are_counted(host, sink, counted, kind):
    shown = json.loads(ip("-n", sink.namespace, "-json", "link", "show", "uplink-1"))
    host.run(["python3", "-I", "-c", FRAMES, kind, shown[0]["address"]])
    protocol, destination, port = SEEN[kind]
    expected = Sample(host="h1", protocol=protocol, destination=destination, port=port, packets=1)
    assert counted(SEEN[kind]) == [expected]


def test_packets_to_more_destinations_than_are_told_apart_are_counted():
    with Testbed() as testbed, Sink(testbed, destinations=2) as sink, NspawnHost("loud", sink) as loud:
        attempt(loud, [Control(name="", protocol="udp", destination=f"192.0.2.{n}", port=9) for n in range(1, 21)])
        found = sink.samples()
    assert sum(each.packets for each in found) == 20
    assert max(found, key=lambda each: each.packets).destination == UNKNOWN


def test_a_name_is_asked_of_the_resolver_and_reported(host, sink, counted):
    host.run(["getent", "ahosts", "updates.example"], check=False)
    assert {each.key for each in counted(("udp", "2001:db8:ffff::53", 53))} == {
        ("h1", "udp", "198.18.255.53", 53),
        ("h1", "udp", "2001:db8:ffff::53", 53),
    }
    assert "updates.example" in sink.questions()["h1"]


def test_a_host_sends_nothing_while_it_boots_and_rests(sink):
    """What its services do at other times, such as apt's daily timers, is a matter of the journeys."""
    with NspawnHost("resting", sink) as resting:
        time.sleep(QUIET_S)
        assert [each for each in sink.samples() if each.host == "resting"] == []
        assert sink.questions()["resting"] == []
        assert resting.run(["systemctl", "is-system-running"]).stdout == "running\n"


def sent(host, *names):
    """Packets of these kinds that the host's kernel says it has sent."""
    counters = dict(line.split() for line in host.run(["cat", "/proc/net/snmp6"]).stdout.splitlines())
    return [int(counters[f"Icmp6Out{name}"]) for name in names]


def test_neighbour_discovery_and_listener_reports_are_not_counted(host, counted):
    kinds = ("NeighborSolicits", "MLDv2Reports")
    before = sent(host, *kinds)
    own = ["2001:db8:0:1::99/64", "dev", "uplink"]
    host.run(["ip", "address", "add", *own])  # looks for a duplicate, and joins a group
    time.sleep(3)
    host.run(["ip", "address", "delete", *own])
    time.sleep(1)
    assert all(after > first for first, after in zip(before, sent(host, *kinds), strict=True))
    assert counted() == []


@pytest.mark.parametrize("destination", ["2001:db8:ffff::1", "fe80::1%uplink"])
def test_what_only_looks_like_neighbour_discovery_is_counted(host, counted, destination):
    text = (
        "import socket\n"
        "with socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58) as sending:\n"
        "    sending.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 64)\n"
        f"    sending.sendto(bytes((135, 0)) + bytes(22), ('{destination}', 0))\n"
    )
    host.run(["python3", "-I", "-c", text])
    expected = ("icmpv6", destination.partition("%")[0], 0)
    assert [each.key[1:] for each in counted(expected)] == [expected]


@pytest.fixture
def firewall(host):
    """Sets the host's own firewall, as root of the host can."""

    def apply(rules):
        command(*own, "nft", "-f", "-", input=rules)

    own = ["ip", "netns", "exec", host.attached.namespace]
    yield apply
    command(*own, "nft", "flush", "ruleset")


def test_a_packet_that_the_hosts_own_firewall_drops_is_no_attempt_on_the_wire(host, counted, firewall):
    firewall(DROP)
    attempt(host, [CONTROLS[0]])
    time.sleep(0.5)
    assert counted() == []


def test_no_rule_of_the_host_takes_a_packet_that_left_out_of_the_count(host, counted, firewall):
    firewall(BLIND)
    attempt(host, CONTROLS)
    last = without_scope(CONTROLS[-1])
    assert {each.key[1:] for each in counted(last)} == {without_scope(each) for each in CONTROLS}


def test_who_controls_a_host_is_not_counted_but_the_way_back_is(host, sink, counted):
    words = [*host.ssh_words, "head -c 1000000 /dev/zero"]
    done = subprocess.run(words, capture_output=True, timeout=60)
    assert len(done.stdout) == 1_000_000, done.stderr
    assert counted() == []
    back = Control(name="back", protocol="tcp", destination="198.19.1.1", port=22)
    attempt(host, [back])
    assert [each.key[1:] for each in counted(without_scope(back))] == [without_scope(back)]


def test_a_connection_that_a_host_opens_from_a_control_port_is_counted(host, counted):
    text = (
        "import socket, struct\n"
        "opening = struct.pack('!HHIIBBHHH', 22, 9999, 1, 0, 5 << 4, 0x02, 1024, 0, 0)\n"
        "with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sending:\n"
        "    sending.sendto(opening, ('198.19.1.1', 0))\n"
    )
    host.run(["python3", "-I", "-c", text])
    expected = ("tcp", "198.19.1.1", 9999)
    assert [each.key[1:] for each in counted(expected)] == [expected]


def test_a_host_reaches_neither_this_machine_nor_its_network(host, counted):
    listed = [each for link in json.loads(ip("-json", "address")) for each in link["addr_info"]]
    addresses = [each["local"] for each in listed if each["scope"] == "global"]
    assert addresses, "this machine has no address to reach"
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        controls = [Control(name=each, protocol="tcp", destination=each, port=port) for each in addresses]
        attempt(host, controls)  # fails where one answers
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    expected = {without_scope(each) for each in controls}
    assert {each.key[1:] for each in counted(without_scope(controls[-1]))} == expected


def test_hosts_do_not_reach_each_other_and_each_is_counted_for_itself(host, sink, counted):
    with NspawnHost("other", sink) as other:
        peer = Control(name="peer", protocol="tcp", destination=ours(other), port=22)
        attempt(host, [peer])
        attempt(other, [CONTROLS[0]])
        expected = {("h1", *without_scope(peer)), ("other", *without_scope(CONTROLS[0]))}
        assert {each.key for each in counted(without_scope(CONTROLS[0]))} == expected


def ours(host):
    """Its address on its link to the sink."""
    (listed,) = json.loads(host.run(["ip", "-json", "-4", "address", "show", "uplink"]).stdout)
    return listed["addr_info"][0]["local"]
