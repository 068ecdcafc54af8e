"""The receipt of an import: it travels back out, and tells the releaser what a site did with a bundle.

A receipt is one tar file: ``receipt.sigstore.json`` (a SLSA verification summary about the manifest, signed by an
auditor of the site and entered in its log), ``custody.json`` (the custody, whose digest the summary names), and
``tuf/`` (what the site's custodians tell to believe). Whoever has the digest of the site's first root, from paper,
verifies it offline.

Rules
1. The same import gives the same statement: it is signed once.
2. The proof in it is that of the log when it was signed. Whether the signer was revoked since, and what witnesses saw,
   is in an audit pack; the verdict says that it is not established.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.base import archive
from appliance.base.canonical import canonical, parse_canonical
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.bundle import codes, custody
from appliance.bundle.airlock import Import
from appliance.governance.audit import Record
from appliance.trust import judgement, signer, sigstore_offline, statements, trust_config
from appliance.trust import policy as policies
from appliance.trust.anchor import Anchor
from appliance.trust.signer import Signer
from appliance.trust.verdict import Link, Verdict

BUNDLE, CUSTODY = "receipt.sigstore.json", "custody.json"
LEVELS = ("APPLIANCE_VERIFIED", "APPLIANCE_SCANNED", "APPLIANCE_RELEASED_BY_TWO")
MAX_BYTES = 256 << 20
_INPUTS = ("custody", "release")


def write(
    target: Path, state: Import, records: Sequence[Record], *, signing: Signer, anchor: Anchor, actor: str
) -> str:
    """Sign the receipt as `actor` where it is not signed yet, and write it; gives the digest of the statement.

    Args:
        records: the custody of the import up to its release.

    Raises:
        ApplianceError: APL-BUNDLE-059 it was not released, -011 the target exists, APL-BASE-002, those of
            `Signer.sign`.
    """
    if target.exists():
        raise ApplianceError(codes.TARGET_EXISTS, f"{target} exists", where=str(target))
    found = custody.standing(records)
    if not found.released_at:
        raise ApplianceError(codes.IMPORT_STEP, "it was not released", where=state.id)
    names = custody.names_of(anchor.entries(), anchor.site_name)
    lines = custody.as_lines((each for each in records if each.fields["action"] != custody.RECEIPT), names)
    told = canonical(lines)
    statement = statements.verification_summary(
        resource=f"bundle:{state.bundle}/{state.version}",
        digest=state.manifest,
        verifier=signing.enclave.identity(actor),
        verified_at=found.released_at,
        policy="root:1",
        policy_digest=found.received["root_digest"],
        inputs={"custody": digest_bytes(told), "release": state.release},
        passed=True,
        levels=LEVELS,
    )
    digest = digest_bytes(statement)
    place = signer.bundle_path(anchor.folder / "bundles", digest)
    signed = place.read_bytes() if place.exists() else signing.sign(statement, actor)
    repository = anchor.folder / "tuf"
    roots = {f"tuf/{path.relative_to(repository).as_posix()}": path for path in _files(repository)}
    archive.pack(target, {BUNDLE: signed, CUSTODY: told, **roots})
    return digest


def verify(path: Path, root_digest: str) -> Verdict:
    """The verdict on the receipt `path`; `root_digest` is that of the site's first root, from paper.

    Raises:
        ApplianceError: APL-BUNDLE-058, it is no receipt.
    """
    links: list[Link] = []
    established: list[str] = []

    def holds(kind: str, detail: str, name: str = BUNDLE) -> None:
        links.append(Link(kind=kind, name="receipt", path=name, ok=True, detail=detail))

    with tempfile.TemporaryDirectory(prefix="receipt-") as scratch:
        folder = Path(scratch) / "receipt"
        try:
            archive.unpack(path, folder, max_bytes=MAX_BYTES)
            signed, told = (folder / BUNDLE).read_bytes(), (folder / CUSTODY).read_bytes()
        except (ApplianceError, OSError) as error:
            raise ApplianceError(codes.RECEIPT_INVALID, f"it is no receipt: {error}", where=str(path)) from error
        try:
            config, policy = _believed(folder, Path(scratch) / "state", root_digest)
            holds("root", f"what the site's custodians sign follows from {root_digest}", "tuf")
            identity = sigstore_offline.claimed_identity(signed)
            verified = sigstore_offline.verify_statement(signed, config, identity=identity, issuer=policy.issuer)
            judgement.judge(verified, policy, ())
            holds("signature", f"{identity}, log index {verified.log_index}, at {verified.signed_at.isoformat()}")
            subject, digest, predicate = _summary(verified.statement)
            holds("receipt", f"{subject} {digest} passed at {predicate['timeVerified']}")
            inputs = {each["uri"]: f"sha256:{each['digest']['sha256']}" for each in predicate["inputAttestations"]}
            if sorted(inputs) != sorted(_INPUTS) or inputs["custody"] != digest_bytes(told):
                raise ApplianceError(
                    codes.RECEIPT_INVALID, f"expected {inputs.get('custody')}, got {digest_bytes(told)}", where=CUSTODY
                )
            lines = parse_canonical(told)
            holds("custody", f"{len(lines)} steps", CUSTODY)
            established += [
                f"the site {policy.site} verified, scanned and released {subject} with manifest {digest}",
                f"it took it for the release {inputs['release']}",
                f"its custody: {', '.join(str(each['step']) for each in lines)}",
            ]
        except ApplianceError as error:
            detail = f"{error.code.id} {error.message}"
            links.append(Link(kind="receipt", name="receipt", path=error.where or "", ok=False, detail=detail))
    return Verdict(
        subject=str(path),
        links=tuple(links),
        established=tuple(established),
        not_established=(
            "that the signer's key was not revoked since, and what witnesses saw: ask for an audit pack",
            "that what the people of the site wrote down is so",
        ),
    )


def _believed(folder: Path, state: Path, root_digest: str) -> tuple[bytes, policies.TrustPolicy]:
    from appliance.trust.tuf import client

    trusted = client.refresh(str(folder / "tuf"), state, pinned_root_digest=root_digest, reference_time=None)
    return trusted.read(trust_config.FILE_NAME), policies.parse_policy(trusted.read(policies.FILE_NAME))


def _summary(statement: statements.Statement) -> tuple[str, str, Any]:
    """Name and digest of the bundle, and the predicate.

    Raises:
        ApplianceError: APL-BUNDLE-058, the statement is of another kind.
    """
    predicate = statement.predicate
    try:
        ((subject, digest),) = statement.subjects.items()
        good = (
            statement.predicate_type == statements.VERIFICATION_SUMMARY
            and predicate["resourceUri"] == subject
            and subject.startswith("bundle:")
            and predicate["verificationResult"] == "PASSED"
            and tuple(predicate["verifiedLevels"]) == LEVELS
            and isinstance(predicate["timeVerified"], str)
            and all(
                isinstance(each["uri"], str) and each["digest"]["sha256"] for each in predicate["inputAttestations"]
            )
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ApplianceError(codes.RECEIPT_INVALID, f"the statement has another form: {error!r}") from error
    if not good:
        raise ApplianceError(codes.RECEIPT_INVALID, "the statement is not about a bundle that passed")
    return subject, digest, predicate


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".tmp-"))
