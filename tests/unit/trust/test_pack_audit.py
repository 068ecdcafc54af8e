"""An auditor accepts a good pack, and names the step at which a bad one fails; what it remembers, and when."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.base.clock import FixedClock
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import fork_evidence, merkle, trust_config
from appliance.trust.fork_evidence import check_evidence
from appliance.trust.tlog import TransparencyLog
from tests.unit.trust.trusting import ARTIFACT, START, TrustingSite, make_witnessed_site


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TrustingSite:
    """Read only."""
    return make_witnessed_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def good(made: TrustingSite) -> Path:
    return made.export("good")


@pytest.fixture
def site(made: TrustingSite, tmp_path: Path) -> TrustingSite:
    """A copy that may be changed."""
    shutil.copytree(made.folder, tmp_path / "site")
    return TrustingSite(
        folder=tmp_path / "site",
        keys=type(made.keys)(tmp_path / "site/keys"),
        clock=FixedClock(made.clock.at),
        witnesses=made.witnesses,
    )


@pytest.fixture
def pack(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "pack"))


def test_a_good_pack(made: TrustingSite, good: Path) -> None:
    verdict = made.audit(good)
    assert verdict.ok, verdict.text()
    text = " ".join(verdict.established)
    for fact in ("signed checkpoint", "quorum of witnesses", "signed, logged, inside their windows", "enrolled key"):
        assert fact in text
    assert any("has not seen the log before" in fact for fact in verdict.not_established)


def test_the_same_site_gives_the_same_pack(made: TrustingSite, good: Path) -> None:
    again = made.export("again")
    listed = {path.relative_to(good): path.read_bytes() for path in good.rglob("*") if path.is_file()}
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()} == listed
    one, two = made.export("one.tar"), made.export("two.tar")
    assert one.read_bytes() == two.read_bytes()
    assert made.audit(one).ok


def test_a_pack_holds_nothing_secret(made: TrustingSite, good: Path) -> None:
    private = [path.read_bytes() for path in made.trust.rglob("*.pem") if b"PRIVATE" in path.read_bytes()]
    assert len(private) == 10
    for path in good.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"PRIVATE" not in data
            assert not any(key in data for key in private)


def test_what_was_signed_after_the_witnesses_saw_the_log_waits(site: TrustingSite) -> None:
    site.sign_model("m/2", b"newer")
    exported = site.exported("pack")
    assert (exported.later, site.audit(exported.folder).ok) == (1, True)
    site.witnessed()
    later = site.exported("later")
    assert (later.later, later.statements) == (0, exported.statements + 1)
    assert site.audit(later.folder).ok


def test_without_a_quorum_nothing_is_exported(site: TrustingSite) -> None:
    (site.trust / "witnessed").unlink()
    with pytest.raises(ApplianceError) as caught:
        site.export("pack")
    assert caught.value.code.id == "APL-TRUST-017"
    assert not (site.folder / "pack").exists()
    assert list(site.folder.glob(".tmp-*")) == []


def change(path: Path, offset: int = -2) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(bytes(data))


def respell(path: Path, offset: int) -> None:
    """Another character of base64: the file still parses."""
    data = bytearray(path.read_bytes())
    data[offset] = ord("A") if data[offset] != ord("A") else ord("B")
    path.write_bytes(bytes(data))


def bundle_of(pack: Path, kind: str = "model/v1") -> Path:
    import base64

    for path in sorted((pack / "bundles").iterdir()):
        payload = json.loads(path.read_bytes())["dsseEnvelope"]["payload"]
        if json.loads(base64.b64decode(payload))["predicateType"].endswith(kind):
            return path
    raise AssertionError(kind)


def tile_of(pack: Path, level: str) -> Path:
    return next(path for path in (pack / "log/tile" / level).rglob("*") if path.is_file())


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def older_type(path: Path) -> None:
    """Sigstore reads it as the same."""
    path.write_bytes(path.read_bytes().replace(b"bundle.v0.3+json", b"bundle+json;version=0.3"))


def rename(path: Path) -> None:
    path.rename(path.with_name("0" * 64 + ".sigstore.json"))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (lambda pack: (pack / "artifacts/link").symlink_to("/etc/passwd"), "pack"),
    "a name with a space": (lambda pack: (pack / "artifacts/a b").write_bytes(b""), "pack"),
    "no checkpoint": (lambda pack: (pack / "log/checkpoint").unlink(), "pack"),
    "no root": (lambda pack: (pack / "tuf/metadata/1.root.json").unlink(), "pack"),
    "a huge bundle": (
        lambda pack: (pack / "bundles" / f"{'1' * 64}.sigstore.json").write_bytes(b"0" * (33 << 20)),
        "pack",
    ),
    "another root": (lambda pack: change(pack / "tuf/metadata/1.root.json", 40), "root"),
    "no timestamp signature": (lambda pack: change(pack / "tuf/metadata/timestamp.json", -40), "metadata"),
    "another trust config": (lambda pack: change(pack / "trust-config.json"), "targets"),
    "another policy": (lambda pack: change(pack / "trust-policy.json"), "targets"),
    "another witness policy": (lambda pack: change(pack / "tlog-policy"), "targets"),
    "a checkpoint by nobody": (lambda pack: change(pack / "log/checkpoint", 4), "checkpoint"),
    "an altered entry": (lambda pack: change(tile_of(pack, "entries"), 30), "tree"),
    "an altered tile": (lambda pack: change(tile_of(pack, "0"), 30), "tree"),
    "a cosignature that does not verify": (lambda pack: respell(pack / "log/checkpoint", -9), "witness"),
    "an artifact that nobody vouched for": (lambda pack: (pack / "artifacts/x").write_bytes(b"x"), "subject"),
    "an altered artifact": (lambda pack: change(pack / "artifacts/model.onnx"), "subject"),
    "an altered bundle": (lambda pack: change(bundle_of(pack), 900), "sigstore"),
    "a bundle by another name": (lambda pack: rename(bundle_of(pack)), "statement"),
    "a bundle that is none": (lambda pack: bundle_of(pack).write_bytes(b"{}"), "format"),
    "a bundle with space": (lambda pack: append(bundle_of(pack), b"\n"), "format"),
    "a bundle of the older media type": (lambda pack: older_type(bundle_of(pack)), "format"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(made: TrustingSite, pack: Path, tmp_path: Path, name: str) -> None:
    damage, step = DAMAGE[name]
    damage(pack)
    verdict = made.audit(pack, memory=tmp_path / "memory")
    assert (verdict.ok, verdict.step) == (False, step), verdict.text()
    assert not (tmp_path / "memory").exists()


def test_another_pin(made: TrustingSite, good: Path) -> None:
    assert made.audit(good, root_digest=digest_bytes(b"another")).step == "root"


class TestMemory:
    def test_a_growing_log_is_followed(self, site: TrustingSite) -> None:
        memory = site.folder / "memory"
        for number in range(3):
            verdict = site.audit(site.export(f"pack{number}"), memory=memory)
            assert verdict.ok, verdict.text()
            assert json.loads((memory / "seen.json").read_bytes())["size"] > 0
            site.sign_model(f"m/{number + 7}", b"%d" % number)
            site.witnessed()
        assert any("extends the tree" in fact for fact in verdict.established)

    def test_an_older_pack_is_a_rollback(self, site: TrustingSite) -> None:
        old, memory = site.export("old"), site.folder / "memory"
        site.sign_model("m/2", b"newer")
        site.witnessed()
        assert site.audit(site.export("new"), memory=memory).ok
        before = (memory / "seen.json").read_bytes()
        assert site.audit(old, memory=memory).step == "rollback"
        assert (memory / "seen.json").read_bytes() == before

    def test_an_older_trust_medium_is_refused(self, site: TrustingSite) -> None:
        """A policy that closes a window must not be taken back."""
        old, memory = site.export("old"), site.folder / "memory"
        site.rotate("issuing")
        site.witnessed()
        assert site.audit(site.export("new"), memory=memory).ok
        assert site.audit(old, memory=memory).step == "metadata"

    def test_a_damaged_memory_is_a_verdict_that_does_not_hold(self, site: TrustingSite) -> None:
        memory = site.folder / "memory"
        memory.mkdir()
        (memory / "seen.json").write_bytes(b"{}")
        verdict = site.audit(site.export("pack"), memory=memory)
        assert not verdict.ok
        assert "APL-TRUST-031" in verdict.text()


def forge_log(site: TrustingSite, entries: list[bytes]) -> None:
    """Write another history, signed by the real log key."""
    log = site.signer()._log
    shutil.rmtree(log.folder)
    forged = TransparencyLog(log.folder, log.key.origin, log._signer)
    forged.create()
    forged.append(entries)


class TestFork:
    """By somebody who holds every key of the site but not those of the witnesses."""

    def test_a_longer_fork_lacks_the_quorum(self, site: TrustingSite) -> None:
        pack = site.export("pack")
        log = site.signer()._log
        entries = list(log.entries())
        forge_log(site, [*entries[:-1], b"another entry", b"one more"])
        shutil.rmtree(pack / "log")
        shutil.copytree(site.trust / "log", pack / "log")
        (pack / "log/lock").unlink()
        assert site.audit(pack).step == "witness"

    def test_a_fork_is_found_and_leaves_evidence(self, site: TrustingSite, tmp_path: Path) -> None:
        """Even when every witness was deceived: the auditor saw the other history."""
        memory = site.folder / "memory"
        assert site.audit(site.export("first"), memory=memory).ok
        entries = list(site.signer()._log.entries())
        forge_log(site, [*entries[:-2], b"in place of an approval", entries[-1]])
        for path in (site.folder / "witnesses").rglob("*.json"):
            path.unlink()
        shutil.rmtree(site.trust / "witnessing")
        (site.trust / "witnessed").unlink()
        for path in (site.trust / "bundles").iterdir():
            path.unlink()
        site.witnessed()
        verdict = site.audit(site.export("second", artifacts={}), memory=memory)
        assert verdict.step == "fork", verdict.text()
        (evidence,) = memory.glob("fork-*.json")
        logs = trust_config.parse(site.anchor.config).logs
        fork = check_evidence(evidence.read_bytes(), logs)
        assert fork.first.root != fork.prefix_root

    def test_a_bundle_of_a_fork(self, site: TrustingSite) -> None:
        """A statement that was signed in a hidden history is refused, and is evidence."""
        true = list(site.signer()._log.entries())
        shutil.copytree(site.trust, site.folder / "kept")
        forge_log(site, [*true[:-1], b"hidden"])
        site.sign_model("hidden/1", ARTIFACT)
        hidden = bundle_newest(site)
        shutil.rmtree(site.trust)
        shutil.copytree(site.folder / "kept", site.trust)
        for number in range(4):
            site.sign_model(f"m/{number}", b"%d" % number)
        site.witnessed()
        pack = site.export("pack")
        (pack / "bundles" / hidden[0]).write_bytes(hidden[1])
        memory = site.folder / "memory"
        assert site.audit(pack, memory=memory).step == "prefix"
        (evidence,) = memory.glob("fork-*.json")
        assert check_evidence(evidence.read_bytes(), trust_config.parse(site.anchor.config).logs)

    def test_an_honest_log_cannot_be_accused(self, site: TrustingSite) -> None:
        log = site.signer()._log
        small = log.checkpoint()
        log.append([b"more", b"and more"])
        head, tree = log.checkpoint(), log.tree()
        evidence = fork_evidence.make_evidence(small.note, head, tree, small.size)
        with pytest.raises(ApplianceError) as caught:
            check_evidence(evidence, (log.key,))
        assert caught.value.code.id == "APL-TRUST-034"
        forged = json.loads(evidence)
        forged["prefix_root"] = "AAAA" * 10 + "AAA="
        with pytest.raises(ApplianceError):
            check_evidence(json.dumps(forged, separators=(",", ":"), sort_keys=True).encode(), (log.key,))


def bundle_newest(site: TrustingSite) -> tuple[str, bytes]:
    path = max((site.trust / "bundles").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return path.name, path.read_bytes()


class TestTime:
    def test_fresh(self, made: TrustingSite, good: Path) -> None:
        assert made.audit(good, not_older_than=START).ok
        assert made.audit(good, not_older_than=START + dt.timedelta(days=1)).step == "fresh"

    def test_metadata_that_had_expired_when_the_witnesses_saw_the_log(self, site: TrustingSite) -> None:
        site.later(hours=24 * 365 * 3 + 1)
        site.witnessed()
        assert site.audit(site.export("pack")).step == "expiry"


class TestRevocation:
    @pytest.mark.parametrize("target", ["identity", "role-key", "issuing", "timestamp", "ct"])
    def test_from_an_index_on(self, site: TrustingSite, target: str) -> None:
        """Entries before it are still accepted."""
        first = site.anchor.verify(site.anchor.bundle(site.sign_model("m/2", b"2")), "data-scientist")
        from appliance.trust.judgement import signature_of

        signature = signature_of(first)
        id = getattr(signature, target.replace("-", "_"))
        site.revoke(target, id, first.log_index + 1)
        site.witnessed()
        verdict = site.audit(site.export("before"))
        assert verdict.ok, verdict.text()
        assert any("applied: 1" in fact for fact in verdict.established)
        site.sign_model("m/3", b"3")
        site.witnessed()
        verdict = site.audit(site.export("after"))
        assert (verdict.step, len(verdict.broken)) == ("revoked", 1)

    def test_a_statement(self, site: TrustingSite) -> None:
        site.revoke("statement", site.sign_model("m/2", b"2"), 0)
        site.witnessed()
        assert site.audit(site.export("pack")).step == "revoked"

    def test_a_malformed_one_is_not_skipped(self, site: TrustingSite) -> None:
        site.signer()._log.append([b'{"id":"x","kind":"revocation"}'])
        site.witnessed()
        assert site.audit(site.export("pack")).step == "tree"


class TestIssuance:
    def test_a_stolen_issuing_key_leaves_a_trace(self, site: TrustingSite) -> None:
        """Whoever has it can make a certificate for anybody, but no enrolled key asked for it."""

        class Stranger:
            def sign(self, role: str, data: bytes) -> bytes:
                from appliance.trust import keys

                return keys.generate("p256").sign(data)

            def key_id(self, role: str) -> str:
                return site.keys.key_id(role)

        from appliance.trust.signer import Signer

        signer = site.signer()
        Signer(signer.enclave, signer._log, Stranger(), site.clock).sign(
            b'{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":'
            b'"https://appliance.internal/attestations/model/v1","subject":[{"digest":{"sha256":"' + b"0" * 64
            + b'"},"name":"evil"}]}',
            "data-scientist",
        )  # fmt: skip
        site.witnessed()
        verdict = site.audit(site.export("pack"))
        assert verdict.step == "issuance"
        assert "the role key did not ask for it" in verdict.text()


class TestSigners:
    def test_a_role_that_may_not(self, site: TrustingSite) -> None:
        from appliance.trust import statements

        site.sign(statements.approval(name="m", subject_digest=digest_bytes(b"m"), predicate={}), "data-scientist")
        site.witnessed()
        assert site.audit(site.export("pack")).step == "signer"

    def test_a_kind_that_nobody_may_sign(self, site: TrustingSite) -> None:
        from appliance.trust import statements

        site.sign(statements.make_statement("https://example.com/x", {"m": digest_bytes(b"m")}, {}))
        site.witnessed()
        assert site.audit(site.export("pack")).step == "signer"


class TestApprovals:
    def live(self, site: TrustingSite, package: str) -> None:
        """As far as a pack is concerned: the log says that the package went live."""
        from appliance.base.canonical import canonical

        entry = canonical({"kind": "model-stage", "name": "m", "package": package, "to": "live"})
        site.signer()._log.append([entry])
        site.witnessed()

    def test_approved(self, site: TrustingSite) -> None:
        self.live(site, digest_bytes(ARTIFACT))
        verdict = site.audit(site.export("pack"))
        assert verdict.ok, verdict.text()
        assert any(
            "live as m was approved by https://north.appliance.internal/roles/approver" in f
            for f in verdict.established
        )

    def test_not_approved(self, site: TrustingSite) -> None:
        self.live(site, digest_bytes(b"another"))
        assert site.audit(site.export("pack")).step == "approval"


def test_a_stolen_log_of_one_tile_more_is_read_in_full(site: TrustingSite) -> None:
    site.signer()._log.append([b"entry %d" % number for number in range(600)])
    site.witnessed()
    verdict = site.audit(site.export("pack"))
    assert verdict.ok, verdict.text()
    assert merkle.EMPTY_ROOT not in verdict.text().encode()
