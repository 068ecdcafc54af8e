"""The whole set of servers, started once for all tests of this folder."""

import contextlib
import json

import pytest

from tests.integration.servers.running import Servers


@pytest.fixture(scope="session")
def servers():
    """All servers run and are ready. A test that stops one starts it again."""
    made = Servers()
    try:
        made.printed = made.up()
        yield made
    finally:
        made.remove()


@pytest.fixture
def site():
    """A site of the test's own, none of whose servers runs yet."""
    made = Servers()
    yield made
    made.remove()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The state of the servers with every failure."""
    report = (yield).get_result()
    made = item.funcargs.get("servers") or item.funcargs.get("site")
    if report.failed and isinstance(made, Servers):
        with contextlib.suppress(AssertionError):
            report.sections.append(("servers", "\n".join(json.dumps(row) for row in made.status().values())))
