"""What a verifier needs of a site and nothing secret: the trust config, the signed statements, the log's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.trust import ceremony, log_check, notes, signer, sigstore_offline, trust_config
from appliance.trust.sigstore_offline import VerifiedStatement


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """The trust folder of a site, as a verifier sees it."""

    folder: Path
    config: bytes

    @property
    def log_key(self) -> notes.LogKey:
        return trust_config.log_of(self.config)

    @property
    def site_name(self) -> str:
        return ceremony.site_of(self.log_key.origin)

    def entries(self) -> list[bytes]:
        """All entries of the log, verified against its checkpoint.

        Raises:
            ApplianceError: APL-TRUST-002 or -003, naming the file.
        """
        return log_check.verified_entries(self.folder / "log", self.log_key)

    def bundle(self, statement_digest: str) -> bytes:
        """The signed statement with this digest; unverified.

        Raises:
            ApplianceError: APL-TRUST-014.
        """
        return signer.load_bundle(self.folder / "bundles", statement_digest)

    def verify(self, bundle: bytes, role: str) -> VerifiedStatement:
        """Verify that a role of this site signed.

        Raises:
            ApplianceError: see `sigstore_offline.verify_statement`.
        """
        return sigstore_offline.verify_statement(
            bundle,
            self.config,
            identity=ceremony.role_identity(self.site_name, role),
            issuer=ceremony.identity_issuer(self.site_name),
        )


def open_anchor(folder: Path) -> Anchor:
    """The anchor of a trust folder.

    Raises:
        ApplianceError: APL-TRUST-008 there is no trust config, APL-TRUST-012 it is not valid.
    """
    anchor = Anchor(folder=folder, config=ceremony.load_trust_config(folder))
    anchor.log_key  # noqa: B018  a config that names no log is refused here, not at the first use
    return anchor
