"""A good pack, made once; a test that damages it works on a copy."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.trust.verifier.medium import Medium
from appliance.trust.verifier.pack import Seen, verify_pack
from appliance.trust.verifier.verdict import Refused, Verdict
from tests.unit.trust.verifier.pack_maker import Pack, Site


@dataclass(frozen=True, kw_only=True)
class Made:
    """A site and its pack; `copy` gives one that a test may damage."""

    site: Site
    folder: Path
    root_digest: str

    def copy(self, target: Path) -> Path:
        return Path(shutil.copytree(self.folder, target))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    site = Site(folder / "site")
    site.model()
    site.approve()
    site.stage()
    return Made(site=site, folder=folder / "pack", root_digest=Pack(site=site).write(folder / "pack"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site of the test's own, for what must be in the log."""
    return Site(tmp_path / "site")


def judge(pack: Path, root_digest: str, **question: object) -> tuple[Verdict, Seen | None]:
    """What the command line would say; the verdict names the refused step."""
    verdict = Verdict()
    try:
        with verdict.step("pack"):
            medium = Medium(pack)
        return verdict, verify_pack(medium, root_digest, verdict, **question)[0]  # type: ignore[arg-type]
    except Refused as refused:
        verdict.refused = refused
        return verdict, None


def refused(pack: Path, root_digest: str, **question: object) -> str | None:
    verdict, _ = judge(pack, root_digest, **question)
    return verdict.refused.step if verdict.refused else None
