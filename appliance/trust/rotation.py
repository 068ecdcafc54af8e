"""Changes of a site's trust after the ceremony: rotate, retire and revoke keys, enroll people, change witnesses.

Rules
1. A rotated key stays in the trust config for what it signed. Its window ends at the log's size at that moment, and
   that of its successor begins there: order is by log index, so no clock decides which key counted.
2. The log is held meanwhile: nothing is signed between the two windows.
3. Order of a rotation: new key, certificates, then the repository (`custody.Publication`), which makes it count. After
   a crash before that, the key is unused and the next rotation takes the next name.
4. The root key signs authorities and enrollments: it is needed here and nowhere else.
5. A revocation needs no custodian: it is an entry of the log (`appliance.trust.revocation`).
6. A change that is drafted for custodians elsewhere counts when it is published. Until then the old key goes on
   signing, so both windows cover the `overlap` entries that come meanwhile. The log's key and the root cannot wait like
   that: they sign the log itself.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from cryptography import x509

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.trust import (
    ceremony,
    certificates,
    codes,
    custody,
    enrollment,
    keys,
    notes,
    trust_config,
    witness_policy,
)
from appliance.trust import policy as policies
from appliance.trust.ceremony import ALGORITHMS, ISSUING_LIFETIME, ROOT_LIFETIME
from appliance.trust.cosignatures import WitnessKey
from appliance.trust.custody import Custody, Publication
from appliance.trust.keys import KeyStore, SigningKey
from appliance.trust.policy import Approvals, TrustPolicy, Use, Window
from appliance.trust.tlog import CHECKPOINT, TransparencyLog
from appliance.trust.trust_config import TrustedKeys

ROTATED: tuple[str, ...] = ("issuing", "timestamp", "ct", "log", "root")
SIGN_THE_LOG = ("log", "root")


def rotate(
    trust: Path, use: str, *, store: KeyStore, held: Publication, now: dt.datetime, overlap: int = 0
) -> Mapping[str, str]:
    """Replace the newest key of a use; `root` replaces the authorities below it as well. Gives use -> new id.

    Args:
        overlap: entries that the old key may still sign, where `held` does not publish at once.

    Raises:
        ApplianceError: APL-TRUST-005 the root key is needed and away, APL-TRUST-033 this key cannot wait,
            APL-TRUST-032, APL-BASE-002; the old key counts.
    """
    if overlap and use in SIGN_THE_LOG:
        raise ApplianceError(codes.CHANGE_REFUSED, f"the {use} key is rotated at once: bring the custodians' keys")
    now = now.replace(microsecond=0)
    custody.settle(trust)
    before = trust_config.parse(ceremony.load_trust_config(trust))
    log = _log(trust, store, before)
    with log.writing() as writer:
        size = writer.checkpoint().size
        after = _successors(trust, use, store, before, now)
        if use == "root":
            new = keys.parse_public(keys.spki(certificates.public_of(after.authorities[0][1])))
            writer.append([enrollment.succeed(new, root=_root(store, before), when=now)])
            size += 1
        policy = _with_windows(ceremony.load_policy(trust), before, after, size, now, overlap)
        changes = {
            policies.FILE_NAME: policy.encode(),
            trust_config.FILE_NAME: trust_config.build(policy.site, after),
        }
        if use == "log":
            changes[witness_policy.FILE_NAME] = _with_log(trust, after.log)
            _sign_by_both(log.folder / CHECKPOINT, writer.checkpoint(), after.log, store)
        held.publish(trust, changes, now)
    if use == "log":
        atomic.write_bytes(trust / "log.vkey", after.log.text().encode() + b"\n")
    then, used = ceremony.used_keys(before), ceremony.used_keys(after)
    return {each: id for each, id in used.items() if then[each] != id}


def rotate_custody(
    trust: Path, name: str, *, store: KeyStore, held: Custody, now: dt.datetime, lost: bool = False
) -> str:
    """Replace a custodian's key, or the publisher's; gives the id of the new one.

    Args:
        name: as in `custody.CUSTODIANS`, or ``publisher``.
        lost: the old key cannot sign any more; the others must be enough.

    Raises:
        ApplianceError: APL-TRUST-033 it is not known which key is meant; APL-TRUST-032 too few are at hand or
            APL-TUF-003, and then nothing changed but an unused key.
    """
    from appliance.trust.tuf import repository, signing

    root = repository.newest_root(trust / "tuf")
    listed = signing.custodians_of(root) if root is not None else {}
    here = {each: keys.key_id(store.load(each).public) for each in custody.key_names(store)}
    own = [each for each in here if each == name or each.rpartition("-")[0] == name]
    algorithm = custody.CUSTODIANS.get(name, "ed25519")
    replaced = {here[each] for each in own} & listed.keys()
    if name != custody.PUBLISHER and not replaced:
        # Its file is gone: it is the one key of the root, of its kind, that no file here holds.
        away = {
            id
            for id, key in listed.items()
            if id not in here.values() and keys.is_lattice(key) == (algorithm == "mldsa65")
        }
        if len(away) != 1:
            raise ApplianceError(
                codes.CHANGE_REFUSED,
                f"which of {len(away)} keys that are away is {name} is not known",
                where=str(trust),
            )
        replaced = away
    number = max((int(each.rpartition("-")[2]) for each in own if each != name), default=1) + 1
    made = store.create(f"{name}-{number}", algorithm)
    custodians = [public for id, public in listed.items() if id not in replaced]
    if name != custody.PUBLISHER:
        custodians.append(made.public)
    signers = [key for key in held.custodians if not (lost and keys.key_id(key.public) in replaced)]
    repository.rotate(
        trust / "tuf",
        signers=[*signers, made] if name != custody.PUBLISHER else signers,
        custodians=custodians,
        publisher=made if name == custody.PUBLISHER else held.publisher,
        now=now,
    )
    custody.settle(trust)
    return keys.key_id(made.public)


def retire(
    trust: Path, use: Use, id: str, *, last_index: int, until: str | None, held: Publication, now: dt.datetime
) -> TrustPolicy:
    """Let a key count only up to a log index, and a signed time if given; for a key that has a successor.

    Raises:
        ApplianceError: APL-TRUST-033 no such key, the newest one, or a window that would grow; APL-TRUST-032.
    """
    custody.settle(trust)
    policy = ceremony.load_policy(trust)
    window = policy.window(use, id)
    if window is None or window.last_index is None:
        raise ApplianceError(
            codes.CHANGE_REFUSED,
            f"{use} key {id} is not known" if window is None else f"{use} key {id} is in use: rotate it first",
        )
    if last_index > window.last_index:
        raise ApplianceError(
            codes.CHANGE_REFUSED, f"the window ends at {window.last_index}, a retired key does not come back"
        )
    shorter = msgspec.structs.replace(window, last_index=last_index, until=until or window.until)
    changed = _next(policy, windows=tuple(shorter if each is window else each for each in policy.windows))
    try:
        policies.parse_policy(changed.encode())  # what nobody could read must not be published
    except ApplianceError as error:
        raise ApplianceError(codes.CHANGE_REFUSED, error.message) from error
    held.publish(trust, {policies.FILE_NAME: changed.encode()}, now)
    return changed


def set_witnesses(
    trust: Path, witnesses: Mapping[str, WitnessKey], needed: int, *, held: Publication, now: dt.datetime
) -> None:
    """Let these witnesses count, `needed` of them; the names are those in the policy file.

    Raises:
        ApplianceError: APL-TRUST-016, the numbers or names do not fit; APL-TRUST-032.
    """
    custody.settle(trust)
    log = trust_config.log_of(ceremony.load_trust_config(trust))
    policy = witness_policy.make_policy(log, witnesses, needed)
    held.publish(trust, {witness_policy.FILE_NAME: policy}, now)


def set_approvals(trust: Path, scope: str, threshold: int, *, held: Publication, now: dt.datetime) -> TrustPolicy:
    """Ask for `threshold` approvals by different people in a scope.

    Raises:
        ApplianceError: APL-TRUST-033 the scope is not known, APL-TRUST-032.
    """
    custody.settle(trust)
    policy = ceremony.load_policy(trust)
    known = policy.approvals_for(scope)
    if known is None or threshold < 1:
        raise ApplianceError(codes.CHANGE_REFUSED, f"scope {scope} with a threshold of {threshold}")
    changed = Approvals(scope=scope, threshold=threshold, approvers=known.approvers)
    policy = _next(policy, approvals=tuple(changed if each is known else each for each in policy.approvals))
    held.publish(trust, {policies.FILE_NAME: policy.encode()}, now)
    return policy


def enroll(
    trust: Path,
    log: TransparencyLog,
    public: keys.PublicKey,
    *,
    role: str,
    identity: str,
    store: KeyStore,
    now: dt.datetime,
) -> int:
    """Give a key to an identity; gives the index of the log entry.

    Raises:
        ApplianceError: APL-TRUST-005, the root key is away.
    """
    trusted = trust_config.parse(ceremony.load_trust_config(trust))
    entry = enrollment.enroll(public, role=role, identity=identity, root=_root(store, trusted), when=now)
    return log.append([entry])[0]


def require_root(trust: Path, store: KeyStore) -> None:
    """Raises:
    ApplianceError: APL-TRUST-005, the root key is away.
    """
    _root(store, trust_config.parse(ceremony.load_trust_config(trust)))


def _sign_by_both(path: Path, head: notes.Checkpoint, successor: notes.LogKey, store: KeyStore) -> None:
    # Both keys stand under the tree until the next append, so that a crash on either side of publishing finds its own.
    key = ceremony.load_newest(store, "log", successor.public)
    text = notes.checkpoint_text(head.origin, head.size, head.root)
    atomic.write_bytes(path, head.note + notes.signature_line(key, successor, text))


def _successors(trust: Path, use: str, store: KeyStore, before: TrustedKeys, now: dt.datetime) -> TrustedKeys:
    """The trusted keys with new ones in front."""
    if use in ("ct", "log"):
        made = _create(store, use)
        new: object = made.public if use == "ct" else notes.log_key(before.log.origin, made.public)
        field = "cts" if use == "ct" else "logs"
        return _replace(before, {field: (new, *getattr(before, field))})
    changed: dict[str, tuple[object, ...]] = {}
    root, root_key = before.authorities[0][1], _root(store, before)
    start = now - ceremony.BACKDATING
    if use == "root":
        root_key = _create(store, "root")
        root = certificates.issue_root(root_key, name=_successor_name(root), start=start, end=start + ROOT_LIFETIME)
        _keep(trust, "root", root)
    for each in ("issuing", "timestamp") if use == "root" else (use,):
        field = "authorities" if each == "issuing" else "timestampers"
        chains: Sequence[tuple[x509.Certificate, x509.Certificate]] = getattr(before, field)
        issue = certificates.issue_authority if each == "issuing" else certificates.issue_timestamper
        certificate = issue(
            _create(store, each),
            name=_successor_name(chains[0][0]),
            root=root,
            root_key=root_key,
            start=start,
            end=start + ISSUING_LIFETIME,
        )
        _keep(trust, each, certificate)
        changed[field] = ((certificate, root), *chains)
    return _replace(before, changed)


def _replace(before: TrustedKeys, changed: Mapping[str, tuple[object, ...]]) -> TrustedKeys:
    return dataclasses.replace(before, **changed)  # type: ignore[arg-type]


def _create(store: KeyStore, use: str) -> SigningKey:
    name = next(name for name in ceremony.generation_names(use) if not store.holds(name))
    return store.create(name, ALGORITHMS[use])


def _root(store: KeyStore, trusted: TrustedKeys) -> SigningKey:
    return ceremony.load_newest(store, "root", certificates.public_of(trusted.authorities[0][1]))


def _keep(trust: Path, use: str, certificate: x509.Certificate) -> None:
    folder = trust / "certificates"
    name = next(name for name in ceremony.generation_names(use) if not (folder / f"{name}.pem").exists())
    atomic.write_bytes(folder / f"{name}.pem", certificates.to_pem(certificate))


def _successor_name(certificate: x509.Certificate) -> str:
    """``north signing S1`` -> ``north signing S2``."""
    (name,) = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    text = str(name.value)
    letter = text.rstrip("0123456789")
    return f"{letter}{int(text[len(letter) :] or '1') + 1}"


def _with_windows(
    policy: TrustPolicy, before: TrustedKeys, after: TrustedKeys, size: int, now: dt.datetime, overlap: int
) -> TrustPolicy:
    then, used = ceremony.used_keys(before), ceremony.used_keys(after)
    replaced = {(use, then[use]) for use in used if used[use] != then[use]}
    windows = [
        msgspec.structs.replace(each, last_index=size - 1 + overlap) if (each.use, each.id) in replaced else each
        for each in policy.windows
    ]
    start = now - ceremony.BACKDATING
    windows += [ceremony.open_window(use, id, size, start) for use, id in used.items() if id != then[use]]
    return _next(policy, windows=tuple(windows))


def _next(
    policy: TrustPolicy, *, windows: tuple[Window, ...] | None = None, approvals: tuple[Approvals, ...] | None = None
) -> TrustPolicy:
    return msgspec.structs.replace(
        policy,
        version=policy.version + 1,
        windows=windows if windows is not None else policy.windows,
        approvals=approvals if approvals is not None else policy.approvals,
    )


def _with_log(trust: Path, log: notes.LogKey) -> bytes:
    """The witness policy with another log key in its one log line."""
    lines = (trust / witness_policy.FILE_NAME).read_text().split("\n")
    data = "\n".join(f"log {log.text()}" if line.startswith("log ") else line for line in lines).encode()
    witness_policy.parse_witness_policy(data)
    return data


def _log(trust: Path, store: KeyStore, trusted: TrustedKeys) -> TransparencyLog:
    return TransparencyLog(trust / "log", trusted.log.origin, ceremony.load_newest(store, "log", trusted.log.public))
