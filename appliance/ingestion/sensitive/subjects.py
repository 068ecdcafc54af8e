"""What is kept of one subject: found by its id, opened for a reason, erased by destroying its keys.

Rules
1. Whoever reads or erases a subject is recorded first, with the subject's token and the reason.
2. An erasure destroys the subject's key, and the keys of files that its lines came in: these seal what of a file
   belongs to nobody that is known, which may be the subject's. No file of the lake or object store changes, so lineage
   verifies as before.
3. It needs a second person (`erasure`). It is repeated without harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.base.clock import Clock
from appliance.base.errors import ApplianceError
from appliance.governance.audit import Audit
from appliance.governance.roles import RoleKeys
from appliance.ingestion.mapping import Mapping as DropMapping
from appliance.ingestion.sensitive import codes, sealing
from appliance.ingestion.sensitive.detectors import NONE
from appliance.ingestion.sensitive.erasure import Erasures, Kind
from appliance.ingestion.sensitive.intake import FILE, SUBJECT, cell_place, token_of
from appliance.ingestion.sensitive.masking import ERASED
from appliance.storage import names
from appliance.storage.columns import tags_of
from appliance.storage.tables import Lake
from appliance.trust.data_keys import DataKeys

ERASURE = Kind(
    argument="subject",
    request="subject.request-erasure",
    approve="subject.approve-erasure",
    erased="subject.erasure",
    unapproved=codes.ERASURE_UNAPPROVED,
)


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What an erasure did: keys destroyed, rows and files that are dark now."""

    keys: int
    rows: Mapping[str, int]
    files: int


class Subjects:
    def __init__(
        self,
        *,
        lake: Lake,
        mappings: Callable[[], Mapping[str, DropMapping]],
        data_keys: DataKeys,
        audit: Audit,
        role_keys: RoleKeys,
        clock: Clock,
    ) -> None:
        self._lake = lake
        self._mappings = mappings
        self._data_keys = data_keys
        self._audit = audit
        self._erasures = Erasures(kind=ERASURE, audit=audit, role_keys=role_keys, data_keys=data_keys, clock=clock)

    def show(self, subject: str, *, actor: str, reason: str) -> dict[str, list[dict[str, Any]]]:
        """Table -> rows of the subject, opened; values whose key is gone read `ERASED`.

        Raises:
            ApplianceError: APL-SENSITIVE-001, -003, APL-TRUST-038, APL-AUDIT-001.
        """
        arguments = {ERASURE.argument: self._token(subject), "reason": reason}
        intent = self._audit.begin(role=actor, action="subject.read", arguments=arguments)
        try:
            found = {table: [self._opened(table, row) for row in rows] for table, rows in self._rows(subject)}
            self._check_known(subject, found)
        except ApplianceError as error:
            self._audit.end(intent, outcome="failed", detail=error.code.id)
            raise
        self._audit.end(intent, outcome="done", detail="")
        return found

    def approve(self, subject: str, *, actor: str, reason: str) -> None:
        """Agree to the erasure that somebody else asked for. Raises APL-AUDIT-001."""
        self._erasures.approve([self._token(subject)], actor=actor, reason=reason)

    def erase(self, subject: str, *, actor: str, reason: str) -> Erasure:
        """Destroy the subject's keys, or ask for it where nobody has agreed yet.

        Raises:
            ApplianceError: APL-SENSITIVE-001 nothing is kept of it, -002 it is not approved and the request is
                recorded, APL-AUDIT-001, -002 the audit does not hold.
        """
        found = dict(self._rows(subject))
        self._check_known(subject, found)
        contents = self._contents({(row["source"], row["position"]) for rows in found.values() for row in rows})
        ids = [self._data_keys.id_of(SUBJECT, subject), *(self._data_keys.id_of(FILE, each) for each in contents)]
        keys = self._erasures.erase([self._token(subject)], ids, actor=actor, reason=reason)
        return Erasure(keys=keys, rows={table: len(rows) for table, rows in found.items()}, files=len(contents))

    def _rows(self, subject: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        tables = set(self._lake.tables())
        seen = set()
        for mapping in self._mappings().values():
            column = next((each for each in mapping.column if each.name == mapping.subject), None)
            if column is None or mapping.table not in tables or (mapping.table, column.name) in seen:
                continue
            seen.add((mapping.table, column.name))
            name, wanted = column.name, subject
            if column.sealed:
                name, wanted = column.token, token_of(self._data_keys, column, subject)
            quoted = wanted.replace("'", "''")
            yield mapping.table, self._lake.scan(mapping.table, where=f"{name} = '{quoted}'").to_pylist()

    def _check_known(self, subject: str, found: Mapping[str, list[dict[str, Any]]]) -> None:
        if not any(found.values()) and not self._data_keys.get([self._data_keys.id_of(SUBJECT, subject)]):
            raise ApplianceError(codes.SUBJECT_UNKNOWN, "no row and no key")

    def _opened(self, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
        tags = tags_of(self._lake.table(table))
        return {
            name: self._opened_cell(table, name, value, row) if tags.get(name, (NONE,))[0] != NONE else value
            for name, value in row.items()
        }

    def _opened_cell(self, table: str, column: str, value: Any, row: Mapping[str, Any]) -> Any:
        if not isinstance(value, str) or not sealing.is_sealed(value):
            return value
        id = sealing.key_id_of(value)
        key = self._data_keys.get([id]).get(id)
        if key is None:
            return ERASED
        return sealing.open_text(value, key, cell_place(table, column, row["source"], row["position"], row["line"]))

    def _contents(self, places: set[tuple[str, int]]) -> set[str]:
        """Names of the keys of the files at these places."""
        found: set[str] = set()
        for source in {source for source, _ in places}:
            rows = self._lake.scan(
                names.DROPS_RAW, columns=("position", "content"), where=f"source = '{source}' and content is not null"
            ).to_pylist()
            found |= {row["content"] for row in rows if (source, row["position"]) in places}
        return found

    def _token(self, subject: str) -> str:
        return self._data_keys.token(SUBJECT, subject)
