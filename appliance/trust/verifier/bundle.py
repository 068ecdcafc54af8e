"""One Sigstore bundle (0.1 to 0.3), step by step; the steps are those of the contract and run in its order.

`Signed` runs the steps from `certificate` to `entry`, for any bundle and more strictly for one in a pack;
`verify_bundle` adds what is asked of a bundle that stands alone. No clock is read: windows and lifetimes are judged at
the times that the log and the timestamp authorities signed.

Stricter than Sigstore demands: every timestamp token verifies, not only as many as are needed; the signature line of a
checkpoint carries the name of its log; base64 has one spelling.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .certificates import CODE_SIGNING, DIGITAL_SIGNATURE, Certificate, check_chain, check_sct, check_token
from .encoding import canonical, conform, digest, encode_base64, from_posix, parse_json, show_times
from .envelope import DIGESTS, Bundle, check_entry, pre_authentication
from .log import Checkpoint, Tree, WitnessPolicy, leaf_hash, root_of
from .policy import Authority, Log, TrustedRoot, accept
from .signatures import HASHES, PublicKey, is_signed, own_hash
from .verdict import Verdict, require

IN_TOTO = "application/vnd.in-toto+json"
STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What a bundle is about: a file, or only the SHA-256 of one."""

    path: Path | None = None
    sha256: bytes = b""

    @functools.cache  # noqa: B019  a program judges one artifact
    def hash(self, name: str) -> bytes:
        if self.path is None:
            require(name == "sha256", f"needs the artifact itself: its digest is {name}")
            return self.sha256
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, name).digest()


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Whose signature is expected. A pack's bundle has the stricter form, and its identity is judged by policy."""

    issuer: str
    identity: str | None = None
    origin: str | None = None  # of the pack's log
    artifact: Artifact | None = None

    @property
    def in_pack(self) -> bool:
        return self.origin is not None


class Signed:
    """What a bundle proves: it is made by the steps from `certificate` to `entry`. `tree` is of the pack's log.

    `keys` are (use in the trust policy, digest) of the keys and authorities; `periods` are the trusted root's own
    windows, as (of what, any of these, at these times).
    """

    def __init__(
        self,
        bundle: Bundle,
        root: TrustedRoot,
        demand: Demand,
        verdict: Verdict,
        about: str = "",
        tree: Tree | None = None,
    ) -> None:
        with verdict.step("certificate", about):
            self.leaf = leaf = Certificate(bundle.certificate)
            named = [each for each in root.authorities if each.chain[0].subject == leaf.issuer]
            reason = "no authority of the trusted root has the name of its issuer"
            found = [each for each, _ in accept(named, functools.partial(check_chain, leaf), reason)]
            authority = found[0].chain[0]
            require(leaf.may(DIGITAL_SIGNATURE) and CODE_SIGNING in leaf.purposes, "the leaf is not for signing code")
        with verdict.step("sct", about):
            ct_keys = {log.id: log.key for log in root.ct_logs}
            ct_id, ct_time = check_sct(leaf, authority, ct_keys)
            ct_log = next(log for log in root.ct_logs if log.id == ct_id)
        with verdict.step("identity", about):
            expected, got = (demand.identity or leaf.identity, demand.issuer), (leaf.identity, leaf.identity_issuer)
            require(got == expected, f"expected {expected[0]!r} of {expected[1]!r}, got {got[0]!r} of {got[1]!r}")
        with verdict.step("signature", about):
            require(_is_by_leaf(bundle, leaf.key, demand.artifact), "not by the key of the certificate")
        with verdict.step("promise", about):
            log_id = bundle.entry["logId"]["keyId"]
            known = [log for log in root.logs if log.id == log_id]
            log = require(known, f"the trusted root has no log {log_id.hex()}")[0]
            promise, seconds = bundle.entry["inclusionPromise"], bundle.entry["integratedTime"] or 0
            require(promise or not (demand.in_pack or bundle.version == 1), "no signed entry timestamp")
            body = {"body": encode_base64(bundle.body), "integratedTime": seconds, "logIndex": bundle.index}
            signed = canonical({**body, "logID": log_id.hex()})
            good = not promise or is_signed(log.key, promise["signedEntryTimestamp"], signed)
            require(good, "the signed entry timestamp is not by the log")
            logged = [from_posix(seconds)] if promise else []
        with verdict.step("timestamp", about):
            require(len(bundle.tokens) == 1 or not demand.in_pack, f"expected one token, got {len(bundle.tokens)}")
            stamps: list[tuple[dt.datetime, Certificate, list[Authority]]] = []
            for token in bundle.tokens:
                check = functools.partial(check_token, token, bundle.signature, one_form=demand.in_pack)
                by = accept(root.timestampers, check, "the trusted root has no timestamp authority")
                stamps.append((*by[-1][1], [tsa for tsa, _ in by]))
        with verdict.step("time", about):
            self.times = times = logged + [when for when, _, _ in stamps]
            require(times, "neither the log nor a timestamp authority signed a time")
            require(len(set(times)) == 1 or not demand.in_pack, f"the times differ: {show_times(*times)}")
            require(leaf.validity.covers(times), f"the certificate was not valid at {show_times(*times)}")
            same = [each for each in found if each.chain[0].data == authority.data and each.was_valid(times)]
            require(same, "the authority's certificate was not valid then")
            for when, stamper, tsas in stamps:
                good = stamper.validity.covers([when]) and any(tsa.was_valid([when]) for tsa in tsas)
                require(good, f"the timestamp authority was not valid at {show_times(when)}")
        with verdict.step("inclusion", about):
            self.note = note = _check_inclusion(bundle, log, demand)
        if tree and note:
            with verdict.step("prefix", about):
                require(tree.root(note.size) == note.root, "its tree is not a prefix of the pack's")
                known_leaf = tree.hash_at(0, bundle.index)
                require(known_leaf == leaf_hash(bundle.body), f"the pack's entry {bundle.index} is another one")
        with verdict.step("entry", about):
            check_entry(bundle, leaf.data, demand.artifact.hash if demand.artifact else None)
        self.keys = [("log", log.spki_digest), ("ct", ct_log.spki_digest), ("issuing", digest(authority.data))]
        self.keys += [("timestamp", digest(stamper.data)) for _, stamper, _ in stamps]
        self.periods = [
            ("log", [log.period], logged or times),
            ("certificate log", [ct_log.period], [ct_time]),
            ("authority", [each.period for each in same], times),
            *(("timestamp authority", [tsa.period for tsa in tsas], [when]) for when, _, tsas in stamps),
        ]

    def check_periods(self) -> None:
        for name, periods, times in self.periods:
            covered = any(period.covers(times) for period in periods)
            require(covered, f"the {name} was not in use at {show_times(*times)}")


def _is_by_leaf(bundle: Bundle, key: PublicKey, artifact: Artifact | None) -> bool:
    if bundle.envelope:
        signed = pre_authentication(bundle.envelope)
        # Clients disagree on the hash of the greater curves: their own, or SHA-256 for all.
        return any(is_signed(key, bundle.signature, signed, name) for name in sorted({own_hash(key), "sha256"}))
    assert bundle.message is not None
    artifact = require(artifact, "no artifact was given")
    name, said = own_hash(key), bundle.message["messageDigest"]
    if said:
        name = DIGESTS[said["algorithm"]]
        require(artifact.hash(name) == said["digest"], f"the bundle is about the {name} digest {said['digest'].hex()}")
    if artifact.path and isinstance(key, Ed25519PublicKey):
        return is_signed(key, bundle.signature, artifact.path.read_bytes())
    return is_signed(key, bundle.signature, artifact.hash(name), name, prehashed=True)


def _check_inclusion(bundle: Bundle, log: Log, demand: Demand) -> Checkpoint | None:
    proof, promise = bundle.entry["inclusionProof"], bundle.entry["inclusionPromise"]
    if proof is None:  # bundles of version 0.1 may have the log's promise only
        require(bundle.version == 1 and not demand.in_pack, "no inclusion proof")
        return None
    note = Checkpoint(proof["checkpoint"]["envelope"].encode(), extended=not demand.in_pack)
    name = demand.origin or log.name or note.origin
    # Rekor 1 appends the number of the tree to its name.
    named = note.origin == name or (not demand.in_pack and note.origin.startswith(f"{name} - "))
    require(named, f"expected the log {name!r}, got {note.origin!r}")
    note.check_log(name, log.id[:4], log.key)
    same = (note.size, note.root) == (proof["treeSize"], proof["rootHash"])
    require(same, "proof and checkpoint are of two trees")
    # Rekor 1 counts over several trees: its global index differs from the proof's. The promise covers it.
    index = proof["logIndex"] or 0
    same = bundle.index == index or (promise and not demand.in_pack)
    require(same, f"the entry says index {bundle.index}, its proof {index}")
    root = root_of(leaf_hash(bundle.body), index, note.size, proof["hashes"] or [])
    require(root == note.root, "the inclusion proof does not lead to the signed root")
    return note


def verify_bundle(
    data: bytes, root: TrustedRoot, demand: Demand, policy: WitnessPolicy | None, verdict: Verdict
) -> None:
    """All steps of a bundle that stands alone, whose artifact is given."""
    with verdict.step("format"):
        bundle = Bundle(data)
    signed = Signed(bundle, root, demand, verdict)
    note = signed.note
    if policy:
        with verdict.step("witness"):
            note = require(note, "the bundle has no checkpoint")
            names = [(log.name, log.key_hash) for log in policy.logs]
            known = not names or any(line[:2] in names for line in note.lines)
            require(known, "the checkpoint is of a log that the policy does not name")
            when = policy.newest(policy.cosigned(note))
            verdict.established.append(f"witnessed at {show_times(when)}" if when else "the policy asks for no witness")
    with verdict.step("window"):
        signed.check_periods()
    if bundle.envelope:
        with verdict.step("statement"):
            kind = bundle.envelope["payloadType"]
            require(kind == IN_TOTO, f"payload type {kind!r}")
            form = {"_type": set(STATEMENTS), "subject": [{"digest?": {"*": str}, "*": object}], "*": object}
            subjects = conform(parse_json(bundle.envelope["payload"], floats=True), form)["subject"]
        with verdict.step("subject"):
            artifact = require(demand.artifact, "no artifact was given")
            usable = HASHES if artifact.path else ("sha256",)
            named = (pair for each in subjects for pair in (each["digest"] or {}).items() if pair[0] in usable)
            require(any(artifact.hash(name).hex() == value for name, value in named), "not about this artifact")
    verdict.established += [
        f"signed by {signed.leaf.identity}, vouched for by {signed.leaf.identity_issuer}",
        f"signed at {show_times(*signed.times)}",
    ]
    if note:
        verdict.established.append(f"entry {bundle.index} of {note.origin}, in a tree of {note.size}")
    else:
        verdict.not_established.append("inclusion: the bundle has only the log's promise")
    verdict.not_established += ["revocation", "that the log has not forked since"]
    verdict.not_established += [] if policy else ["witness quorum: no tlog-policy was given"]
