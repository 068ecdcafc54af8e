"""Real servers and environments; see `tests.side_by_side` for what runs beside what."""

from tests.side_by_side import SideBySide, longest_first


def pytest_xdist_make_scheduler(config, log):
    return SideBySide(config, log)


def pytest_collection_modifyitems(items):
    items[:] = longest_first(items)
