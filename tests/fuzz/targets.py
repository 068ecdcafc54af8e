"""The parsers that read what strangers may have written.

To add one: a function that gives a `Loaded`, and a line in `TARGETS`; those of bundles are in `bundle_targets`. Keys
are new in each run; a kept input therefore tests what comes before the signature as it was found, and what comes after
by its form.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.base import archive
from appliance.base.canonical import canonical, parse_canonical
from appliance.base.errors import ApplianceError
from appliance.governance import audit
from appliance.ingestion.sensitive import sealing
from appliance.trust import (
    cosignatures,
    enrollment,
    keys,
    log_check,
    log_proof,
    notes,
    policy,
    revocation,
    sigstore_offline,
    statements,
    tiles,
    timestamp,
    trust_config,
    witness,
    witness_policy,
)
from appliance.trust.data_keys import ID_BYTES, DataKey
from appliance.trust.tlog import TransparencyLog
from appliance.trust.tuf import metadata as tuf_metadata
from appliance.trust.verifier import bundle as second_bundle
from appliance.trust.verifier import log as second_log
from appliance.trust.verifier import policy as second_policy
from appliance.trust.verifier.policy import TrustedRoot
from appliance.trust.verifier.verdict import HOSTILE, Refused, Verdict
from tests.fuzz.bundle_targets import BUNDLE_TARGETS
from tests.fuzz.registry import Loaded, Target
from tests.unit.trust.trusting import ARTIFACT, TrustingSite, make_witnessed_site

DIGEST = "sha256:" + "ab" * 32
STATEMENTS = (
    statements.model(name="m", package_digest=DIGEST, files={"model.onnx": DIGEST}, predicate={"owner": "o", "n": 1}),
    statements.training_set(name="t", digest=DIGEST, lineage=DIGEST, files={}, facts={"rows": 3, "zones": ["a", None]}),
    statements.approval(name="m", subject_digest=DIGEST, predicate={"scope": "live", "ok": True}),
)
Parse = Callable[[bytes], object]


def load_canonical(folder: Path) -> Loaded:
    def parse(data: bytes) -> None:
        assert canonical(parse_canonical(data)) == data

    return Loaded(
        parse=parse, seeds=[*STATEMENTS, b"[]", b"-1", b'"\xf0\x9f\x98\x80"', canonical({"\ue000": 1, "😀": 2})]
    )


def load_entries(folder: Path) -> Loaded:
    def parse(data: bytes) -> None:
        assert tiles.pack_entries(tiles.parse_entries(data)) == data

    seeds = [tiles.pack_entries(each) for each in ([], [b""], [b"a", b"bc" * 200], [*STATEMENTS])]
    return Loaded(parse=parse, seeds=seeds, errors=(ValueError,))


def load_tiles(folder: Path) -> Loaded:
    """The first byte of an input says which file of a log the rest takes the place of."""
    log = TransparencyLog(folder / "log", "log.test", keys.generate("ed25519"))
    log.create()
    log.append([b"entry %d" % index for index in range(300)])
    files = sorted(path for path in log.folder.rglob("*") if path.is_file() and path.name != "lock")
    good = [path.read_bytes() for path in files]

    def parse(data: bytes) -> None:
        number = data[0] % len(files) if data else 0
        files[number].write_bytes(data[1:])
        try:
            check = log_check.check_log(log.folder, log.key)
            same = data[1:] == good[number]
            if files[number].name == "checkpoint":  # lines of other names may stand below it
                assert check.ok or not same, check.bad
            else:
                assert check.ok == same, check.bad
            deque(log_check.replay(log.folder, log.checkpoint()), maxlen=0)
            log_check.verify_entry(log.folder, log.key, b"entry 7")
        finally:
            files[number].write_bytes(good[number])

    return Loaded(parse=parse, seeds=[bytes([number]) + data for number, data in enumerate(good)])


def load_log_key(folder: Path) -> Loaded:
    key = notes.log_key("log.test", keys.generate("ed25519").public)
    return Loaded(
        parse=lambda data: notes.parse_log_key(data.decode("utf-8", "surrogateescape")), seeds=[key.text().encode()]
    )


def load_statement(folder: Path) -> Loaded:
    return Loaded(parse=statements.parse_statement, seeds=STATEMENTS)


def load_archive(folder: Path) -> Loaded:
    source, target = folder / "in.tar", folder / "out"
    archive.pack(source, {"a.txt": b"hello", "folder/b.bin": bytes(600), "long/" + "n" * 150: b"x"})
    first = source.read_bytes()
    archive.pack(source, {"one": b""})

    def parse(data: bytes) -> None:
        source.write_bytes(data)
        try:
            archive.unpack(source, target, max_bytes=1 << 20)
            size = sum(path.lstat().st_size for path in target.rglob("*") if not path.is_dir())
            assert size <= 1 << 20
            assert not any(path.is_symlink() for path in target.rglob("*"))
        finally:
            shutil.rmtree(target, ignore_errors=True)

    return Loaded(parse=parse, seeds=[first, source.read_bytes()])


def load_timestamp(folder: Path) -> Loaded:
    site = make_witnessed_site(folder)
    chains = trust_config.parse(site.anchor.config).timestampers
    pairs = [_token(bundle) for bundle in _bundles(site)]
    data = pairs[0][1]
    return Loaded(
        parse=lambda token: timestamp.verify(token, data, chain=timestamp.chain_of(token, chains)),
        seeds=[pairs[0][0]],
    )


def _token(bundle: bytes) -> tuple[bytes, bytes]:
    document = json.loads(bundle)
    (stamp,) = document["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    (signature,) = document["dsseEnvelope"]["signatures"]
    return base64.b64decode(stamp["signedTimestamp"]), base64.b64decode(signature["sig"])


def _bundles(site: TrustingSite) -> Sequence[bytes]:
    return [path.read_bytes() for path in sorted((site.trust / "bundles").glob("*.json"))]


def _of_role(site: TrustingSite, role: str) -> tuple[list[bytes], str, str]:
    """The bundles of a role, its identity and the issuer."""
    identity = site.signer().enclave.identity(role)
    return (
        [each for each in _bundles(site) if sigstore_offline.claimed_identity(each) == identity],
        identity,
        (site.signer().enclave.issuer),
    )


def load_bundle(folder: Path) -> Loaded:
    site = make_witnessed_site(folder)
    seeds, identity, issuer = _of_role(site, "data-scientist")
    config = site.anchor.config

    def parse(data: bytes) -> None:
        sigstore_offline.claimed_identity(data)
        sigstore_offline.verify_statement(data, config, identity=identity, issuer=issuer)

    return Loaded(parse=parse, seeds=seeds)


def load_second_bundle(folder: Path) -> Loaded:
    """The same bundles before the independent verifier."""
    site = make_witnessed_site(folder)
    seeds, identity, issuer = _of_role(site, "data-scientist")
    root = TrustedRoot(site.anchor.config)
    (folder / "model").write_bytes(ARTIFACT)
    artifact = second_bundle.Artifact(path=folder / "model")
    demand = second_bundle.Demand(issuer=issuer, identity=identity, artifact=artifact)
    return Loaded(
        parse=lambda data: second_bundle.verify_bundle(data, root, demand, None, Verdict()),
        seeds=seeds,
        errors=(Refused,),
    )


def load_trust_config(folder: Path) -> Loaded:
    return Loaded(parse=trust_config.log_of, seeds=[make_witnessed_site(folder).anchor.config])


def load_second_trust_config(folder: Path) -> Loaded:
    config = make_witnessed_site(folder).anchor.config
    return Loaded(parse=TrustedRoot, seeds=[config], errors=HOSTILE)


def load_checkpoint(folder: Path) -> Loaded:
    """Checkpoints with and without cosignatures."""
    site = make_witnessed_site(folder)
    anchor = site.anchor
    known = witness_policy.parse_witness_policy((site.trust / witness_policy.FILE_NAME).read_bytes())
    plain = (site.trust / "log" / "checkpoint").read_bytes()
    seeds = [plain, *(path.read_bytes() for path in site.trust.rglob("checkpoint*") if path.is_file())]

    def parse(data: bytes) -> None:
        notes.open_checkpoint(data, anchor.log_key)
        cosignatures.cosigned(data, known.witnesses.values())

    return Loaded(parse=parse, seeds=seeds)


def load_trust_policy(folder: Path) -> Loaded:
    def parse(data: bytes) -> None:
        assert policy.parse_policy(data).encode() == data

    return Loaded(parse=parse, seeds=[_target_file(make_witnessed_site(folder), policy.FILE_NAME)])


def load_second_trust_policy(folder: Path) -> Loaded:
    seeds = [_target_file(make_witnessed_site(folder), policy.FILE_NAME)]
    return Loaded(parse=second_policy.parse_policy, seeds=seeds, errors=HOSTILE)


def load_tlog_policy(folder: Path) -> Loaded:
    seeds = [_target_file(make_witnessed_site(folder), witness_policy.FILE_NAME)]
    return Loaded(parse=witness_policy.parse_witness_policy, seeds=seeds)


def load_second_tlog_policy(folder: Path) -> Loaded:
    seeds = [_target_file(make_witnessed_site(folder), witness_policy.FILE_NAME)]
    return Loaded(parse=second_log.WitnessPolicy, seeds=seeds, errors=HOSTILE)


def _target_file(site: TrustingSite, name: str) -> bytes:
    return (site.trust / name).read_bytes()


def load_witness_request(folder: Path) -> Loaded:
    site = make_witnessed_site(folder)
    seeds = [path.read_bytes() for path in sorted((site.folder / "requests").iterdir())]
    log = site.anchor.log_key

    def parse(data: bytes) -> None:
        notes.open_checkpoint(witness.parse_request(data).note, log)

    return Loaded(parse=parse, seeds=seeds)


def load_log_proof(folder: Path) -> Loaded:
    log = TransparencyLog(folder / "log", "log.test", keys.generate("ed25519"))
    log.create()
    log.append([b"%d" % index for index in range(300)])

    def parse(data: bytes) -> None:
        log_proof.parse_proof(data)

    return Loaded(parse=parse, seeds=[log_proof.make_proof(log.tree(), log.checkpoint(), at) for at in (0, 7, 299)])


def load_tuf_metadata(folder: Path) -> Loaded:
    site = make_witnessed_site(folder)
    kinds = (tuf_metadata.Root, tuf_metadata.Targets, tuf_metadata.Snapshot, tuf_metadata.Timestamp)
    seeds = [path.read_bytes() for path in sorted(site.trust.rglob("*.json")) if "metadata" in path.parts]

    def parse(data: bytes) -> None:
        for kind in kinds[:-1]:
            with_kind = _attempt(kind, data)
            if with_kind is None:
                return
        tuf_metadata.parse(kinds[-1], data, "fuzz")

    return Loaded(parse=parse, seeds=seeds)


def _attempt(kind: type, data: bytes) -> ApplianceError | None:
    try:
        tuf_metadata.parse(kind, data, "fuzz")
    except ApplianceError as error:
        return error
    return None


def load_audit_record(folder: Path) -> Loaded:
    """An entry is a record or it is not: nothing leaves at all."""
    fields = dict.fromkeys(audit._FIELDS, "x") | {"kind": "audit", "seq": 0, "arguments": {"a": "b"}, "intent": None}
    record = canonical(fields)
    assert audit.parse_record(record, 0) is not None
    return Loaded(parse=lambda data: audit.parse_record(data, 0), seeds=[record], errors=())


def load_entry(folder: Path) -> Loaded:
    """An entry of the log before those who read enrollments and revocations."""
    site = make_witnessed_site(folder)
    site.revoke("identity", "https://north.appliance.internal/roles/approver", 3)

    def parse(data: bytes) -> None:
        enrollment.enrolled([data])
        revocation.revocations_of([data])

    return Loaded(parse=parse, seeds=list(site.signer().enclave.log().entries()))


def load_sealed_file(folder: Path) -> Loaded:
    key = DataKey(b"k" * ID_BYTES, bytes(32))
    parts = [(sealing.CLEAR, b"t,id\n"), (key.id, b"2026-01-01,c-1\n"), (sealing.CLEAR, b"")]
    sealed = sealing.seal_file(bytes(sealing.CONTENT_BYTES), parts, {key.id: key})

    def parse(data: bytes) -> None:
        sealing.open_file(sealing.parse_file(data), {key.id: key})

    return Loaded(parse=parse, seeds=[sealed, sealing.seal_file(bytes(sealing.CONTENT_BYTES), [], {})])


TARGETS = (
    *BUNDLE_TARGETS,
    Target(name="archive", load=load_archive),
    Target(name="audit_record", load=load_audit_record),
    Target(name="bundle", load=load_bundle),
    Target(name="canonical", load=load_canonical),
    Target(name="checkpoint", load=load_checkpoint),
    Target(name="entries", load=load_entries),
    Target(name="entry", load=load_entry),
    Target(name="log_key", load=load_log_key),
    Target(name="log_proof", load=load_log_proof),
    Target(name="statement", load=load_statement),
    Target(name="tiles", load=load_tiles),
    Target(name="timestamp", load=load_timestamp),
    Target(name="tlog_policy", load=load_tlog_policy),
    Target(name="trust_config", load=load_trust_config),
    Target(name="trust_policy", load=load_trust_policy),
    Target(name="tuf_metadata", load=load_tuf_metadata),
    Target(name="witness_request", load=load_witness_request),
    Target(name="sealed_file", load=load_sealed_file),
    Target(name="second_bundle", load=load_second_bundle),
    Target(name="second_tlog_policy", load=load_second_tlog_policy),
    Target(name="second_trust_config", load=load_second_trust_config),
    Target(name="second_trust_policy", load=load_second_trust_policy),
)
