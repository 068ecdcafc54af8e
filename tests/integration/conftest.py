"""Real servers and environments; see `tests.side_by_side` for what runs beside what."""

from tests.side_by_side import SideBySide


def pytest_xdist_make_scheduler(config, log):
    return SideBySide(config, log)
