"""in-toto statements (v1): what we sign about training sets, models and approvals.

Rules
1. A statement is canonical JSON; its digest is its identity.
2. Subjects carry SHA-256 only: other algorithms in ``digest`` make unmodified verifiers refuse the statement.
3. Predicate types are ``https://appliance.internal/attestations/<name>/v1``, but for `model_signing`, which is the
   OpenSSF form. Predicates hold no floats.
4. Parsing is strict: unknown fields, other spellings and empty subjects are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


class _Subject(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: str
    digest: dict[str, str]


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
    subjects: dict[str, str] = {}
    for subject in listed:
        if set(subject.digest) != {"sha256"} or subject.name in subjects:
            raise ValueError(f"subject {subject.name!r} is listed twice or has other digests than sha256")
        subjects[subject.name] = PREFIX + subject.digest["sha256"]
        hex_of(subjects[subject.name])
    if not subjects:
        raise ValueError("no subject")
    return subjects
