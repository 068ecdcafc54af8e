"""The audit pack: every step of the contract, in its order.

Nothing in the pack is believed because it lies there, and the host's clock is not read: what is expired, fresh or in
its window is judged at times that witnesses, the log or a timestamp authority signed.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from .bundle import IN_TOTO, STATEMENTS, Demand, Signed
from .certificates import TOKEN_SUBJECT
from .encoding import conform, digest, parse_canonical, parse_digest, show_times, unique
from .entries import Register, replay, show_progress
from .envelope import Bundle, check_one_form
from .log import Checkpoint, WitnessPolicy
from .medium import Medium
from .policy import TrustedRoot, check_repository, matches, parse_policy
from .verdict import Verdict, require

COPIES = ("trust-config.json", "trust-policy.json", "tlog-policy")
APPROVAL = "https://appliance.internal/attestations/approval/v1"
LIVE = "live"  # the stage, and the scope of approvals for it
_STATEMENT = {
    "_type": {STATEMENTS[0]},
    "predicate": dict,
    "predicateType": str,
    "subject": [{"name": str, "digest": {"sha256": lambda text: parse_digest(f"sha256:{text}")}}],
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the auditor saw before: the state file."""

    origin: str
    size: int
    root: bytes


class Statement:
    """What a verified bundle says, canonical and as `_STATEMENT` says; `subjects` are digests by name."""

    def __init__(self, payload: bytes, signer: str, when: dt.datetime) -> None:
        self.signer, self.when = signer, when
        statement = conform(parse_canonical(payload), _STATEMENT)
        self.kind, self.predicate = statement["predicateType"], statement["predicate"]
        self.subjects = unique((each["name"], each["digest"]["sha256"]) for each in statement["subject"])
        require(self.subjects, "no subject")


class _Pack:
    """A pack whose steps from `root` to `witness` hold, and what the later ones need of it."""

    def __init__(self, medium: Medium, root_digest: str, verdict: Verdict) -> None:
        self.medium, self.verdict = medium, verdict
        targets, self.expiries = check_repository(medium.read, root_digest, verdict)
        with verdict.step("targets"):
            places = {name: name for name in COPIES}
            places |= {name: name.split("/")[-1] for name in medium.sizes if name.startswith("verifiers/")}
            for place, short in places.items():
                target = place if place in targets else short
                require(target in targets, f"there is no target {target}")
                found = (medium.sizes[place], medium.sha256(place))
                require(found == targets[target], f"{place} is not the target {target}")
        with verdict.step("policy"):
            self.root = TrustedRoot(medium.need("trust-config.json"))
            self.rules = parse_policy(medium.need("trust-policy.json"))
            self.witnesses = WitnessPolicy(medium.need("tlog-policy"))
            require(len(self.witnesses.logs) == 1, f"expected one log line, got {len(self.witnesses.logs)}")
            (log,) = self.witnesses.logs
            known = [each for each in self.root.logs if (each.id[:4], each.name) == (log.key_hash, log.name)]
            same = len(known) == 1 and self.rules["origin"] == log.name
            require(same, f"trust config, trust policy and tlog-policy do not all name the log {log.name!r}")
        with verdict.step("checkpoint"):
            self.head = Checkpoint(medium.need("log/checkpoint"))
            require(self.head.origin == log.name, f"expected the log {log.name!r}, got {self.head.origin!r}")
            self.head.check_log(log.name, log.key_hash, require(log.key, "the log has no key"))
        with verdict.step("tree"):
            self.register = Register(root=self.root, site=self.rules["site"])
            self.tree = replay(medium.need, self.head, self.register)
        with verdict.step("witness"):
            self.times = self.witnesses.cosigned(self.head)
            self.witnessed = self.witnesses.newest(self.times)


def verify_pack(
    medium: Medium,
    root_digest: str,
    verdict: Verdict,
    *,
    seen: Seen | None = None,
    not_older_than: dt.datetime | None = None,
    only: str | None = None,
) -> tuple[Seen, list[Statement]]:
    """All steps after `pack`; gives what the auditor has now seen, and what was signed. `only` is the digest of one
    statement, in hex."""
    pack = _Pack(medium, root_digest, verdict)
    head, register = pack.head, pack.register
    if pack.witnessed:
        _check_ages(pack, pack.witnessed, not_older_than)
    if seen is None:
        verdict.not_established.append("rollback and fork: no earlier state was given")
    else:
        with verdict.step("rollback"):
            require(head.size >= seen.size, f"{head.size} entries, {seen.size} were seen before")
        with verdict.step("fork"):
            require(head.origin == seen.origin, f"the log was {seen.origin!r} before")
            require(pack.tree.root(seen.size) == seen.root, f"not the {seen.size} entries that were seen before")
        verdict.established.append(f"extends the {seen.size} entries that were seen before")
    with verdict.step("issuance"):
        require(not register.faults, f"{len(register.faults)} certificates, first: {''.join(register.faults[:1])}")
    names = sorted(name for name in medium.sizes if name.startswith("bundles/"))
    names = [f"bundles/{only}.sigstore.json"] if only else names
    statements = [_check_bundle(pack, name) for name in show_progress(names, "bundles")]
    if not pack.witnessed:  # only the bundles tell the time
        _check_ages(pack, max((each.when for each in statements), default=None), not_older_than)
    if only:
        verdict.not_established.append("artifacts and approvals: only one bundle was asked for")
    else:
        with verdict.step("subject"):
            known = {each for statement in statements for each in statement.subjects.values()}
            artifacts = sorted(name for name in medium.sizes if name.startswith("artifacts/"))
            for name in show_progress(artifacts, "artifacts"):
                require(f"sha256:{medium.sha256(name)}" in known, f"no statement is about {name}")
        with verdict.step("approval"):
            _check_approvals(pack, statements)
    verdict.established += [
        f"{head.size} entries of {head.origin}, root sha256:{head.root.hex()}",
        f"{len(names)} signed statements of site {pack.rules['site']} under trust policy {pack.rules['version']}",
        f"not revoked as of entry {head.size}: {len(register.revocations)} revocations",
    ]
    unread = [name for name, witness in pack.witnesses.witnesses.items() if witness.key is None]
    verdict.not_established += [f"ML-DSA cosignature of witness {name}" for name in sorted(unread)]
    if pack.witnesses.is_none:
        verdict.not_established.append("witness quorum: the policy asks for none, so a split view would not show")
    verdict.not_established.append("that no newer trust roots and no newer pack exist")
    verdict.not_established.append("that a signer judged well: a signature says who vouched for what, and when")
    return Seen(origin=head.origin, size=head.size, root=head.root), statements


def _check_ages(pack: _Pack, newest: dt.datetime | None, wanted: dt.datetime | None) -> None:
    """Steps `expiry` and `fresh`, at the newest time that somebody signed."""
    verdict = pack.verdict
    if newest is None:
        verdict.not_established.append("metadata expiry: nobody signed a time")
    with verdict.step("expiry"):
        for name, end in pack.expiries.items():
            require(newest is None or newest < end, f"{name} expired at {show_times(end)}")
    if wanted:
        with verdict.step("fresh"):
            newest = require(newest, "nobody signed a time")
            require(newest >= wanted, f"the newest time is {show_times(newest)}, asked for {show_times(wanted)}")
    if newest:
        by = f"witnessed by {', '.join(sorted(pack.times))}" if pack.times else "not witnessed: by the log itself"
        verdict.established.append(f"newest time {show_times(newest)}, {by}")


def _check_bundle(pack: _Pack, name: str) -> Statement:
    verdict, rules, register = pack.verdict, pack.rules, pack.register
    about = name.removeprefix("bundles/")[:16]
    with verdict.step("format", about):
        data = pack.medium.need(name)
        bundle = Bundle(data)
        envelope = require(bundle.envelope, "not an envelope")
        require(bundle.kind == "dsse/0.0.1", "not of the pack's kind")
        check_one_form(data)
    demand = Demand(issuer=rules["issuer"], origin=rules["origin"])
    signed = Signed(bundle, pack.root, demand, verdict, about=about, tree=pack.tree)
    with verdict.step("entry", about):
        require(digest(signed.leaf.data) in register.certificates, "the certificate's issuance is not in the log")
    with verdict.step("window", about):
        signed.check_periods()
        for use, key in signed.keys:
            window = require(rules["windows"].get((use, key)), f"the {use} key {key} has no window")
            require(window.covers(signed.times, bundle.index), f"the {use} key {key} was not in use then")
    with verdict.step("revoked", about):
        identity, statement_digest = signed.leaf.identity, digest(envelope["payload"])
        role_key = str(signed.leaf.text(TOKEN_SUBJECT))
        others = [("identity", identity), ("statement", statement_digest), ("role-key", role_key)]
        for target, key in signed.keys + others:
            first = register.revocations.get((target, key))
            require(first is None or bundle.index < first, f"the {target} {key} was revoked")
    with verdict.step("statement", about):
        require(envelope["payloadType"] == IN_TOTO, f"payload type {envelope['payloadType']!r}")
        require(f"bundles/{statement_digest[7:]}.sigstore.json" == name, f"holds the statement {statement_digest}")
        statement = Statement(envelope["payload"], identity, signed.times[0])
    with verdict.step("signer", about):
        good = any(matches(pattern, identity) for pattern in rules["signers"].get(statement.kind, ()))
        require(good, f"{identity} may not sign {statement.kind}")
    return statement


def _check_approvals(pack: _Pack, statements: list[Statement]) -> None:
    """A package that is live by its newest stage entry has approvals by as many different people as the policy says."""
    live = sorted(package for package, stage in pack.register.stages.items() if stage == LIVE)
    given = [each for each in statements if each.kind == APPROVAL and each.predicate.get("scope") == LIVE]
    for rule in (rule for rule in pack.rules["approvals"] if rule["scope"] == LIVE):
        for package in live:
            people = {each.signer for each in given if package in each.subjects.values()}
            count = sum(any(matches(pattern, who) for pattern in rule["approvers"]) for who in people)
            require(count >= rule["threshold"], f"{package} is live with {count} of {rule['threshold']} approvals")
