"""The sink: the network namespace where every way out of every test host ends, which counts and drops every packet.

A host without a route fails in ``connect`` and nothing is seen. So a host has a default route for IPv4 and IPv6, and
a resolver, and both end here. The sink is outside the reach of the host: nothing that the host's own firewall does to
a packet that has left can take it out of the count. A packet that the host's firewall drops before it leaves is no
attempt on the wire, and is not counted.

Rules
1. Packets are counted in the prerouting hook: the sink has no route, and would answer "unreachable" before a forward
   hook saw anything. Of frames, the ingress hook counts what never comes to prerouting: what is neither IP nor ARP,
   and it gives prerouting also what is not addressed to the sink's interface.
2. Not counted are, as RFC 4861 and 3810 have them on a link and nowhere else: router and neighbour solicitations and
   neighbour advertisements with hop limit 255, and multicast listener reports with hop limit 1. ARP is not IP.
3. A host has a second link, for control. On it the answers of the host's `control_ports` are accepted and not counted;
   whatever else comes that way is counted as well. Who controls a host works in the sink, by `prefix`.
4. A packet is counted for its host, and once more by destination. The second count has bounds (`DESTINATIONS`): what
   it lacks is reported as a destination that is not known. Fragments after the first have no port, and are told as 0.
5. Not seen: a packet whose IP header is broken, which prerouting never gets; and a socket of a family that network
   namespaces do not part, such as AF_VSOCK.
6. Everything ends here. Nothing is forwarded, neither to the machine nor from host to host.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.e2e.egress import UNKNOWN, Sample
from tests.e2e.questions import Listener
from tests.e2e.testbed import Testbed, command, ip

RESOLVERS = ("198.18.255.53", "2001:db8:ffff::53")  # off every link: a question takes the default route
MAX_HOSTS = 200
SETTLED_S = 2
DESTINATIONS = 65_536
NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
RULES = """\
table inet sink {
  set control_ports { type inet_service; elements = { %(control_ports)s }; }
  map hosts { type ifname : counter; }
  set ipv4_ports { type ifname . inet_proto . ipv4_addr . inet_service; flags dynamic; size %(size)d; counter; }
  set ipv6_ports { type ifname . inet_proto . ipv6_addr . inet_service; flags dynamic; size %(size)d; counter; }
  set ipv4 { type ifname . inet_proto . ipv4_addr; flags dynamic; size %(size)d; counter; }
  set ipv6 { type ifname . inet_proto . ipv6_addr; flags dynamic; size %(size)d; counter; }
  chain prerouting {
    type filter hook prerouting priority raw; policy drop;
    iifname lo accept
    icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } \
ip6 hoplimit 255 ip6 daddr { fe80::/10, ff02::/16 } accept
    icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } \
ip6 hoplimit 1 ip6 daddr ff02::/16 accept
    iifname "control-*" ip daddr 198.19.0.0/16 tcp sport @control_ports tcp flags & (syn | ack) != syn accept
    counter name iifname map @hosts
    ip frag-off & 0x1fff == 0 meta l4proto { tcp, udp } \
update @ipv4_ports { iifname . meta l4proto . ip daddr . th dport } drop
    meta nfproto ipv4 update @ipv4 { iifname . meta l4proto . ip daddr } drop
    frag frag-off != 0 update @ipv6 { iifname . meta l4proto . ip6 daddr } drop
    meta nfproto ipv6 meta l4proto { tcp, udp } \
update @ipv6_ports { iifname . meta l4proto . ip6 daddr . th dport } drop
    meta nfproto ipv6 update @ipv6 { iifname . meta l4proto . ip6 daddr } drop
  }
}
table netdev sink {
  set frames { type ifname . ether_type; flags dynamic; size %(size)d; counter; }
}
"""
LINK_RULES = """\
add counter inet sink %(counter)s
add element inet sink hosts { %(interface)s : "%(counter)s" }
table netdev sink {
  counter %(counter)s { }
  chain %(interface)s {
    type filter hook ingress device "%(interface)s" priority -500;
    meta pkttype other meta pkttype set host
    meta protocol != { ip, ip6, arp } update @frames { iifname . meta protocol } counter name "%(counter)s"
  }
}
"""


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A host's place in the network.

    Attributes:
        namespace: the host's own, with the interfaces ``uplink`` and ``control``.
        address: of the host on its control link; reached from the sink only.
    """

    namespace: str
    address: str


class Sink:
    """The context of a sink; hosts are attached to it one after another.

    Args:
        control_ports: TCP ports of hosts that whoever controls them may talk to: sshd's, and what a browser on the
            operator's desk is to reach. The answers of any other port are counted as attempts.
        destinations: how many are told apart, of each kind; packets to others are counted, and told as `UNKNOWN`.
    """

    def __init__(
        self, testbed: Testbed, *, control_ports: Sequence[int] = (22,), destinations: int = DESTINATIONS
    ) -> None:
        self.testbed = testbed
        self._destinations = destinations
        self._control_ports = control_ports
        self._hosts: dict[str, str] = {}  # interface of the sink -> host
        self._listeners = contextlib.ExitStack()
        self._questions: dict[str, Listener] = {}  # by host

    def __enter__(self) -> Sink:
        self.namespace = self.testbed.namespace("sink")
        ports = ", ".join(map(str, self._control_ports))
        self._nft("-f", "-", input=RULES % {"control_ports": ports, "size": self._destinations})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listeners.close()  # the namespace goes with the testbed

    @property
    def prefix(self) -> list[str]:
        """Of a command that is to reach hosts over their control links."""
        return ["ip", "netns", "exec", self.namespace]

    def attach(self, host: str) -> Attachment:
        """Make the namespace of a new host, with two links to here."""
        number = len(self._hosts) // 2 + 1
        if number > MAX_HOSTS or host in self._hosts.values():
            raise ValueError(f"{host} is one host too many, or there already")
        namespace = self.testbed.namespace(host)
        for kind in ("uplink", "control"):
            interface = f"{kind}-{number}"
            peer = ("peer", "name", kind, "netns", namespace)
            ip("-n", self.namespace, "link", "add", interface, "type", "veth", *peer)
            # By the host's counter every packet is counted that comes from either of its links.
            self._hosts[interface] = host
            names = {"interface": interface, "counter": f"host-{number}"}
            self._nft("-f", "-", input=LINK_RULES % names)
        self._address(f"uplink-{number}", "uplink", namespace, f"198.18.{number}", f"2001:db8:0:{number:x}")
        self._address(f"control-{number}", "control", namespace, f"198.19.{number}", None)
        for version, gateway in (("-4", f"198.18.{number}.1"), ("-6", "fe80::1")):
            ip("-n", namespace, version, "route", "add", "default", "via", gateway, "dev", "uplink")
        self._questions[host] = self._listeners.enter_context(Listener(self.namespace, f"uplink-{number}"))
        return Attachment(namespace=namespace, address=f"198.19.{number}.2")

    def samples(self) -> list[Sample]:
        """What was counted so far, for each host and destination.

        The kernel does not list all counters at one instant: read again until two readings agree, or `SETTLED_S`.
        """
        end = time.monotonic() + SETTLED_S
        last, again = self._read(), self._read()
        while last != again and time.monotonic() < end:
            last, again = again, self._read()
        return again

    def questions(self) -> Mapping[str, Sequence[str]]:
        """Host -> names that it asked a resolver or its neighbours for, in order, each once."""
        return {host: listener.names() for host, listener in self._questions.items()}

    def _read(self) -> list[Sample]:
        found: list[Sample] = []
        totals: Counter[str] = Counter()
        for item in json.loads(self._nft("--json", "--numeric", "list", "ruleset"))["nftables"]:
            if "counter" in item:
                totals[item["counter"]["name"]] += item["counter"]["packets"]
            elif "set" in item:
                found.extend(self._elements(item["set"]))
        for host, number in {host: name.partition("-")[2] for name, host in self._hosts.items()}.items():
            known = sum(each.packets for each in found if each.host == host)
            if (left := totals[f"host-{number}"] - known) > 0:
                found.append(Sample(host=host, protocol=UNKNOWN, destination=UNKNOWN, port=0, packets=left))
        return sorted(found)

    def _elements(self, listed: Mapping[str, Any]) -> Iterator[Sample]:
        for each in listed.get("elem", ()):
            if "counter" not in (element := each.get("elem", {}) if isinstance(each, dict) else {}):
                continue  # a set that counts nothing
            interface, *rest = element["val"]["concat"]
            if listed["name"] == "frames":
                protocol, destination, port = f"ethernet {rest[0]}", UNKNOWN, 0
            else:
                protocol, destination, port = _name(rest[0]), rest[1], rest[2] if len(rest) > 2 else 0
            packets = element["counter"]["packets"]
            host = self._hosts[interface]
            yield Sample(host=host, protocol=protocol, destination=destination, port=port, packets=packets)

    def _address(self, here: str, there: str, namespace: str, ipv4: str, ipv6: str | None) -> None:
        for name, interface, last in ((self.namespace, here, 1), (namespace, there, 2)):
            if ipv6 is None:
                setting = f"net.ipv6.conf.{interface}.disable_ipv6=1"
                command("ip", "netns", "exec", name, "sysctl", "--quiet", "--write", setting)
            else:
                own = "fe80::1/64" if name == self.namespace else f"{ipv6}::2/64"
                ip("-n", name, "address", "add", own, "dev", interface, "nodad")
            ip("-n", name, "address", "add", f"{ipv4}.{last}/30", "dev", interface)
            ip("-n", name, "link", "set", interface, "up")

    def _nft(self, *words: str, input: str | None = None) -> str:
        return command("ip", "netns", "exec", self.namespace, "nft", *words, input=input)


def _name(protocol: int | str) -> str:
    # By number, as the names that nft prints depend on the machine's own list of protocols.
    return NAMES.get(int(protocol), str(protocol))
