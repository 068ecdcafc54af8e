"""The egress report: what hosts tried to send beyond the boundary, and the proof that it would have been seen. Pure.

Rules
1. The negative control comes first: deliberate attempts (`CONTROLS`) by each host, to destinations that nothing else
   uses. One that was not counted makes the report void: a sink that counts nothing proves nothing.
2. The packets that the control sent to its own destinations are not attempts; every other packet that was counted is,
   whenever it was, unless its destination is declared.
3. A declared destination is one inside the boundary of the site: time, syslog, directory. Its packets are listed.
4. The form holds whole numbers and text only, as a statement that is signed does.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMAT = "appliance-egress/1"
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, order=True)
class Sample:
    """Packets that a sink counted.

    Attributes:
        protocol: ``tcp``, ``udp``, ``icmp``, ``icmpv6``, or the number of another; of a frame ``ethernet <type>``.
        destination: an address, or `UNKNOWN`.
        port: of the destination; 0 where the protocol has none.
    """

    host: str
    protocol: str
    destination: str
    port: int
    packets: int

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.host, self.protocol, self.destination, self.port


@dataclass(frozen=True, kw_only=True)
class Control:
    """A deliberate attempt."""

    name: str
    protocol: str
    destination: str
    port: int = 0


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A destination inside the boundary.

    Attributes:
        network: one address or a network, of IPv4 or IPv6.
    """

    protocol: str
    network: str
    port: int

    def has(self, sample: Sample) -> bool:
        if (sample.protocol, sample.port) != (self.protocol, self.port) or sample.destination == UNKNOWN:
            return False
        return ipaddress.ip_address(sample.destination) in ipaddress.ip_network(self.network)


# Destinations of RFC 5737 and 3849, which are nobody's; the resolvers are those of the sink.
CONTROLS = (
    Control(name="tcp-ipv4", protocol="tcp", destination="192.0.2.1", port=443),
    Control(name="tcp-ipv6", protocol="tcp", destination="2001:db8:ffff::1", port=443),
    Control(name="udp-ipv4", protocol="udp", destination="192.0.2.1", port=123),
    Control(name="udp-ipv6", protocol="udp", destination="2001:db8:ffff::1", port=123),
    Control(name="dns-ipv4", protocol="udp", destination="198.18.255.53", port=53),
    Control(name="dns-ipv6", protocol="udp", destination="2001:db8:ffff::53", port=53),
    Control(name="icmp-ipv4", protocol="icmp", destination="192.0.2.1"),
    Control(name="icmp-ipv6", protocol="icmpv6", destination="2001:db8:ffff::1"),
    Control(name="protocol-253-ipv4", protocol="253", destination="192.0.2.1"),
    Control(name="protocol-253-ipv6", protocol="253", destination="2001:db8:ffff::1"),
)


class VoidReportError(Exception):
    """The report would prove nothing."""


def counted_between(before: Sequence[Sample], after: Sequence[Sample]) -> list[Sample]:
    """What came to the count from one reading of the sink to a later one."""
    known = {each.key: each.packets for each in before}
    return [
        Sample(**{**vars(each), "packets": more}) for each in after if (more := each.packets - known.get(each.key, 0))
    ]


def report(
    samples: Sequence[Sample],
    control: Sequence[Sample],
    declared: Sequence[Declared],
    *,
    hosts: Sequence[str],
    began_at: str,
    ended_at: str,
    questions: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The report.

    Args:
        samples: all that was counted from the first boot to the end, the control too.
        control: what was counted while the control was made; see `counted_between`.
        began_at, ended_at: RFC 3339 in UTC.
        questions: host -> the names that it asked for.

    Raises:
        VoidReportError: no host, a host whose control was not counted, or counts that contradict each other.
    """
    deliberate = {(host, each.protocol, each.destination, each.port): 0 for host in hosts for each in CONTROLS}
    for each in control:
        if each.key in deliberate:
            deliberate[each.key] += each.packets
    _refuse_unproved(hosts, deliberate, began_at, ended_at)
    left = Counter({each.key: 0 for each in samples})
    for each in samples:
        left[each.key] += each.packets
    left.subtract(deliberate)
    if less := sorted(key for key, packets in left.items() if packets < 0):
        raise VoidReportError(f"fewer packets in all than in the control: {less}")
    if strangers := sorted({key[0] for key in left} - set(hosts)):
        raise VoidReportError(f"packets of hosts that had no control: {', '.join(strangers)}")
    listed = [Sample(host=h, protocol=p, destination=d, port=n, packets=left[h, p, d, n]) for h, p, d, n in left]
    per_destination = [
        {**vars(each), "declared": any(one.has(each) for one in declared)} for each in sorted(listed) if each.packets
    ]
    return {
        "format": FORMAT,
        "hosts": sorted(hosts),
        "began_at": began_at,
        "ended_at": ended_at,
        "attempts": sum(each["packets"] for each in per_destination if not each["declared"]),
        "declared": [vars(each) for each in declared],
        "negative_control": {
            host: {each.name: deliberate[host, each.protocol, each.destination, each.port] for each in CONTROLS}
            for host in sorted(hosts)
        },
        "per_destination": per_destination,
        "questions": {host: list(names) for host, names in sorted((questions or {}).items())},
    }


def _refuse_unproved(
    hosts: Sequence[str], deliberate: Mapping[tuple[str, str, str, int], int], began_at: str, ended_at: str
) -> None:
    if not hosts or len(set(hosts)) != len(hosts):
        raise VoidReportError(f"expected hosts, each once, got {list(hosts)}")
    if began_at >= ended_at:
        raise VoidReportError(f"it began at {began_at} and ended at {ended_at}")
    unseen = [
        f"{each.name} of {host}"
        for host in hosts
        for each in CONTROLS
        if not deliberate[host, each.protocol, each.destination, each.port]
    ]
    if unseen:
        raise VoidReportError(f"deliberate attempts that were not counted: {', '.join(unseen)}")
