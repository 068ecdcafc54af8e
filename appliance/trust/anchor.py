"""What a verifier needs of a site and nothing secret: trust config, policy, signed statements, the log's files.

`Anchor.verify` accepts a statement when
1. the unmodified verifier and the checks beside it accept the bundle (`sigstore_offline`);
2. its tree is a prefix of the log's, and its entry stands at its index;
3. the log explains its certificate: an enrolled key of its identity asked for it (`issuance`);
4. windows, revocations and signers allow it (`judgement`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.trust import (
    ceremony,
    codes,
    enrollment,
    judgement,
    log_check,
    merkle,
    notes,
    revocation,
    signer,
    sigstore_offline,
    trust_config,
)
from appliance.trust.issuance import Issuance
from appliance.trust.policy import TrustPolicy
from appliance.trust.revocation import Revocation
from appliance.trust.sigstore_offline import VerifiedStatement
from appliance.trust.tiles import WIDTH, Tree


@dataclass(frozen=True, kw_only=True)
class _LogView:
    """What the entries of one checkpoint say."""

    revocations: tuple[Revocation, ...]
    issuance: Issuance


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """The trust folder of a site, as a verifier sees it."""

    folder: Path
    config: bytes
    policy: TrustPolicy
    _read: dict[bytes, _LogView] = field(default_factory=dict, repr=False, compare=False)

    @property
    def log_key(self) -> notes.LogKey:
        return trust_config.log_of(self.config)

    @property
    def site_name(self) -> str:
        return self.policy.site

    def entries(self) -> list[bytes]:
        """All entries of the log, verified against its checkpoint.

        Raises:
            ApplianceError: APL-TRUST-002 or -003, naming the file.
        """
        return log_check.verified_entries(self.folder / "log", self.log_key)

    def revocations(self) -> tuple[Revocation, ...]:
        """The revocations of the log as it is now, verified.

        Raises:
            ApplianceError: APL-TRUST-002 or -003.
        """
        return self._view().revocations

    def _view(self) -> _LogView:
        # Kept for one checkpoint: a command that judges many statements reads the log once.
        head, _ = log_check.open_log(self.folder / "log", self.log_key)
        if head.note not in self._read:
            entries = self.entries()
            issuance = Issuance(
                trusted=trust_config.parse(self.config), policy=self.policy, enrolled=enrollment.enrolled(entries)
            )
            for index, entry in enumerate(entries):
                issuance.take(index, entry)
            self._read.clear()
            self._read[head.note] = _LogView(revocations=revocation.revocations_of(entries), issuance=issuance)
        return self._read[head.note]

    def bundle(self, statement_digest: str) -> bytes:
        """The signed statement with this digest; unverified.

        Raises:
            ApplianceError: APL-TRUST-014.
        """
        return signer.load_bundle(self.folder / "bundles", statement_digest)

    def verify(self, bundle: bytes, role: str) -> VerifiedStatement:
        """Verify that a role of this site signed, and that its signature counts.

        Raises:
            ApplianceError: see `verify_identity`.
        """
        return self.verify_identity(bundle, ceremony.role_identity(self.site_name, role))

    def verify_identity(self, bundle: bytes, identity: str) -> VerifiedStatement:
        """Verify that `identity` signed, and that its signature counts.

        Raises:
            ApplianceError: see `sigstore_offline.verify_statement` and `judgement.judge`; APL-TRUST-025 the bundle was
                entered in another log, APL-TRUST-028 no enrolled key asked for its certificate.
        """
        verified = sigstore_offline.verify_statement(bundle, self.config, identity=identity, issuer=self.policy.issuer)
        _, tree = log_check.open_log(self.folder / "log", self.log_key)
        check_prefix(verified, tree)
        view = self._view()
        view.issuance.require(verified.certificate, verified.log_index)
        judgement.judge(verified, self.policy, view.revocations)
        return verified


def check_prefix(verified: VerifiedStatement, tree: Tree) -> None:
    """Raises:
    ApplianceError: APL-TRUST-025, the bundle's tree is no prefix of `tree`, or its entry is not at its index.
    """
    head = verified.head
    if head.size > tree.size or tree.root(head.size) != head.root:
        raise ApplianceError(
            codes.NOT_A_PREFIX, f"its tree of {head.size} entries is not a prefix of the log of {tree.size}"
        )
    leaf = tree.hashes(0, verified.log_index // WIDTH)[verified.log_index % WIDTH]
    if leaf != merkle.leaf_hash(verified.entry):
        raise ApplianceError(codes.NOT_A_PREFIX, f"another entry stands at index {verified.log_index}")


def open_anchor(folder: Path) -> Anchor:
    """The anchor of a trust folder.

    Raises:
        ApplianceError: APL-TRUST-008 there is no trust config or policy, APL-TRUST-012 or -016 it is not valid.
    """
    config, policy = ceremony.load_trust_config(folder), ceremony.load_policy(folder)
    log = trust_config.log_of(config)  # a config that names no log is refused here, not at the first use
    if log.origin != policy.origin:
        raise ApplianceError(
            codes.POLICY_INVALID,
            f"the policy is of {policy.origin}, the trust config of {log.origin}",
            where=str(folder),
        )
    return Anchor(folder=folder, config=config, policy=policy)
