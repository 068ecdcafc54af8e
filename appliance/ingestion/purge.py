"""Purging dead letters: their keys are destroyed when two people have agreed, and their copies in Kafka are taken away.

Rules
1. Only a sealed letter is purged. One in clear lies under the lock of its object; one that holds readings too is what
   these are verified against. Both are refused, also when they stand among others.
2. Two people agree, as to the erasure of a subject (`sensitive.erasure`).
3. No raw object, row or document changes: the letter stays in quarantine and in the ledger, and lineage verifies.
4. Copies go after the key. Ended between the two, the same call sends what makes them go, and asks nobody again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.base.errors import ApplianceError
from appliance.ingestion import codes
from appliance.ingestion.commit import Landing
from appliance.ingestion.letter_sealing import LETTER, name_of
from appliance.ingestion.letters import Letter, Letters
from appliance.ingestion.sensitive.erasure import Erasures, Kind
from appliance.storage import names

PURGE = Kind(
    argument="letter",
    request="letter.request-purge",
    approve="letter.approve-purge",
    erased="letter.purge",
    unapproved=codes.PURGE_UNAPPROVED,
)


class Copies(Protocol):
    """Where copies of letters are, a topic of dead letters."""

    def send_again(self, letters: Iterable[Letter]) -> None:
        """Make purged letters go from it."""


@dataclass(frozen=True, kw_only=True)
class Purged:
    """`keys` were destroyed; `before` letters were purged already."""

    keys: int
    before: int


class LetterPurge:
    """Of one site; without `copies` it has no topic of dead letters."""

    def __init__(self, *, landing: Landing, letters: Letters, erasures: Erasures, copies: Copies | None) -> None:
        self._lake = landing.lake
        self._data_keys = landing.data_keys
        self._letters = letters
        self._erasures = erasures
        self._copies = copies

    def approve(self, source: str, positions: Sequence[int], *, actor: str, reason: str) -> None:
        """Agree to a purge that somebody else asked for.

        Raises:
            ApplianceError: APL-INGEST-009, -012, -013 there is nothing to agree to, APL-AUDIT-001.
        """
        left = [each for each in self._letters.some(source, positions) if each.purged is None]
        self._check_sealed(left)
        self._erasures.approve([name_of(each.place) for each in left], actor=actor, reason=reason)

    def purge(self, source: str, positions: Sequence[int], *, actor: str, reason: str) -> Purged:
        """Destroy the letters' bytes, or ask for it where nobody has agreed yet. It is repeated without harm.

        Raises:
            ApplianceError: APL-INGEST-009, -012, -013 one cannot be purged, -014 it is not approved and the request is
                recorded: nothing was destroyed. APL-AUDIT-001, -002; those of the data keys. APL-TOPIC-001 to 006, -010
                the keys are destroyed and the copies are not: run it again.
        """
        letters = self._letters.some(source, positions)
        left = [each for each in letters if each.purged is None]
        keys = 0
        if left:
            self._check_sealed(left)
            found = [name_of(each.place) for each in left]
            ids = [self._data_keys.id_of(LETTER, each) for each in found]
            keys = self._erasures.erase(found, ids, actor=actor, reason=reason)
        if self._copies is not None:
            self._copies.send_again(letters)
        return Purged(keys=keys, before=len(letters) - len(left))

    def _check_sealed(self, letters: Sequence[Letter]) -> None:
        for letter, stored in (each for group in self._letters.stored(letters) for each in group):
            if isinstance(stored, bytes):
                code = codes.LETTER_HOLDS_READINGS if self._holds_batches(letter) else codes.LETTER_IN_CLEAR
                raise ApplianceError(code, name_of(letter.place), where=letter.raw_digest)

    def _holds_batches(self, letter: Letter) -> bool:
        where = f"source = '{letter.source}' and position = {letter.position}"
        found = self._lake.scan(names.RAW, columns=("source", "position", "records"), where=where)
        return any(found["records"].to_pylist())
