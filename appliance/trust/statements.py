"""in-toto statements (v1): what we sign about training sets, models and approvals.

Rules
1. A statement is canonical JSON; its digest is its identity.
2. Subjects carry SHA-256 only: other algorithms in ``digest`` make unmodified verifiers refuse the statement.
3. Predicate types are ``https://appliance.internal/attestations/<name>/v1``, but for `model_signing`, which is the
   OpenSSF form. Predicates hold no floats.
4. Parsing is strict: unknown fields, other spellings and empty subjects are refused.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.digest import PREFIX, digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from appliance.trust import codes

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MAX_BYTES = 16 * 1024 * 1024  # of a statement; 20,000 subjects have 3 MB
_ATTESTATIONS = "https://appliance.internal/attestations"
TRAINING_SET = f"{_ATTESTATIONS}/training-set/v1"
MODEL = f"{_ATTESTATIONS}/model/v1"
APPROVAL = f"{_ATTESTATIONS}/approval/v1"
RELEASE = "https://slsa.dev/provenance/v1"  # SLSA 1.0 provenance, with every subject of a release
DEPLOYMENT = f"{_ATTESTATIONS}/deployment/v1"
VERIFICATION_SUMMARY = "https://slsa.dev/verification_summary/v1"  # SLSA 1.0
REVOCATION = f"{_ATTESTATIONS}/revocation/v1"
CEREMONY = f"{_ATTESTATIONS}/ceremony/v1"
MODEL_SIGNING = "https://model_signing/signature/v1.0"  # of the OpenSSF model signing specification
_EMPTY = digest_bytes(b"")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement as parsed; whether it is signed is another matter.

    Attributes:
        subjects: name -> ``sha256:<hex>``.
    """

    payload: bytes
    predicate_type: str
    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]

    @property
    def digest(self) -> str:
        return digest_bytes(self.payload)


class _Digest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class _Subject(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: str
    digest: _Digest


class _Form(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    type: str = msgspec.field(name="_type")
    subject: list[_Subject] = msgspec.field()
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: dict[str, Any] = msgspec.field()


def make_statement(predicate_type: str, subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> bytes:
    """The bytes of a statement; `subjects` maps names to digests.

    Raises:
        ApplianceError: APL-BASE-001 the predicate has no canonical form.
    """
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": name, "digest": {"sha256": hex_of(digest)}} for name, digest in sorted(subjects.items())
            ],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def training_set(*, name: str, digest: str, lineage: str, files: Mapping[str, str], facts: Mapping[str, Any]) -> bytes:
    """A pinned training set: content `digest`, its lineage document and the digests of its files."""
    return make_statement(
        TRAINING_SET,
        {name: digest, **{f"{name}/{path}": each for path, each in files.items()}},
        {"lineage": lineage, "digest": digest, "facts": dict(facts)},
    )


def model(*, name: str, package_digest: str, files: Mapping[str, str], predicate: Mapping[str, Any]) -> bytes:
    """A model package: the digest of its ``package.json`` and of every file that it lists."""
    return make_statement(
        MODEL,
        {f"{name}/package.json": package_digest, **{f"{name}/{path}": each for path, each in files.items()}},
        predicate,
    )


def model_signing(*, name: str, files: Mapping[str, str]) -> bytes:
    """The files of a model folder in the form that the unmodified ``model_signing verify sigstore`` reads.

    Its root digest is over the digests of the files in order of name; it leaves out empty files.
    """
    listed = [(path, hex_of(digest)) for path, digest in sorted(files.items()) if digest != _EMPTY]
    root = digest_bytes(b"".join(bytes.fromhex(digest) for _, digest in listed))
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
    resources = [{"name": path, "algorithm": "sha256", "digest": digest} for path, digest in listed]
    return make_statement(MODEL_SIGNING, {name: root}, {"serialization": serialization, "resources": resources})


def approval(*, name: str, subject_digest: str, predicate: Mapping[str, Any]) -> bytes:
    """Somebody allows the thing with `subject_digest`; see `governance.approvals` for the predicate."""
    return make_statement(APPROVAL, {name: subject_digest}, predicate)


def release(
    *,
    subjects: Mapping[str, str],
    build_type: str,
    parameters: Mapping[str, Any],
    dependencies: Mapping[str, str],
    builder: str,
    started: str,
    finished: str,
) -> bytes:
    """Every file of a release, and how it was built: SLSA provenance 1.0.

    Args:
        subjects: name of a file -> digest.
        build_type: URI of the rules by which `parameters` became `subjects`.
        dependencies: URI of what the build read -> digest.
        builder: identity of the machine that vouches for the build.
        started, finished: RFC 3339 in UTC.
    """
    resolved = [{"uri": uri, "digest": {"sha256": hex_of(digest)}} for uri, digest in sorted(dependencies.items())]
    build = {"buildType": build_type, "externalParameters": dict(parameters), "resolvedDependencies": resolved}
    run = {"builder": {"id": builder}, "metadata": {"startedOn": started, "finishedOn": finished}}
    return make_statement(RELEASE, subjects, {"buildDefinition": build, "runDetails": run})


def deployment(*, node: str, running: Mapping[str, str], release_digest: str, deployed_at: str) -> bytes:
    """A node's receipt for what it runs: name of a file -> digest, and the release statement that it came with."""
    return make_statement(DEPLOYMENT, running, {"node": node, "release": release_digest, "deployed_at": deployed_at})


def verification_summary(
    *,
    resource: str,
    digest: str,
    verifier: str,
    verified_at: str,
    policy: str,
    policy_digest: str,
    inputs: Mapping[str, str],
    passed: bool,
    levels: Sequence[str],
) -> bytes:
    """What a verifier concluded about one thing: SLSA verification summary 1.0.

    Args:
        resource: URI of the thing; `digest` is its digest.
        inputs: URI of each attestation that was looked at -> digest.
        levels: what it was found to meet; none of those that did not pass.
    """
    return make_statement(
        VERIFICATION_SUMMARY,
        {resource: digest},
        {
            "verifier": {"id": verifier},
            "timeVerified": verified_at,
            "resourceUri": resource,
            "policy": {"uri": policy, "digest": {"sha256": hex_of(policy_digest)}},
            "inputAttestations": [
                {"uri": uri, "digest": {"sha256": hex_of(each)}} for uri, each in sorted(inputs.items())
            ],
            "verificationResult": "PASSED" if passed else "FAILED",
            "verifiedLevels": list(levels) if passed else ["FAILED"],
            "slsaVersion": "1.0",
        },
    )


def statement_of(bundle: bytes) -> Statement:
    """The statement in a Sigstore bundle; whether it is signed is another matter.

    Raises:
        ApplianceError: APL-TRUST-009, there is none that can be read.
    """
    try:
        payload = base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ApplianceError(codes.STATEMENT_INVALID, f"the bundle holds none: {error!r}") from error
    return parse_statement(payload)


def parse_statement(payload: bytes) -> Statement:
    """Raises:
    ApplianceError: APL-TRUST-009.
    """
    try:
        form = _parse_form(payload)
        subjects = _parse_subjects(form.subject)
    except (ValueError, ApplianceError) as error:
        raise ApplianceError(codes.STATEMENT_INVALID, str(error)) from error
    return Statement(payload=payload, predicate_type=form.predicate_type, subjects=subjects, predicate=form.predicate)


def _parse_form(payload: bytes) -> _Form:
    if len(payload) > MAX_BYTES:
        raise ValueError(f"{len(payload)} bytes, at most {MAX_BYTES} are allowed")
    form = msgspec.convert(parse_canonical(payload), _Form, strict=True)
    if form.type != STATEMENT_TYPE:
        raise ValueError(f"expected type {STATEMENT_TYPE}, got {form.type}")
    return form


def _parse_subjects(listed: list[_Subject]) -> dict[str, str]:
    subjects = {subject.name: PREFIX + subject.digest.sha256 for subject in listed}
    if len(subjects) != len(listed):
        raise ValueError("a subject is listed twice")
    if not subjects:
        raise ValueError("no subject")
    return subjects
