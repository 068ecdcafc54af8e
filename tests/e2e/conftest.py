"""The whole appliance on hosts of its own, which nothing leaves: ``make e2e``. Needs root.

`NspawnHost` (``host.py``) is a Debian 12 that boots in seconds, from a root folder that is made once (``root.py``).
Its only way out ends in the `Sink` (``sink.py``), which counts every packet and answers none. ``egress.py`` makes the
egress report of what was counted, ``evidence.py`` signs it into a site's log. `Testbed` (``testbed.py``) owns what all
of these make on the machine, and removes what a run left behind that was killed.

    with Testbed() as testbed, Sink(testbed) as sink, NspawnHost("h1", sink, medium=folder) as host:
        control = negative_control(sink, [host])
        host.run(["sh", "/media/bundle/install.sh"])
        host.reboot()
        written = egress.report(sink.samples(), control, declared, hosts=[host.name], ...)

Hosts of these tests share the processors and memory of the machine with each other: few at once.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.host import NspawnHost
from tests.e2e.sink import Sink
from tests.e2e.testbed import Testbed


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with Testbed() as testbed:
        yield testbed


@pytest.fixture(scope="module")
def sink(testbed: Testbed) -> Iterator[Sink]:
    with Sink(testbed) as sink:
        yield sink


@pytest.fixture(scope="module")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("medium")
    (folder / "install.sh").write_text("echo installed\n")
    return folder


@pytest.fixture(scope="module")
def host(sink: Sink, medium: Path) -> Iterator[NspawnHost]:
    """Shared by the tests of a module; it runs at the beginning of each."""
    with NspawnHost("h1", sink, medium=medium) as host:
        yield host
