"""Audit records: who did what, on what, and how it ended. No record, no action.

A record is an entry of the transparency log, canonical JSON::

    kind "audit", seq, time, trace_id, role, key_id, phase "intent" | "outcome", action, arguments, intent, outcome,
    detail, previous, signature

Rules
1. `Audit.begin` returns only when the record of the intent is durable. If it cannot be written it raises
   APL-AUDIT-001, and the caller must not act.
2. `seq` counts from 0 without gaps; `previous` is the digest of the audit record before (null for the first).
3. `signature` is by the role's key over the canonical record without it, base64. The key must be enrolled for
   that role (see `appliance.trust.enrollment`) and not revoked from there on.
4. An outcome names its intent by log index and is signed by the same key. An intent without an outcome means that the
   program died.
5. Arguments are text and bounded: a long value is replaced by its length and digest, too many by a count.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.base.canonical import canonical, parse_canonical
from appliance.base.clock import Clock, rfc3339
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.base.log import current_trace_id
from appliance.governance import codes
from appliance.governance.roles import RoleKeys, role_of
from appliance.trust import enrollment, keys, revocation
from appliance.trust.enrollment import Enrolled
from appliance.trust.revocation import Revocation
from appliance.trust.tiles import Tree
from appliance.trust.tlog import TransparencyLog, Writer

MAX_VALUE_BYTES = 1_024  # of one argument, as JSON; longer ones are kept as length and digest
MAX_ARGUMENTS = 32  # of one record; with the limits beside a record stays below 65535 bytes in any script
MAX_NAME_CHARACTERS = 128  # of an argument's name and of an action
_MARK = b'"kind":"audit"'  # a quick look before parsing
_HEAD_FIELDS = ("kind", "seq", "time", "trace_id", "role", "key_id", "previous", "signature")
_FIELDS = frozenset((*_HEAD_FIELDS, "phase", "action", "arguments", "intent", "outcome", "detail"))


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A recorded intention.

    Attributes:
        index: of its record in the log.
    """

    index: int
    role: str
    action: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """An audit record and its place in the log."""

    index: int
    digest: str
    fields: Mapping[str, Any]

    @property
    def seq(self) -> int:
        seq = self.fields["seq"]
        assert isinstance(seq, int)
        return seq


@dataclass(frozen=True, kw_only=True)
class AuditCheck:
    """What `Audit.check` found; `fault` is empty when every link holds.

    Attributes:
        index: of the first bad record or entry, None when the log's files themselves are wrong.
        where: the file to look at.
        unfinished: log indexes of intents without an outcome.
    """

    records: int
    fault: str
    index: int | None
    where: str
    unfinished: tuple[int, ...]

    @property
    def ok(self) -> bool:
        return not self.fault


class Audit:
    """Writes and reads the audit records of a site."""

    def __init__(self, log: TransparencyLog, keys: RoleKeys, clock: Clock) -> None:
        self._log = log
        self._keys = keys
        self._clock = clock
        self._last: Record | None = None
        self._scanned = 0  # entries before this index were searched for the last record
        self._guard = threading.Lock()
        self._open: list[Intent] = []

    def begin(self, *, role: str, action: str, arguments: Mapping[str, str]) -> Intent:
        """Record that `role` is about to do `action`.

        Raises:
            ApplianceError: APL-AUDIT-001, the record cannot be written; do not act.
        """
        index = self._write(
            role=role, phase="intent", action=action, arguments=bound(arguments), intent=None, outcome="", detail=""
        )
        intent = Intent(index=index, role=role, action=action)
        self._open.append(intent)
        return intent

    def current(self) -> Intent:
        """The innermost intent of this program that has not ended; changes are made on its behalf.

        Raises:
            ApplianceError: APL-AUDIT-004, there is none.
        """
        if not self._open:
            raise ApplianceError(codes.AUDIT_MISSING, "a change was asked for outside any recorded intent")
        return self._open[-1]

    def end(self, intent: Intent, *, outcome: str, detail: str) -> None:
        """Record how it ended: `outcome` is ``done`` or ``failed``, `detail` an error code or an id.

        Raises:
            ApplianceError: APL-AUDIT-001.
        """
        self._open = [each for each in self._open if each != intent]
        self._write(
            role=intent.role,
            phase="outcome",
            action=intent.action,
            arguments={},
            intent=intent.index,
            outcome=outcome,
            detail=_bounded(detail),
        )

    def records(self, start: int = 0) -> Iterator[Record]:
        """All records from log index `start`, oldest first; unverified.

        Raises:
            ApplianceError: APL-TRUST-002 or -003, the log cannot be read.
        """
        tree = self._log.tree()
        for index, entry in enumerate(tree.entries(start), start=start):
            record = parse_record(entry, index)
            if record is not None:
                yield record

    def check(self) -> AuditCheck:
        """Verify the log's files, then every record against its chain, signature and intent."""
        files = self._log.fsck()
        if not files.ok:
            bad = files.bad[0]
            return AuditCheck(
                records=0, fault=bad.reason, index=None, where=str(self._log.folder / bad.path), unfinished=()
            )
        return check_entries(list(self._log.entries()), str(self._log.folder))

    def _write(self, *, role: str, **fields: Any) -> int:
        try:
            with self._guard, self._log.writing() as writer:
                previous = self._find_last(writer.tree)
                record = {
                    "kind": "audit",
                    "seq": previous.seq + 1 if previous else 0,
                    "time": rfc3339(self._clock.now()),
                    "trace_id": current_trace_id(),
                    "role": role_of(role),
                    "key_id": self._keys.key_id(role),
                    "previous": previous.digest if previous else None,
                    **fields,
                }
                record["signature"] = base64.b64encode(self._keys.sign(role, canonical(record))).decode()
                return self._append(writer, record)
        except ApplianceError as error:
            raise ApplianceError(
                codes.AUDIT_UNWRITABLE,
                f"{fields['action']} as {role} was not recorded: {error.code.id} {error.message}",
                where=error.where,
            ) from error

    def _append(self, writer: Writer, record: dict[str, Any]) -> int:
        entry = canonical(record)
        (index,) = writer.append([entry])
        self._last = Record(index=index, digest=digest_bytes(entry), fields=record)
        self._scanned = index + 1
        return index

    def _find_last(self, tree: Tree) -> Record | None:
        # From the tail back to what was searched before: others append statements and lineage between records.
        if self._scanned > tree.size:
            self._last, self._scanned = None, 0  # another log than before, a restored copy for example
        for index in range(tree.size - 1, self._scanned - 1, -1):
            record = parse_record(tree.entry(index), index)
            if record is not None:
                self._last = record
                break
        self._scanned = tree.size
        return self._last


def parse_record(entry: bytes, index: int) -> Record | None:
    """The record in a log entry; None when the entry is something else."""
    if _MARK not in entry:
        return None
    try:
        fields = parse_canonical(entry)
    except ApplianceError:
        return None
    if not isinstance(fields, dict) or fields.get("kind") != "audit" or fields.keys() != _FIELDS:
        return None
    if type(fields["seq"]) is not int:
        return None
    return Record(index=index, digest=digest_bytes(entry), fields=fields)


def check_entries(entries: Sequence[bytes], where: str) -> AuditCheck:
    """Verify all records among the entries of a log whose files are known to be right."""
    known = enrollment.enrolled(entries)
    revoked = [each for each in revocation.revocations_of(entries) if each.target == "role-key"]
    previous: Record | None = None
    open_intents: dict[int, Mapping[str, Any]] = {}
    count = 0
    for index, entry in enumerate(entries):
        record = parse_record(entry, index)
        if record is None:
            continue
        fault = _fault(record, previous, open_intents, known, revoked)
        if fault:
            return AuditCheck(records=count, fault=fault, index=index, where=where, unfinished=tuple(open_intents))
        if record.fields["phase"] == "intent":
            open_intents[index] = record.fields
        else:
            del open_intents[record.fields["intent"]]
        previous, count = record, count + 1
    return AuditCheck(records=count, fault="", index=None, where=where, unfinished=tuple(open_intents))


def _fault(
    record: Record,
    previous: Record | None,
    open_intents: Mapping[int, Mapping[str, Any]],
    known: Mapping[str, Enrolled],
    revoked: Sequence[Revocation],
) -> str:
    """What is wrong with a record; empty when nothing is."""
    fields = record.fields
    # 1. the chain
    expected = previous.digest if previous else None
    if fields["previous"] != expected:
        return f"expected previous {expected}, got {fields['previous']}"
    if record.seq != (previous.seq + 1 if previous else 0):
        return f"expected seq {previous.seq + 1 if previous else 0}, got {record.seq}"
    # 2. the key, enrolled for this role before, and not revoked
    enrolled = known.get(fields["key_id"])
    if enrolled is None or enrolled.index > record.index:
        return f"key {fields['key_id']} is not enrolled"
    if fields["role"] != enrolled.role:
        return f"expected role {enrolled.role} by its key, got {fields['role']}"
    for each in revoked:
        if each.id == fields["key_id"] and record.index >= each.from_index:
            return f"key {each.id} is revoked from log index {each.from_index}: {each.reason}"
    # 3. the signature
    unsigned = {name: value for name, value in fields.items() if name != "signature"}
    try:
        signature = base64.b64decode(fields["signature"], validate=True)
    except (ValueError, TypeError):
        return "the signature is not base64"
    if not keys.is_signature(enrolled.public, signature, canonical(unsigned)):
        return "the signature is not by the role's key"
    # 4. the phase
    if fields["phase"] == "intent":
        return "" if fields["intent"] is None else "an intent names another intent"
    begun = open_intents.get(fields["intent"])
    if fields["phase"] != "outcome" or begun is None:
        return f"{fields['phase']} of {fields['intent']}, which is not an open intent"
    same = all(begun[name] == fields[name] for name in ("role", "key_id", "action"))
    return "" if same else "the outcome is by another role or of another action than its intent"


def bound(arguments: Mapping[str, str]) -> dict[str, str]:
    """Arguments as a record keeps them (rule 5)."""
    names = sorted(arguments)
    kept = {name[:MAX_NAME_CHARACTERS]: _bounded(arguments[name]) for name in names[:MAX_ARGUMENTS]}
    if len(names) > MAX_ARGUMENTS:
        rest = canonical({name: _valid(arguments[name]) for name in names[MAX_ARGUMENTS:]})
        kept["..."] = f"{len(names) - MAX_ARGUMENTS} more, {digest_bytes(rest)}"
    return kept


def _bounded(text: str) -> str:
    text = _valid(text)
    if len(canonical(text)) <= MAX_VALUE_BYTES:
        return text
    return f"{len(text)} characters, {digest_bytes(text.encode())}"


def _valid(text: str) -> str:
    # Command line arguments may hold bytes that are not UTF-8; Python keeps them as lone surrogates.
    return text.encode("utf-8", "backslashreplace").decode()
