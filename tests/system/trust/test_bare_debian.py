"""A real pack is verified on a bare Debian 12 without network, by each verifier, and a damaged one is refused."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.base.archive import pack as pack_tar
from appliance.base.clock import SystemClock
from appliance.base.digest import digest_bytes
from appliance.base.progress import NoProgress
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony, custody, statements
from appliance.trust.anchor import open_anchor
from appliance.trust.auditor.audit import Question, audit_pack
from appliance.trust.pack import export_pack
from appliance.trust.signer import Signer
from tests.system.trust.opinions import BUILDS, ask, command
from tests.unit.trust.verifier.cases import FILES
from tests.unit.trust.verifier.pack_maker import PACKAGE

pytestmark = pytest.mark.integration
DAMAGED = ("the first root is another one", "the trust config is not the target", "a bundle is not JSON",
           "an artifact is unknown", "a file is a link")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A pack as the product exports it, and the verifiers' targets in it."""

    folder: Path
    root_digest: str


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("site")
    keys, trust, clock = RoleKeys(folder / "keys"), folder / "trust", SystemClock()
    keys.create_all()
    enclave = ceremony.init_trust(trust, "north", clock, keys.publics())
    verifiers = {f"verifiers/{name}": build() for name, build in BUILDS.items()}
    custody.open_custody(trust).publish(trust, verifiers, clock.now())
    signer, digest = Signer(enclave, enclave.log(), keys, clock), digest_bytes(PACKAGE)
    signer.sign(statements.model(name="m", package_digest=digest, files={}, predicate={}), "data-scientist")
    approval = statements.approval(name="m/package.json", subject_digest=digest, predicate={"scope": "live"})
    signer.sign(approval, "approver")
    (folder / "package.json").write_bytes(PACKAGE)
    artifacts = {"package.json": folder / "package.json"}
    export_pack(open_anchor(trust), folder / "pack", artifacts=artifacts, extras=verifiers, progress=NoProgress())
    return Exported(folder=folder / "pack", root_digest=custody.root_digest(trust))


def test_the_first_opinion(exported: Exported) -> None:
    assert audit_pack(exported.folder, Question(root_digest=exported.root_digest), NoProgress()).ok


@pytest.mark.parametrize("verifier", BUILDS)
def test_good_and_damaged_packs(exported: Exported, bare_debian: Path, verifier: str) -> None:
    # Not by the name of pytest's own folder: another process, with another verifier, may have one of the same name.
    place = Path(tempfile.mkdtemp(prefix="packs-", dir=bare_debian / "tmp"))
    shutil.copytree(exported.folder, place / "good")
    paths = [path for path in (place / "good").rglob("*") if path.is_file()]
    pack_tar(place / "good.tar", {path.relative_to(place / "good").as_posix(): path for path in paths})

    def judge(pack: str) -> str | None:
        inside = f"/tmp/{place.name}"
        asked = command(f"{inside}/good/verifiers/{verifier}", f"{inside}/{pack}", exported.root_digest)
        isolated = ["unshare", "--net", "--pid", "--fork", f"--mount-proc={bare_debian}/proc"]
        return ask([*isolated, "chroot", str(bare_debian), *asked])

    assert judge("good") is None
    assert judge("good.tar") is None
    for number, name in enumerate(DAMAGED):
        change, step = FILES[name]
        pack = Path(shutil.copytree(place / "good", place / f"bad-{number}"))
        change(pack)
        assert judge(pack.name) == step, name
    shutil.rmtree(place)
