"""Which tests run in one process, one after the other, when pytest runs several beside each other (``-n``)."""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

SHARE_NOTHING = ("trust", "test_key_stores.py")
SHARE_SERVERS = ("changes", "servers", "storage")  # folders; elsewhere a file has its own, or one that is up in seconds
ON_THE_DEMO = ("test_reproduce.py", "test_verify.py", "test_verify_after_upkeep.py")


class SideBySide(LoadScopeScheduling):
    """Tests that share something costly stay together, of the suites ``integration`` and ``system``."""

    def _split_scope(self, nodeid):
        place = PurePosixPath(nodeid.partition("::")[0])
        suite, within = "/".join(place.parts[:2]), PurePosixPath(*place.parts[2:])
        if within.parts[0] in SHARE_NOTHING:
            return nodeid
        if str(within) in ON_THE_DEMO:
            return "demo"
        return f"{suite}/{within.parent if within.parts[0] in SHARE_SERVERS else within}"
