"""The negative control: deliberate attempts by a host to reach what is beyond the boundary, one of each kind."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.egress import CONTROLS, Control, Sample, counted_between
from tests.e2e.host import NspawnHost
from tests.e2e.sink import RESOLVERS, Sink

NAME = "negative-control.invalid"  # RFC 6761: no resolver may answer; ours is asked, as the host cannot know
COUNTED_S = 5  # until a packet that was sent is counted: at once, but for a neighbour that is solicited first
ATTEMPT = (Path(__file__).parent / "inside" / "attempts.py").read_text()


def attempt(host: NspawnHost, controls: Sequence[Control]) -> None:
    """Send one packet at least of each kind where there is a route, and no more once this has returned."""
    asked = json.dumps([(each.protocol, each.destination, each.port) for each in controls])
    host.run(["python3", "-I", "-c", ATTEMPT, asked])


def negative_control(sink: Sink, hosts: Sequence[NspawnHost]) -> list[Sample]:
    """Let each host make every attempt of `CONTROLS`; gives what was counted meanwhile.

    The resolvers are asked as any program of the host asks them, so that its own configuration leads to them.
    """
    before = sink.samples()
    direct = [each for each in CONTROLS if each.destination not in RESOLVERS]
    wanted = {(host.name, each.protocol, each.destination, each.port) for host in hosts for each in CONTROLS}
    for host in hosts:
        attempt(host, direct)
        host.run(["getent", "ahosts", NAME], check=False)
    end = time.monotonic() + COUNTED_S
    while True:
        counted = counted_between(before, sink.samples())
        if wanted <= {each.key for each in counted} or time.monotonic() > end:
            return counted
        time.sleep(0.1)
