"""Shared by all tests: one new seed per run, printed, so that a failure can be repeated."""

import os
import secrets

import pytest

SEED = int(os.environ.get("APPLIANCE_TEST_SEED") or secrets.randbelow(10**6))


def pytest_configure(config):
    # Workers of a parallel run take the seed of the run that started them.
    os.environ["APPLIANCE_TEST_SEED"] = str(SEED)


def pytest_report_header():
    return f"APPLIANCE_TEST_SEED={SEED}"


@pytest.fixture(scope="session")
def seed():
    return SEED


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Where APPLIANCE_REQUIRE_TOOLS is set, as in CI, a test that cannot run for want of a tool has failed."""
    report = (yield).get_result()
    if report.skipped and os.environ.get("APPLIANCE_REQUIRE_TOOLS"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
