"""A network namespace of a test's own whose way to one server can be cut, as by pulling a cable.

Servers listen on this machine's loopback alone. The namespace has two pairs of interfaces to it, with a relay of plain
TCP behind each: one to the server that will be cut off, which is ``localhost`` in the namespace, and one to all others,
which are at 127.0.0.1 there as they are here. Cutting takes the first pair down: packets vanish, nobody is told.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAME = f"appliance-{os.getpid()}"
CUT, KEPT = "10.213.1", "10.213.2"  # of the two pairs; .1 is here, .2 in the namespace


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Cable:
    """`cut_port` is the server's; `kept_ports` those of the others."""

    def __init__(self, cut_port, kept_ports):
        if os.geteuid() != 0:
            pytest.skip("makes a network namespace, which needs root")
        self._hosts = Path("/etc/netns") / NAME / "hosts"
        self._relays = []
        self._cut_port, self._kept_ports = cut_port, kept_ports

    def __enter__(self):
        ip("netns", "add", NAME)
        self._hosts.parent.mkdir(parents=True)
        self._hosts.write_text(f"{CUT}.1 localhost\n")
        for number, network in enumerate((CUT, KEPT)):
            here, there = f"apl{os.getpid()}h{number}", f"eth{number}"
            ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", NAME)
            ip("address", "add", f"{network}.1/30", "dev", here)
            ip("link", "set", here, "up")
            ip("-n", NAME, "address", "add", f"{network}.2/30", "dev", there)
            ip("-n", NAME, "link", "set", there, "up")
        ip("-n", NAME, "link", "set", "lo", "up")
        self._relay(f"{CUT}.1", "127.0.0.1", [self._cut_port])
        self._relay(f"{KEPT}.1", "127.0.0.1", self._kept_ports)
        self._relay("127.0.0.1", f"{KEPT}.1", self._kept_ports, inside=True)
        return self

    def __exit__(self, *_):
        for each in self._relays:
            each.kill()
            each.wait()
        for number in range(2):
            ip("link", "delete", f"apl{os.getpid()}h{number}")
        ip("netns", "delete", NAME)
        self._hosts.unlink()
        self._hosts.parent.rmdir()

    @property
    def prefix(self):
        """Of a command that is to run in the namespace."""
        return ["ip", "netns", "exec", NAME]

    def cut(self):
        ip("link", "set", f"apl{os.getpid()}h0", "down")

    def mend(self):
        ip("link", "set", f"apl{os.getpid()}h0", "up")

    def _relay(self, listen, target, ports, *, inside=False):
        words = [*(self.prefix if inside else []), sys.executable, __file__, listen, target, *map(str, ports)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        self._relays.append(process)


async def relay(listen, target, ports):
    async def pump(reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def serve(port):
        async def took(reader, writer):
            try:
                other_reader, other_writer = await asyncio.open_connection(target, port)
            except OSError:
                writer.close()
                return
            await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer))

        return asyncio.start_server(took, listen, port)

    for port in ports:
        await serve(port)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1], sys.argv[2], [int(each) for each in sys.argv[3:]]))
