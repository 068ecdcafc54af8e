"""The state file of one verifier serves the other. What they say of each known fault is in test_vectors."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.trust.opinions import ask, command, write_builds
from tests.unit.trust.verifier.pack_maker import Pack, Site, put

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A site with a good pack, and the verifiers."""

    folder: Path
    site: Site
    root_digest: str


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    folder = tmp_path_factory.mktemp("shelf")
    write_builds(folder)
    site = Site(folder / "site")
    site.model()
    site.approve()
    site.stage()
    return Shelf(folder=folder, site=site, root_digest=Pack(site=site).write(folder / "pack"))


def test_history_and_age(shelf: Shelf, tmp_path: Path) -> None:
    """The state file of one verifier serves the other."""
    state, pack = str(tmp_path / "state.json"), str(shelf.folder / "pack")
    python = [*command(str(shelf.folder / "verify.py"), pack, shelf.root_digest), "--state", state]
    shell = [*command(str(shelf.folder / "verify.sh"), pack, shelf.root_digest), "--state", state]
    assert ask(shell) is None
    first = Path(state).read_bytes()
    assert ask(python) is None
    assert ask(shell) is None
    shelf.site.model(b"another")
    newer = Pack(site=shelf.site).write(tmp_path / "newer")
    assert ask([*command(str(shelf.folder / "verify.sh"), str(tmp_path / "newer"), newer), "--state", state]) is None
    for verifier in (python, shell):
        assert ask(verifier) == "rollback"
    value = json.loads(first)
    put(Path(state), json.dumps({**value, "root": base64.b64encode(bytes(32)).decode()}).encode())
    for verifier in (python, shell):
        assert ask(verifier) == "fork"
    for verifier in (python[:-2], shell[:-2]):
        assert ask([*verifier, "--not-older-than", "2026-03-01T12:00:00Z"]) is None
        assert ask([*verifier, "--not-older-than", "2026-03-01T12:00:01Z"]) == "fresh"
