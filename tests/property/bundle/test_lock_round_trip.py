"""Any lock that can be made is the same after it was written and read, and its text does not depend on order."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.bundle import lock as locks
from appliance.bundle.difference import difference
from appliance.bundle.lock import Input, Lock, Package

PART = st.from_regex(r"[a-z0-9_+%@=,][a-z0-9._+~%@=,-]{0,10}[a-z0-9]", fullmatch=True)
PATHS = st.lists(PART, min_size=1, max_size=8).map("/".join)
TEXT = st.text(max_size=20)
INPUTS = st.builds(
    Input,
    kind=st.sampled_from(["deb", "wheel", "server", "model", "data"]),
    name=TEXT,
    version=TEXT,
    path=PATHS,
    size_bytes=st.integers(0, 2**53),
    digest=st.binary(min_size=32, max_size=32).map(lambda data: f"sha256:{data.hex()}"),
    executable=st.booleans(),
    licence=TEXT,
    origin=TEXT,
    wanted_by=st.lists(TEXT, min_size=1, max_size=3),
)
LOCKS = st.builds(
    Lock,
    format=st.just("appliance-bundle-lock/1"),
    bundle=st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True),
    made_at=st.datetimes().map(lambda instant: instant.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")),
    architecture=st.just("amd64"),
    base=st.lists(st.builds(Package, name=TEXT, version=TEXT), max_size=3),
    inputs=st.lists(INPUTS, max_size=6, unique_by=lambda each: each.path).map(
        lambda inputs: sorted(inputs, key=lambda each: each.path)
    ),
)


@given(LOCKS)
def test_written_and_read_is_the_same(lock):
    data = locks.render(lock)
    assert locks.parse(data, where="here") == lock
    assert locks.render(locks.parse(data, where="here")) == data
    assert difference(lock, locks.parse(data, where="here")).changes == []
