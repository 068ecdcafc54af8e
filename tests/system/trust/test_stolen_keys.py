"""Each row of docs/howto/key_stolen.md, played: what the thief gets, and what stays valid."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from appliance.base.canonical import canonical
from appliance.base.digest import digest_bytes, hex_of
from appliance.base.errors import EXIT_DONE, EXIT_VERIFICATION, ApplianceError
from appliance.cli.main import run
from appliance.trust import custody, keys, policy, rotation, statements
from appliance.trust.judgement import signature_of
from appliance.trust.signer import Signer
from appliance.trust.sigstore_offline import VerifiedStatement
from appliance.trust.tlog import TransparencyLog
from appliance.trust.tuf import client, metadata, repository
from tests.system.trust.opinions import ask, command, write_builds
from tests.unit.trust.trusting import ARTIFACT, TrustingSite, make_site, make_witnessed_site

pytestmark = [pytest.mark.integration, pytest.mark.slow]
IDENTITY = "https://north.appliance.internal"


@pytest.fixture
def site(tmp_path: Path) -> TrustingSite:
    made = make_witnessed_site(tmp_path / "site")
    write_builds(tmp_path / "site")
    return made


@dataclass(frozen=True, kw_only=True)
class Opinions:
    """The step at which each verifier refuses; None where everything holds."""

    auditor: str | None
    python: str | None
    shell: str | None

    @property
    def agreed(self) -> str | None:
        assert self.auditor == self.python == self.shell, self
        return self.auditor


def judge(site: TrustingSite, pack: Path, *, root_digest: str = "") -> Opinions:
    """What the three verifiers say of a pack that they see for the first time."""
    pinned = root_digest or site.root_digest
    python, shell = (ask(command(str(site.folder / f"verify.{each}"), str(pack), pinned)) for each in ("py", "sh"))
    return Opinions(auditor=site.audit(pack, root_digest=pinned).step, python=python, shell=shell)


def judge_statements(site: TrustingSite, pack: Path, *digests: str, shell: bool = True) -> list[str | None]:
    """What they say of single statements of the pack; `verify.sh` takes seconds for each."""
    links = {link.path: link for link in site.audit(pack).links}
    said = []
    for name in map(hex_of, digests):
        link = links[f"bundles/{name}.sigstore.json"]
        steps = {"auditor": None if link.ok else link.kind}
        for verifier in ("verify.py", "verify.sh") if shell else ("verify.py",):
            asked = command(str(site.folder / verifier), str(pack), site.root_digest)
            steps[verifier] = ask([*asked, "--bundle", name])
        assert len(set(steps.values())) == 1, steps
        said.append(steps["auditor"])
    return said


def found(site: TrustingSite, digest: str) -> VerifiedStatement:
    return site.anchor.verify(site.anchor.bundle(digest), "data-scientist")


def model(name: str) -> bytes:
    return statements.model(name=name, package_digest=digest_bytes(name.encode()), files={}, predicate={})


def by_thief(thief: Signer, name: str) -> str:
    """A model that the thief signs, with what was stolen."""
    thief.sign(model(name), "data-scientist")
    return digest_bytes(model(name))


# ---- keys that sign statements

ROTATED_AND_REVOKED: Mapping[str, tuple[policy.Use, ...]] = {
    "issuing": ("issuing",),
    "timestamp": ("timestamp",),
    "ct": ("ct",),
    "root": ("issuing", "timestamp"),
}


@pytest.mark.parametrize("stolen", ROTATED_AND_REVOKED)
def test_an_authority_is_rotated_and_revoked_from_the_index_of_the_theft(site: TrustingSite, stolen: str) -> None:
    before = site.sign(model("before"))
    thief = site.signer()
    first_bad = found(site, before).log_index + 1
    during = by_thief(thief, "during")
    signature = signature_of(found(site, during))
    site.rotate(stolen)
    for use in ROTATED_AND_REVOKED[stolen]:
        site.revoke(use, getattr(signature, use), first_bad)
    late = by_thief(thief, "late")
    after = site.sign(model("after"))
    site.witnessed()
    pack = site.export("pack")
    steps = judge_statements(site, pack, before, during, late, after, shell=stolen == "issuing")
    assert steps == [None, "revoked", "window", None]


def test_a_stolen_issuing_key_leaves_a_trace_even_before_it_is_missed(site: TrustingSite) -> None:
    """It makes a certificate for anybody, but no enrolled key asks for it."""

    class Stranger:
        def sign(self, role: str, data: bytes) -> bytes:
            return keys.generate("p256").sign(data)

        def key_id(self, role: str) -> str:
            return site.keys.key_id(role)

    signer = site.signer()
    by_thief(Signer(signer.enclave, signer.enclave.log(), Stranger(), site.clock), "evil")
    site.witnessed()
    assert judge(site, site.export("pack")).agreed == "issuance"


def test_a_role_key_is_revoked_and_a_person_is_enrolled_for_it(site: TrustingSite) -> None:
    before = site.approve()
    size = site.signer().enclave.log().size()
    thief = site.signer()
    approval = statements.approval(name="evil", subject_digest=digest_bytes(b"evil"), predicate={"scope": "live"})
    thief.sign(approval, "approver")
    site.revoke("role-key", site.keys.key_id("approver"), size)
    site.keys.create("approver/alice")
    log, alice = site.signer().enclave.log(), site.keys.public("approver/alice")
    identity = f"{IDENTITY}/approvers/alice"
    rotation.enroll(site.trust, log, alice, role="approver", identity=identity, store=site.store, now=site.later())
    again = statements.approval(name="m/2", subject_digest=digest_bytes(ARTIFACT), predicate={"scope": "live"})
    after = site.sign(again, "approver/alice")
    site.witnessed()
    pack = site.export("pack")
    steps = judge_statements(site, pack, before, digest_bytes(approval), after, shell=False)
    assert steps == [None, "revoked", None]


# ---- the log key


def forge_log(site: TrustingSite, entries: Sequence[bytes], key: keys.SigningKey) -> None:
    """Another history, signed by a stolen key."""
    log = site.signer().enclave.log()
    shutil.rmtree(log.folder)
    forged = TransparencyLog(log.folder, log.key.origin, key)
    forged.create()
    forged.append(list(entries))


def show_log(site: TrustingSite, pack: Path) -> Path:
    """The pack, with the log as it is now: witnessed by nobody."""
    shutil.rmtree(pack / "log")
    shutil.copytree(site.trust / "log", pack / "log", ignore=shutil.ignore_patterns("lock"))
    return pack


@pytest.mark.parametrize(("rotated", "step"), [(False, "witness"), (True, "checkpoint")])
def test_a_fork_by_a_stolen_log_key_has_no_witness_and_after_rotation_no_key(
    site: TrustingSite, rotated: bool, step: str
) -> None:
    enclave = site.signer().enclave
    if rotated:
        site.rotate("log")
        site.witnessed()
    pack = site.export("pack")
    assert judge(site, pack).agreed is None
    entries = list(site.signer().enclave.log().entries())
    forge_log(site, [*entries[:-1], b"in place of the last", b"and one more"], enclave.log_signer)
    assert judge(site, show_log(site, pack)).agreed == step


class TestEveryWitnessDeceived:
    """They lost their memories, and cosigned the fork: only who saw the log before can tell."""

    @pytest.fixture
    def deceived(self, site: TrustingSite) -> tuple[TrustingSite, Path, Path]:
        """The site, the pack from before, and the pack with the fork."""
        first, enclave = site.export("first"), site.signer().enclave
        entries = list(enclave.log().entries())
        forge_log(site, [*entries[:-2], b"in place of an approval", entries[-1], b"more"], enclave.log_signer)
        for path in (site.folder / "witnesses").rglob("*.json"):
            path.unlink()
        shutil.rmtree(site.trust / "witnessing")
        (site.trust / "witnessed").unlink()
        for path in (site.trust / "bundles").iterdir():
            path.unlink()
        site.witnessed()
        return site, first, site.export("second", artifacts={})

    def test_whoever_sees_the_log_for_the_first_time_is_deceived_too(
        self, deceived: tuple[TrustingSite, Path, Path]
    ) -> None:
        site, _, second = deceived
        assert judge(site, second).agreed is None

    def test_each_verifier_with_a_memory_refuses_the_fork(self, deceived: tuple[TrustingSite, Path, Path]) -> None:
        site, first, second = deceived
        memory = site.folder / "memory"
        assert site.audit(first, memory=memory).ok
        assert site.audit(second, memory=memory).step == "fork"
        for name in ("verify.py", "verify.sh"):
            state = ["--state", str(site.folder / f"{name}.json")]
            assert ask([*command(str(site.folder / name), str(first), site.root_digest), *state]) is None
            assert ask([*command(str(site.folder / name), str(second), site.root_digest), *state]) == "fork"

    def test_the_evidence_convinces_others(
        self, deceived: tuple[TrustingSite, Path, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        site, first, second = deceived
        memory = site.folder / "memory"
        site.audit(first, memory=memory)
        site.audit(second, memory=memory)
        (evidence,) = memory.glob("fork-*.json")
        log = site.anchor.log_key
        assert run(["audit", "evidence", str(evidence), "--log-key", log.text()]) == EXIT_DONE
        assert "signed two histories" in capsys.readouterr().out
        assert is_proof_of_two_histories(evidence.read_bytes(), log.public.public_bytes_raw())
        said = json.loads(evidence.read_bytes())
        evidence.write_bytes(canonical({**said, "second": said["first"]}))
        assert run(["audit", "evidence", str(evidence), "--log-key", log.text()]) == EXIT_VERIFICATION
        assert not is_proof_of_two_histories(evidence.read_bytes(), log.public.public_bytes_raw())


def is_proof_of_two_histories(evidence: bytes, public: bytes) -> bool:
    """What a third party checks, with nothing of the product: C2SP checkpoints and RFC 9162 section 2.1.4.2."""
    said, heads = json.loads(evidence), []
    for note in (said["first"], said["second"]):
        text, _, lines = note.partition("\n\n")
        origin, size, root = text.split("\n")
        mark = hashlib.sha256(f"{origin}\n\1".encode() + public).digest()[:4]
        raw = [base64.b64decode(line.split(" ")[2]) for line in lines.splitlines()]
        (signature,) = [each[4:] for each in raw if each[:4] == mark]
        Ed25519PublicKey.from_public_bytes(public).verify(signature, f"{text}\n".encode())
        heads.append((int(size), base64.b64decode(root)))
    (old, signed), (new, last), prefix = *heads, base64.b64decode(said["prefix_root"])
    proof = [base64.b64decode(each) for each in said["proof"]]
    if old == new:
        return not proof and prefix == last != signed
    left, right = old - 1, new - 1
    first, *rest = proof if old & left else [prefix, *proof]
    while left & 1:
        left, right = left >> 1, right >> 1
    before = after = first
    for each in rest:
        if left & 1 or left == right:
            before, after = node(each, before), node(each, after)
            while left and not left & 1:
                left, right = left >> 1, right >> 1
        else:
            after = node(after, each)
        left, right = left >> 1, right >> 1
    return right == 0 and (before, after) == (prefix, last) and prefix != signed


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


# ---- keys of custody


def forge_medium(site: TrustingSite, medium: Path, *stolen: str) -> bytes:
    """A medium whose policy asks for no approver, signed by the stolen custody keys; gives the policy."""
    custody.copy_repository(site.trust, medium)
    weak = msgspec.structs.replace(site.anchor.policy, version=99, approvals=()).encode()
    contents = {**repository.contents(medium), policy.FILE_NAME: weak}
    draft = repository.draft_targets(medium, contents, now=site.later())
    targets = metadata.parse(Targets, draft, "targets")
    store = custody.custody_of(site.trust)
    expires = site.clock.at + dt.timedelta(days=30)
    snapshot = Snapshot(version=50, expires=expires, meta={"targets.json": MetaFile(targets.signed.version)})
    timestamp = Timestamp(version=50, expires=expires, snapshot_meta=MetaFile(50))
    place = medium / "metadata"
    for name, unsigned, signers in (
        (f"{targets.signed.version}.targets.json", targets, stolen),
        ("50.snapshot.json", Metadata(snapshot), ("publisher",)),
        ("timestamp.json", Metadata(timestamp), ("publisher",)),
    ):
        for signer in signers:
            signature = metadata.sign(store.load(signer), unsigned.signed_bytes)
            unsigned.signatures[signature.keyid] = signature
        (place / name).write_bytes(unsigned.to_bytes())
    return weak


@pytest.mark.parametrize(
    "stolen",
    [("publisher",), ("custodian-1", "publisher"), ("custodian-1", "custodian-lattice", "publisher")],
)
def test_publisher_and_two_custodians_cannot_change_what_is_believed(
    site: TrustingSite, tmp_path: Path, stolen: tuple[str, ...]
) -> None:
    pack = site.export("pack")
    (pack / "trust-policy.json").write_bytes(forge_medium(site, pack / "tuf", *stolen))
    with pytest.raises(ApplianceError, match="signed by") as caught:
        refresh(site, pack / "tuf", tmp_path / "believed")
    assert caught.value.code.id == "APL-TUF-003"
    assert judge(site, pack).agreed == "metadata"


def test_three_custodians_can_so_a_new_ceremony_needs_a_new_digest_on_paper(site: TrustingSite, tmp_path: Path) -> None:
    stolen = ("custodian-1", "custodian-2", "custodian-lattice", "publisher")
    forge_medium(site, tmp_path / "medium", *stolen)
    assert refresh(site, tmp_path / "medium", tmp_path / "believed").versions["targets"] > 1
    again = make_site(tmp_path / "again")
    again.sign_model()
    pack = again.export("pack")
    assert judge(site, pack).agreed == "root"
    assert judge(site, pack, root_digest=again.root_digest).agreed is None


def refresh(site: TrustingSite, medium: Path, state: Path) -> client.Trusted:
    return client.refresh(str(medium), state, pinned_root_digest=site.root_digest, reference_time=None)


@pytest.mark.parametrize(("name", "lost"), [("custodian-2", True), ("custodian-2", False), ("publisher", False)])
def test_a_key_of_custody_is_replaced_and_counts_no_more(
    site: TrustingSite, tmp_path: Path, name: str, lost: bool
) -> None:
    state = tmp_path / "believed"
    assert refresh(site, site.trust / "tuf", state).versions["root"] == 1
    store = custody.custody_of(site.trust)
    old = metadata.library_key(store.load(name).public).keyid
    rotation.rotate_custody(site.trust, name, store=store, held=site.held(), now=site.later(), lost=lost)
    (site.trust / "custody" / f"{name}.pem").unlink()
    assert refresh(site, site.trust / "tuf", state).versions["root"] == 2
    root = metadata.parse(Root, repository.newest_root(site.trust / "tuf") or b"", "root").signed
    assert not any(old in role.keyids for role in root.roles.values())
    site.rotate("issuing")  # the custodians of now publish
    site.witnessed()
    assert judge(site, site.export("pack")).agreed is None
