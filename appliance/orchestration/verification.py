"""``appliance verify``: recomputes everything that an artifact rests on, from bytes, with no network and no catalog.

Order of checks
1. The log: every tile and the signed checkpoint, recomputed (`trust.log_check`); it extends what witnesses saw.
2. The audit records: chain and signatures (`governance.audit`).
3. The trust anchor and the subject: their lineage documents and all below, file by file (`chain`).
4. Models: signed statements, package and approval by another key (`model_links`).
5. Predictions: the gateway's record, features and score recomputed (`prediction_links`).
6. Rows of the lake against the raw bytes; content digests of training sets (`lake_links`).

Nothing here changes the site. Every failure becomes a broken link; the walk goes on, so that all of them are named.
Bytes that upkeep removed, and said so in the log, are no failure: they are not established (`removed_files`).
A log that does not hold ends it: nothing else can be believed then but the trust anchor's own digests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from appliance.base.clock import Clock, rfc3339
from appliance.base.digest import PREFIX, hex_of
from appliance.base.errors import ApplianceError
from appliance.config.site import Site
from appliance.governance import audit
from appliance.governance.lineage import Lineage
from appliance.orchestration import codes
from appliance.orchestration.case import Case
from appliance.orchestration.chain import Chain
from appliance.orchestration.findings import Findings
from appliance.orchestration.lake_links import check_lake, check_training_sets
from appliance.orchestration.model_links import verify_model
from appliance.orchestration.prediction_links import verify_prediction
from appliance.orchestration.removed_files import sentences
from appliance.orchestration.trust_changes import ANCHOR, newest_anchor
from appliance.secrets.settings import secrets_of
from appliance.storage.files import files_of
from appliance.trust import ceremony, cosigning, log_check, witness_policy
from appliance.trust import codes as trust_codes
from appliance.trust.anchor import Anchor, open_anchor
from appliance.trust.tiles import Tree
from appliance.trust.verdict import Verdict

_PREDICTION = re.compile(r"pr-[0-9a-f]{32}")
_VERSION = re.compile(r"([a-z][a-z0-9_-]{0,62})/(\d{1,9})")
_PACKAGE = re.compile(r"registry/models/([a-z][a-z0-9_-]{0,62})/(\d{1,9})(/.*)?")


class _NoLog:
    """Verification writes nothing."""

    def append(self, entries: Sequence[bytes]) -> object:
        raise AssertionError(f"verification tried to write {entries!r}")


class Verifier:
    """Verifies artifacts of one site. One instance per verification: it remembers what it has checked."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self._site, self._clock = site, clock
        self._findings = Findings(site.folder)
        self._files = files_of(site.settings.storage, site.folder, secrets_of(site))
        self._lineage = Lineage(site.lineage, _NoLog())
        self._unwitnessed = "that the log is the one that anybody else saw"

    def verify(self, subject: str) -> Verdict:
        """Verify a prediction id, a model version (``name/version``), an artifact or lineage id, or a file of the site.

        Raises:
            ApplianceError: APL-VERIFY-001, nothing of that name is known and nothing that was read is broken.
        """
        config = self._findings.inside(self._site.trust / "trust-config.json")
        anchor = self._findings.attempt("trust anchor", lambda: open_anchor(self._site.trust), config, "trust")
        entries = self._check_log(anchor) if anchor is not None else None
        if anchor is None or entries is None:
            self._check_anchor_without_log()
            return self._verdict(subject, 0)
        chain = Chain(files=self._files, lineage=self._lineage, log_entries=entries, findings=self._findings)
        case = Case(
            site=self._site,
            files=self._files,
            clock=self._clock,
            anchor=anchor,
            entries=entries,
            lineage=self._lineage,
            findings=self._findings,
            chain=chain,
        )
        newest = newest_anchor(case.documents(ANCHOR))
        if newest is not None:
            chain.add(newest.id)
        if newest is not None or chain.whole:
            detail = "named in the log" if newest is not None else "the log names no trust anchor"
            self._findings.note("trust", "trust anchor", config, newest is not None, detail)
        known = self._resolve(case, subject)
        if not known and not self._findings.broken:
            raise ApplianceError(codes.UNKNOWN_SUBJECT, f"{subject!r} is not known here", where=str(self._site.folder))
        check_lake(case)
        check_training_sets(case)
        self._findings.not_established += sentences(chain.removed)
        return self._verdict(subject, len(chain.documents))

    def _check_log(self, anchor: Anchor) -> list[bytes] | None:
        """The entries of the log, or None when it does not hold."""
        folder = self._site.trust / "log"
        found = log_check.check_log(folder, anchor.log_key)
        for file in found.files:
            path = self._findings.inside(folder / file.path)
            self._findings.note("log", "transparency log", path, file.ok, file.reason or "hashes to the signed root")
        if not found.ok:
            return None
        self._findings.established.append(f"the log of {found.size} entries hashes to its signed checkpoint")
        self._check_witnessed(anchor, found.size)
        entries = self._findings.attempt("transparency log", anchor.entries, self._findings.inside(folder), "log")
        if entries is None:
            return None
        checked = audit.check_entries(entries, str(folder))
        detail = (
            f"{checked.records} records, chained and signed"
            if checked.ok
            else f"{checked.fault} (entry {checked.index})"
        )
        self._findings.note("audit", "audit records", self._findings.inside(folder), checked.ok, detail)
        if checked.ok:
            self._findings.established.append(
                f"{checked.records} audit records are chained and signed by enrolled role keys"
            )
        return entries

    def _check_anchor_without_log(self) -> None:
        """Name a trust file that was altered, by the digests in its own document; whether that was logged is open."""
        chain = Chain(files=self._files, lineage=self._lineage, log_entries=(), findings=Findings(self._site.folder))
        for path in sorted(self._site.lineage.glob("*.json")):
            if f'"kind":"{ANCHOR}"'.encode() in path.read_bytes() and re.fullmatch(r"[0-9a-f]{64}", path.stem):
                chain.add(PREFIX + path.stem)
        document = newest_anchor(chain.of_kind(ANCHOR))
        if document is not None:
            self._findings.links += [chain.check_file(document, file) for file in document.files]

    def _resolve(self, case: Case, subject: str) -> bool:
        """Whether the subject is known; what it rests on is in the chain then."""
        if _PREDICTION.fullmatch(subject):
            return verify_prediction(case, subject)
        if match := _VERSION.fullmatch(subject):
            return self._resolve_model(case, match[1], match[2]) or self._resolve_path(case, subject)
        if subject.startswith(PREFIX):
            return self._resolve_id(case, subject)
        return self._resolve_path(case, subject)

    def _resolve_model(self, case: Case, name: str, version: str) -> bool:
        standing = case.history.versions.get((name, int(version)))
        if standing is not None:
            verify_model(case, standing)
        return standing is not None

    def _resolve_id(self, case: Case, id: str) -> bool:
        try:
            hex_of(id)
        except ValueError:
            return False
        versions = [each for each in case.history.versions.values() if each.artifact_id == id]
        for standing in versions:
            verify_model(case, standing)
        if not versions and (id in case.lineage_ids or self._lineage.path_of(id).is_file()):
            case.chain.add(id)
            return True
        return bool(versions)

    def _resolve_path(self, case: Case, subject: str) -> bool:
        path = Path(subject) if Path(subject).is_absolute() else self._site.folder / subject
        wanted = self._findings.inside(path)
        if any(link.path == wanted and link.kind in ("file", "log") for link in self._findings.links):
            return True  # a file of the log or of the trust anchor, which are always checked
        if match := _PACKAGE.fullmatch(wanted):
            return self._resolve_model(case, match[1], match[2])
        holding = [
            id
            for id in case.lineage_ids
            if self._findings.inside(self._lineage.path_of(id)) == wanted or self._names(id, wanted)
        ]
        for id in holding:
            case.chain.add(id)
        return bool(holding)

    def _names(self, id: str, path: str) -> bool:
        """Whether a readable document names the file."""
        try:
            return any(file.path == path for file in self._lineage.load(id).files)
        except ApplianceError:
            return False

    def _check_witnessed(self, anchor: Anchor, size: int) -> None:
        """The log extends the tree that witnesses cosigned last: it was not set back, and is not another one."""
        path = self._site.trust / cosigning.WITNESSED
        policy = self._findings.attempt(
            "witness policy",
            lambda: ceremony.load_witness_policy(self._site.trust),
            self._findings.inside(self._site.trust / witness_policy.FILE_NAME),
            "trust",
        )
        if policy is None:
            return
        if policy.quorum == witness_policy.NONE:
            self._unwitnessed = "that no other log was shown to somebody else: the policy asks for no witness"
            return
        if not path.is_file():
            self._unwitnessed = "that no other log was shown to somebody else: no quorum of witnesses has seen it yet"
            return

        def check() -> int:
            head = cosigning.open_witnessed(anchor)
            if head.size > size:
                raise ApplianceError(trust_codes.ROLLED_BACK, f"{size} entries, witnesses saw {head.size}")
            if Tree(folder=self._site.trust / "log", size=size).root(head.size) != head.root:
                raise ApplianceError(trust_codes.FORKED, f"witnesses saw other {head.size} entries")
            return head.size

        seen = self._findings.attempt("witnessed tree", check, self._findings.inside(path), "log")
        if seen is not None:
            self._findings.note(
                "log", "witnessed tree", self._findings.inside(path), True, f"a prefix of {seen} entries"
            )
            self._findings.established.append(f"a quorum of witnesses saw the first {seen} entries of this log")
            self._unwitnessed = "that the entries since then were shown to anybody else"

    def _verdict(self, subject: str, documents: int) -> Verdict:
        self._findings.refuse_symbolic_links()
        links = tuple(dict.fromkeys(self._findings.links))
        established = [*self._findings.established]
        if documents and all(link.ok for link in links):
            files = len({link.path for link in links if link.kind == "file"})
            established.append(f"{files} files named by {documents} logged documents are unchanged")
        return Verdict(
            subject=subject,
            links=links,
            established=tuple(dict.fromkeys(established)),
            not_established=(
                *dict.fromkeys(self._findings.not_established),
                self._unwitnessed,
                f"that nothing happened after the checkpoint; the host's clock says {rfc3339(self._clock.now())}",
                "that the sensors told the truth",
            ),
        )
