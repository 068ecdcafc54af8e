"""Which tests run in one process, one after the other, when pytest runs several beside each other (``-n``)."""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

SHARE_NOTHING = ("trust", "test_key_stores.py")
SHARE_SERVERS = ("changes", "servers", "storage")  # folders; elsewhere a file has its own, or one that is up in seconds
LONGEST = (  # they begin first: one that began last would keep one process busy alone
    "integration/storage",
    "integration/changes",
    "demo",
    "integration/topics/test_faults.py",
    "integration/topics/test_server_kills.py",
    "integration/topics/test_kills.py",
    "integration/topics/test_soak.py",
    "integration/topics/test_worker.py",
    "integration/topics/test_predictions.py",
    "integration/servers",
    "integration/test_sensitive.py",
    "integration/training/test_run.py",
    "system/test_pipeline_kills.py",
    "system/test_airflow.py",
)
ON_THE_DEMO = ("test_reproduce.py", "test_verify.py", "test_verify_after_upkeep.py")


class SideBySide(LoadScopeScheduling):
    """Tests that share something costly stay together, of the suites ``integration`` and ``system``."""

    def schedule(self):
        self.config.option.loadscopereorder = False  # by `LONGEST`, not by number of tests
        super().schedule()

    def _split_scope(self, nodeid):
        return scope_of(nodeid)


def scope_of(nodeid):
    place = PurePosixPath(nodeid.partition("::")[0])
    suite, within = "/".join(place.parts[:2]), PurePosixPath(*place.parts[2:])
    if within.parts[0] in SHARE_NOTHING:
        return nodeid
    if str(within) in ON_THE_DEMO:
        return "demo"
    return f"{suite}/{within.parent if within.parts[0] in SHARE_SERVERS else within}"


def longest_first(items):
    """The items in the order in which their scopes should begin."""
    ranks = {scope: rank for rank, scope in enumerate(LONGEST)}
    return sorted(items, key=lambda item: ranks.get(scope_of(item.nodeid).removeprefix("tests/"), len(ranks)))
