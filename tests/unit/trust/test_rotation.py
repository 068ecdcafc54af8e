"""Every kind of key can be rotated: what was signed before still counts, and the old key does not count any more."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.base.clock import FixedClock
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony, custody, enrollment, keys, rotation, statements, trust_config
from appliance.trust.anchor import open_anchor
from appliance.trust.keys import FileKeys
from appliance.trust.signer import Signer

DIGEST = digest_bytes(b"a model")


def statement(name: str) -> bytes:
    return statements.model(name=name, package_digest=DIGEST, files={}, predicate={"owner": "o"})


@dataclass(kw_only=True)
class Trusting:
    """A site that signs; `now` moves by an hour with every step."""

    trust: Path
    keys: RoleKeys
    clock: FixedClock

    @property
    def store(self) -> FileKeys:
        return FileKeys(self.trust / "enclave")

    def held(self) -> custody.Custody:
        return custody.open_custody(self.trust)

    def later(self) -> dt.datetime:
        self.clock.at += dt.timedelta(hours=1)
        return self.clock.at

    def signer(self) -> Signer:
        enclave = ceremony.open_enclave(self.trust)
        return Signer(enclave, enclave.log(), self.keys, self.clock)

    def sign(self, name: str) -> bytes:
        return self.signer().sign(statement(name), "data-scientist")

    def accepts(self, bundle: bytes) -> str:
        """The code of the refusal; empty when there is none."""
        try:
            open_anchor(self.trust).verify(bundle, "data-scientist")
        except ApplianceError as error:
            return error.code.id
        return ""

    def rotate(self, use: str) -> None:
        rotation.rotate(self.trust, use, store=self.store, held=self.held(), now=self.later())


@pytest.fixture
def site(tmp_path: Path) -> Trusting:
    made = RoleKeys(tmp_path / "keys")
    made.create_all()
    clock = FixedClock(dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC))
    ceremony.init_trust(tmp_path / "trust", "north", clock, made.publics())
    return Trusting(trust=tmp_path / "trust", keys=made, clock=clock)


@pytest.mark.parametrize("use", rotation.ROTATED)
def test_rotated(site: Trusting, use: str) -> None:
    before, old = site.sign("before"), site.signer()
    site.rotate(use)
    after = site.sign("after")
    assert (site.accepts(before), site.accepts(after)) == ("", "")
    stale = old.sign(statement("stale"), "data-scientist") if use != "log" else b""
    assert site.accepts(stale) == ("APL-TRUST-021" if use != "log" else "APL-TRUST-010")


def test_a_log_whose_key_was_rotated_takes_nothing_by_the_old_key(site: Trusting) -> None:
    old = site.signer()
    site.sign("first")
    site.rotate("log")
    site.sign("second")
    with pytest.raises(ApplianceError) as caught:
        old.sign(statement("stale"), "data-scientist")
    assert caught.value.code.id == "APL-TRUST-003"
    assert ceremony.open_enclave(site.trust).log().fsck().ok


@pytest.mark.parametrize("use", rotation.ROTATED)
def test_rotated_twice(site: Trusting, use: str) -> None:
    bundles = [site.sign("0")]
    for number in (1, 2):
        site.rotate(use)
        bundles.append(site.sign(str(number)))
    assert [site.accepts(bundle) for bundle in bundles] == ["", "", ""]
    assert ceremony.load_policy(site.trust).version == 3


@pytest.mark.parametrize("use", rotation.ROTATED)
def test_a_crash_before_publishing_leaves_the_old_key_in_force(
    site: Trusting, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site.sign("before")
    with monkeypatch.context() as patch:
        patch.setattr(custody.Custody, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            site.rotate(use)
    again = site.sign("still by the old key")
    assert (site.accepts(before), site.accepts(again)) == ("", "")
    site.rotate(use)
    assert site.accepts(site.sign("by the new one")) == ""
    assert (site.accepts(before), site.accepts(again)) == ("", "")


@pytest.mark.parametrize("use", rotation.ROTATED)
def test_a_crash_after_publishing_is_mended_by_the_next_change(
    site: Trusting, use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repository says the new state; the copies follow."""
    before = site.sign("before")
    with monkeypatch.context() as patch:
        patch.setattr(custody, "settle", lambda _: None)
        site.rotate(use)
    custody.settle(site.trust)
    assert (site.accepts(before), site.accepts(site.sign("after"))) == ("", "")


def test_a_retired_key_counts_less(site: Trusting) -> None:
    """A theft that is found late: the window of a key that was rotated out ends earlier."""
    first, second = site.sign("first"), site.sign("second")
    site.rotate("issuing")
    policy = ceremony.load_policy(site.trust)
    (window,) = (each for each in policy.windows if each.use == "issuing" and each.last_index is not None)
    index = open_anchor(site.trust).verify(second, "data-scientist").log_index
    rotation.retire(
        site.trust, "issuing", window.id, last_index=index - 1, until=None, held=site.held(), now=site.later()
    )
    assert (site.accepts(first), site.accepts(second)) == ("", "APL-TRUST-021")
    for last_index, id in ((index, window.id), (0, "sha256:" + "0" * 64)):
        with pytest.raises(ApplianceError) as caught:
            rotation.retire(
                site.trust, "issuing", id, last_index=last_index, until=None, held=site.held(), now=site.later()
            )
        assert caught.value.code.id == "APL-TRUST-033"


def test_the_newest_key_is_not_retired_without_a_successor(site: Trusting) -> None:
    (id,) = (each.id for each in ceremony.load_policy(site.trust).windows if each.use == "ct")
    with pytest.raises(ApplianceError, match="rotate it first"):
        rotation.retire(site.trust, "ct", id, last_index=3, until=None, held=site.held(), now=site.later())


@pytest.mark.parametrize("name", [*custody.CUSTODIANS, custody.PUBLISHER])
def test_custody_keys_are_rotated(site: Trusting, name: str) -> None:
    """Afterwards the new keys publish."""
    rotation.rotate_custody(site.trust, name, store=custody.custody_of(site.trust), held=site.held(), now=site.later())
    site.rotate("issuing")
    assert site.accepts(site.sign("after")) == ""
    assert len(site.held().custodians) == 4


def test_a_lost_custodian_is_replaced_by_the_others(site: Trusting) -> None:
    store = custody.custody_of(site.trust)
    rotation.rotate_custody(site.trust, "custodian-2", store=store, held=site.held(), now=site.later(), lost=True)
    (site.trust / "custody" / "custodian-2.pem").unlink()
    site.rotate("timestamp")
    assert site.accepts(site.sign("after")) == ""


@pytest.mark.parametrize("name", ["custodian-1", "custodian-2", "custodian-3"])
def test_a_custodian_whose_key_is_gone_is_replaced(site: Trusting, name: str) -> None:
    (site.trust / "custody" / f"{name}.pem").unlink()
    store = custody.custody_of(site.trust)
    rotation.rotate_custody(site.trust, name, store=store, held=site.held(), now=site.later(), lost=True)
    assert len(site.held().custodians) == 4
    site.rotate("timestamp")
    assert site.accepts(site.sign("after")) == ""


def test_the_lattice_key_cannot_be_replaced_without_itself(site: Trusting) -> None:
    """Else a broken curve would be enough to take it out; every client must be given a new first root instead."""
    (site.trust / "custody/custodian-lattice.pem").unlink()
    store = custody.custody_of(site.trust)
    with pytest.raises(ApplianceError) as caught:
        rotation.rotate_custody(
            site.trust, "custodian-lattice", store=store, held=site.held(), now=site.later(), lost=True
        )
    assert caught.value.code.id == "APL-TUF-003"
    assert not (site.trust / "tuf/metadata/2.root.json").exists()


def test_a_custodian_who_took_the_key_away_stays_one(site: Trusting, tmp_path: Path) -> None:
    """Another one's rotation must not drop them."""
    taken = (site.trust / "custody/custodian-3.pem").rename(tmp_path / "taken.pem")
    store = custody.custody_of(site.trust)
    rotation.rotate_custody(site.trust, "custodian-1", store=store, held=site.held(), now=site.later())
    taken.rename(site.trust / "custody/custodian-3.pem")
    assert len(site.held().custodians) == 4


@pytest.mark.parametrize(("last_index", "until"), [(-5, None), (1, "tomorrow"), (1, "2026-03-01T12:00:00+01:00")])
def test_a_policy_that_nobody_could_read_is_not_published(site: Trusting, last_index: int, until: str | None) -> None:
    site.rotate("ct")
    before = (site.trust / "trust-policy.json").read_bytes()
    (window,) = (each for each in ceremony.load_policy(site.trust).windows if each.use == "ct" and each.last_index)
    with pytest.raises(ApplianceError) as caught:
        rotation.retire(
            site.trust, "ct", window.id, last_index=last_index, until=until, held=site.held(), now=site.later()
        )
    assert caught.value.code.id == "APL-TRUST-033"
    assert (site.trust / "trust-policy.json").read_bytes() == before


def test_with_two_custodians_away_nothing_is_published(site: Trusting) -> None:
    for name in ("custodian-1", "custodian-2"):
        (site.trust / "custody" / f"{name}.pem").unlink()
    with pytest.raises(ApplianceError) as caught:
        site.rotate("issuing")
    assert caught.value.code.id == "APL-TRUST-032"


def test_the_root_key_may_be_in_a_safe_until_it_is_needed(site: Trusting) -> None:
    (site.trust / "enclave/root.pem").rename(site.trust / "safe.pem")
    site.rotate("ct")
    with pytest.raises(ApplianceError) as caught:
        site.rotate("issuing")
    assert caught.value.code.id == "APL-TRUST-005"
    assert site.accepts(site.sign("after")) == ""


def test_an_enrolled_person_counts_and_a_stranger_does_not(site: Trusting) -> None:
    alice, stranger = keys.generate("p256"), keys.generate("p256")
    log = ceremony.open_enclave(site.trust).log()
    identity = "https://north.appliance.internal/approvers/alice"
    index = rotation.enroll(
        site.trust, log, alice.public, role="approver", identity=identity, store=site.store, now=site.later()
    )
    log.append(
        [enrollment.enroll(stranger.public, role="approver", identity=identity, root=stranger, when=site.later())]
    )
    found = enrollment.enrolled(log.entries())
    assert (found[keys.key_id(alice.public)].identity, found[keys.key_id(alice.public)].index) == (identity, index)
    assert keys.key_id(stranger.public) not in found


def test_after_the_root_was_rotated_the_new_one_enrolls(site: Trusting) -> None:
    site.rotate("root")
    bob = keys.generate("p256")
    log = ceremony.open_enclave(site.trust).log()
    rotation.enroll(site.trust, log, bob.public, role="node", identity="n", store=site.store, now=site.later())
    assert keys.key_id(bob.public) in enrollment.enrolled(log.entries())


def test_the_unmodified_verifier_accepts_what_every_generation_signed(site: Trusting) -> None:
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.verify import Verifier, policy

    bundles = [site.sign("0")]
    for use in rotation.ROTATED:
        site.rotate(use)
        bundles.append(site.sign(use))
    config = ceremony.load_trust_config(site.trust)
    verifier = Verifier(trusted_root=ClientTrustConfig.from_json(config.decode()).trusted_root)
    who = policy.Identity(
        identity="https://north.appliance.internal/roles/data-scientist", issuer="https://idp.north.appliance.internal"
    )
    for bundle in bundles:
        verifier.verify_dsse(Bundle.from_json(bundle), who)
    assert len(trust_config.parse(config).logs) == 2
