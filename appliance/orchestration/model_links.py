"""Checks the signed statements of one model version and every file of its package, by the unmodified verifier.

Order of checks
1. The model statement, by the role that registered it; every file that it names, each by its digest.
2. The package has no other files, and its manifest says what the statement says.
3. The statement about the same files in the form of the OpenSSF model signing specification.
4. The approval, by another key.
5. What the model rests on (lineage), and the statement about its training set, when the log has one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from appliance.base.digest import digest_file
from appliance.governance import approvals, loading
from appliance.governance.lineage import Document
from appliance.governance.package import MANIFEST
from appliance.governance.package_store import package_folder
from appliance.governance.stages import Standing
from appliance.orchestration.case import Case
from appliance.trust import statements
from appliance.trust.signer import bundle_path
from appliance.trust.sigstore_offline import VerifiedStatement


def verify_model(case: Case, standing: Standing) -> bool:
    """Verify a version and add what it rests on to the chain; gives whether its package holds."""
    findings, where = case.findings, f"{standing.name}/{standing.version}"
    name = f"model {where}"
    folder = package_folder(case.site.registry, standing.name, standing.version)
    # 1. the statement, and its files
    place = _bundle(case, standing.statement)
    verified = findings.attempt(name, partial(loading.verify_model, standing, case.anchor), place, "signature")
    if verified is None:
        return False
    _note_signature(case, name, place, f"model statement, signed by the role {standing.registrar}")
    subjects = verified.statement.subjects
    signed = {path.removeprefix(f"{where}/"): digest for path, digest in subjects.items()}
    results = [_check_file(case, name, folder / path, digest) for path, digest in sorted(signed.items())]
    held = all(results)
    # 2. nothing else
    if held:
        check = partial(loading.check_package, folder, standing, verified)
        held = findings.attempt(name, check, findings.inside(folder / MANIFEST)) is not None
    if held:
        findings.established.append(f"{where} is byte for byte what was signed and registered")
    # 3. the same, as model signing states it
    _check_model_signing(case, standing, verified, signed)
    # 4. the approval
    _check_approval(case, standing, name)
    # 5. what it rests on
    lineage = verified.statement.predicate.get("lineage")
    if isinstance(lineage, str):
        case.chain.add(lineage)
        for id in case.chain.below(lineage):
            document = case.chain.documents.get(id)
            if document is not None and document.kind == "training-set":
                _check_training_set(case, document, standing.registrar)
    return held


def _check_file(case: Case, name: str, path: Path, digest: str) -> bool:
    place = case.findings.inside(path)
    try:
        found = "a link, not a file" if path.is_symlink() else digest_file(path)
    except OSError as error:
        found = f"it cannot be read: {error.strerror}"
    ok = found == digest
    case.findings.note("file", name, place, ok, digest if ok else f"expected {digest}, got {found}")
    return ok


def _note_signature(case: Case, name: str, place: str, detail: str, fault: str = "") -> None:
    """A bundle that verifies must also be in the one form that is written: space between its parts is not signed."""
    data = case.path(place).read_bytes()
    if not fault and json.dumps(json.loads(data), separators=(",", ":")).encode() != data:
        fault = "the bundle is not in the form that was written"
    case.findings.note("signature", name, place, not fault, fault or detail)


def _check_model_signing(
    case: Case, standing: Standing, verified: VerifiedStatement, signed: Mapping[str, str]
) -> None:
    digest = verified.statement.predicate.get("model_signing")
    if not isinstance(digest, str):
        return
    name, place = f"model {standing.name}/{standing.version}", _bundle(case, digest)
    found = case.findings.attempt(name, partial(_verified, case, digest, standing.registrar), place, "signature")
    if found is not None:
        expected = statements.model_signing(name=f"{standing.name}-{standing.version}", files=signed)
        fault = "" if found.statement.payload == expected else "it names other files than the model statement"
        _note_signature(case, name, place, "the same files in the OpenSSF form", fault)


def _check_approval(case: Case, standing: Standing, name: str) -> None:
    where = f"{standing.name}/{standing.version}"
    if standing.approval is None:
        case.findings.established.append(f"{where} has no approval yet")
        return
    place = _bundle(case, standing.approval)
    check = partial(approvals.require_approval, standing, case.anchor, enrolled=case.enrolled, now=case.clock.now())
    approval = case.findings.attempt(name, check, place, "signature")
    if approval is not None:
        _note_signature(case, name, place, f"approved by another key: {approval.reason}")
        case.findings.established.append(
            f"it was approved at {approval.approved_at} by a key other than the one that registered it"
        )


def _check_training_set(case: Case, document: Document, role: str) -> None:
    """The statement follows from the document; the log says whether it was signed."""
    statement = training_set_statement(document)
    digest = statements.parse_statement(statement).digest
    if digest not in case.signed:
        return
    name, place = f"training-set {document.name}", _bundle(case, digest)
    found = case.findings.attempt(name, partial(_verified, case, digest, role), place, "signature")
    if found is not None:
        fault = "" if found.statement.payload == statement else "it is another statement"
        _note_signature(case, name, place, f"training set statement, signed by the role {role}", fault)


def training_set_statement(document: Document) -> bytes:
    """What is signed about a pinned training set."""
    return statements.training_set(
        name=document.name,
        digest=document.facts["digest"],
        lineage=document.id,
        files={Path(file.path).name: file.digest for file in document.files},
        facts=document.facts,
    )


def _verified(case: Case, digest: str, role: str) -> VerifiedStatement:
    return case.anchor.verify(case.anchor.bundle(digest), role)


def _bundle(case: Case, digest: str) -> str:
    return case.findings.inside(bundle_path(case.site.trust / "bundles", digest))
