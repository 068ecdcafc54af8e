"""Every case through every verifier: what each says is what stands in tests/vectors/trust/expected.toml, to the step.

``verify.py`` over the packs is in tests/unit/trust/verifier, which keeps to the tables that the rows are made of.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.trust import standalone
from tests.unit.trust.verifier.sigstore_maker import Scene
from tests.vectors.trust import bundles, expected, packs

pytestmark = pytest.mark.integration
EXPECTED = expected.load()
CASES = {case.id: case for case in packs.cases()}
BUNDLES = dict(bundles.cases())


def test_the_table_is_whole() -> None:
    assert set(EXPECTED["pack"]) == set(CASES)
    assert set(EXPECTED["bundle"]) == set(BUNDLES)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> packs.Shelf:
    return packs.Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return expected.make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "verify.sh"
    path.write_bytes(standalone.read_verify_sh())
    return path


@pytest.mark.parametrize("name", CASES)
def test_packs(shelf: packs.Shelf, script: Path, tmp_path: Path, name: str) -> None:
    assert expected.pack_row(CASES[name], shelf, script, tmp_path) == EXPECTED["pack"][name]


@pytest.mark.parametrize("name", BUNDLES)
def test_bundles(scene: Scene, script: Path, tmp_path: Path, name: str) -> None:
    assert expected.bundle_row(BUNDLES[name], scene, script, tmp_path) == EXPECTED["bundle"][name]


def test_the_second_verifier_accepts_nothing_that_the_unmodified_one_refuses() -> None:
    """But for kinds of bundles that the unmodified one does not read any more."""
    looser = {
        name
        for name, row in EXPECTED["bundle"].items()
        if row["verify_py"] == packs.HOLDS and row["sigstore"] != packs.HOLDS
    }
    assert all(name.startswith("kinds: ") for name in looser), looser
    for row in EXPECTED["pack"].values():
        assert (row["auditor"] == packs.HOLDS) == (row["verify_py"] == packs.HOLDS) == (row["verify_sh"] == packs.HOLDS)
