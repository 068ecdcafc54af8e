"""What is declared and not locked, and what is locked and not declared, is told before a bundle is made of it."""

import msgspec
import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle import declaration, lock
from appliance.bundle.declaration import Checkout, Recipe, Wanted
from appliance.bundle.lock import Input, Lock, Package
from appliance.bundle.lock_drift import differences, require_current
from appliance.bundle.wheels import Pin
from tests.unit.bundle.test_lock import ROOT

DIGESTS = [f"sha256:{number:064x}" for number in range(9)]


def locked_input(kind, name, number, *why):
    return Input(
        kind=kind, name=name, version="1", path=f"{kind}/{name}", size_bytes=1, digest=DIGESTS[number],
        origin="somewhere", wanted_by=list(why),
    )  # fmt: skip


INPUTS = [
    locked_input("deb", "jq", 1, "bundle:small", "role:web"),
    locked_input("deb", "libjq1", 2, "deb:jq"),
    locked_input("deb", "tar", 3, "bundle:small"),  # a newer one of the base
    locked_input("server", "minio", 4, "server:minio"),
    locked_input("wheel", "click", 5, "environment:tools"),
]
LOCK = Lock(
    format="appliance-bundle-lock/1", bundle="small", made_at="2026-01-01T00:00:00Z", architecture="amd64",
    base=[Package(name="bash", version="5"), Package(name="tar", version="1")], inputs=INPUTS,
)  # fmt: skip
MINIO = Recipe(name="minio", version="1", kind="go", licence="", origin="")
WANTED = Wanted(
    name="small", environments=["tools"], servers=[MINIO], base_updates=["bundle:small"],
    packages={"bash": ["role:web"], "jq": ["bundle:small", "role:web"]},
)  # fmt: skip
CLICK = Pin(name="click", version="1", digests=frozenset({DIGESTS[5], DIGESTS[8]}))
RICH = Pin(name="rich", version="2", digests=frozenset({DIGESTS[6]}))
NEWER = msgspec.structs.replace(MINIO, version="2")


def wanting(**changes):
    return Wanted(**{**vars(WANTED), **changes})


CASES = {
    "a wheel": (WANTED, {"tools": [CLICK, RICH]}, ["environment tools lacks rich 2"]),
    "a wheel less": (WANTED, {"tools": []}, ["environment tools has 1 wheels that it does not pin"]),
    "an environment": (WANTED, {"tools": [CLICK], "more": [CLICK]}, ["environment more lacks click 1"]),
    "an environment less": (wanting(environments=[]), {}, ["environment:tools is not declared"]),
    "another version of a server": (wanting(servers=[NEWER]), None, ["server minio 2 is missing"]),
    "a server less": (wanting(servers=[]), None, ["server:minio is not declared"]),
    "a package": (
        wanting(packages={**WANTED.packages, "chrony": ["role:time"]}), None,
        ["package chrony is missing, for role:time"],
    ),
    "a reason": (
        wanting(packages={"jq": ["bundle:small", "role:web", "server:minio"]}), None,
        ["package jq does not name server:minio"],
    ),
    "a reason less": (wanting(packages={"jq": ["bundle:small"]}), None, ["role:web is not declared"]),
}  # fmt: skip


def test_a_lock_that_is_current_differs_in_nothing():
    assert list(differences(LOCK, WANTED, {"tools": [CLICK]})) == []


@pytest.mark.parametrize("case", CASES)
def test_each_difference_is_told(case):
    wanted, pins, told = CASES[case]
    assert list(differences(LOCK, wanted, {"tools": [CLICK]} if pins is None else pins)) == told


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "bundles").glob("*.toml"))])
def test_the_locks_of_this_repository_are_current(name):
    checkout = Checkout(ROOT)
    locked, wanted = lock.load(checkout.lock(name)), declaration.load(name, checkout)
    require_current(locked, wanted, checkout)
    older = msgspec.structs.replace(locked, inputs=[each for each in locked.inputs if each.kind != "wheel"])
    with pytest.raises(ApplianceError) as error:
        require_current(older, wanted, checkout)
    assert error.value.code.id == "APL-BUNDLE-032"
    assert f"appliance bundle lock {name}" in error.value.hint
