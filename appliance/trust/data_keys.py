"""Data keys: one for each subject or letter, wrapped by the site's key store; destroying it erases what it sealed.

Rules
1. A subject is known by its key's id, a keyed hash of its name: the file of keys names nobody.
2. A key is durable before anything is sealed with it, and never made twice. An erased one stays as a mark without a
   key, and is never made again.
3. Sealing is AES-256-GCM-SIV (RFC 8452): the commit protocol asks that a retry after a crash writes the same bytes, so
   the nonce is derived from the place of the value (table, column, source, position, line). Should two values ever be
   sealed for one place, this mode gives away only whether they are equal, where GCM would give away its key.
   The place is authenticated: a sealed value that is moved does not open.
4. A token is HMAC-SHA256 under a key of the site: equal values have equal tokens within their kind, and nothing else
   follows from it for those without that key. It outlives an erasure, as a pseudonym.

Kept in ``keys.db`` (SQLite, mode 0600): id, wrapped key or null, instant of the erasure. Erased keys are overwritten
(``secure_delete``). What stands in copies of that file made before, such as backups, is not reached from here.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from appliance.base import codes as base_codes
from appliance.base.clock import Clock, rfc3339
from appliance.base.errors import ApplianceError
from appliance.trust import codes
from appliance.trust.data_keys_wrap import Wrapping

T = TypeVar("T")
ID_BYTES = 16
OVERHEAD_BYTES = ID_BYTES + 16  # by which sealing makes longer: the id, and the tag of RFC 8452
_TOKEN_KEY = bytes(ID_BYTES)  # the id that no subject has
_MANY = 5_000  # keys that are wrapped in one request, or asked for in one query
_TABLE = "create table if not exists data_key (id blob primary key, wrapped blob, erased_at text) without rowid"


class DataKey:
    """The key of one subject or letter."""

    def __init__(self, id: bytes, key: bytes) -> None:
        self.id = id
        self._cipher = AESGCMSIV(key)

    def seal(self, plain: bytes, place: bytes) -> bytes:
        """The key's id and the sealed bytes; the same for the same key, bytes and place."""
        return self.id + self._cipher.encrypt(_nonce(place), plain, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Raises:
        ApplianceError: APL-TRUST-038.
        """
        try:
            return self._cipher.decrypt(_nonce(place), sealed[ID_BYTES:], place)
        except (InvalidTag, ValueError) as error:
            raise ApplianceError(codes.SEALED_ALTERED, "the value, its place or its key is another") from error


def _nonce(place: bytes) -> bytes:
    return hashlib.sha256(place).digest()[:12]


class DataKeys:
    """The data keys of a site, in `folder`; `open_wrapping` is called at the first use of a key."""

    def __init__(self, folder: Path, open_wrapping: Callable[[], Wrapping], clock: Clock) -> None:
        self._path = folder / "keys.db"
        self._open_wrapping = open_wrapping
        self._clock = clock

    def id_of(self, kind: str, name: str) -> bytes:
        """The id of a subject's key; `kind` keeps names of different sorts apart."""
        return self._hash("key", kind, name)[:ID_BYTES]

    def token(self, kind: str, text: str) -> str:
        """64 hexadecimal digits; see rule 4."""
        return self._hash("token", kind, text).hex()

    def ensure(self, ids: Sequence[bytes]) -> Mapping[bytes, DataKey | None]:
        """The keys with these ids, made where there is none; None for those that were erased.

        Raises:
            ApplianceError: APL-TRUST-037, APL-BASE-002, and those of the key store.
        """
        found = self.get(ids)
        missing = [each for each in dict.fromkeys(ids) if each not in found]
        if missing:
            self._make(missing)
            found = self.get(ids)
        return found

    def get(self, ids: Sequence[bytes]) -> dict[bytes, DataKey | None]:
        """The keys with these ids that there are; None for those that were erased.

        Raises:
            ApplianceError: as `ensure`.
        """
        rows = self._rows(list(dict.fromkeys(ids)))
        found: dict[bytes, DataKey | None] = {id: None for id, _, _ in rows}
        for part in _parts([(id, wrapped) for id, wrapped, _ in rows if wrapped is not None]):
            opened = self._wrapping.unwrap([wrapped for _, wrapped in part])
            found |= {id: DataKey(id, key) for (id, _), key in zip(part, opened, strict=True)}
        return found

    def erase(self, ids: Sequence[bytes]) -> int:
        """Destroy keys; gives how many there were. What has no key gets the mark too, so that it gets none later.

        Raises:
            ApplianceError: as `ensure`.
        """
        now = rfc3339(self._clock.now())
        with self._database() as database:
            done = 0
            for part in _parts(list(dict.fromkeys(ids))):
                marks = ",".join("?" * len(part))
                query = f"where wrapped is not null and id in ({marks})"
                done += database.execute(
                    f"update data_key set wrapped = null, erased_at = ? {query}",  # noqa: S608 - question marks only
                    [now, *part],
                ).rowcount
                database.executemany("insert or ignore into data_key values (?, null, ?)", [(id, now) for id in part])
        return done

    def erased(self, kind: str, names: Iterable[str]) -> dict[str, str]:
        """Of the names, those whose key was destroyed, and when (RFC 3339). Where none ever was, no key is asked for.

        Raises:
            ApplianceError: as `ensure`.
        """
        if not self._path.is_file():
            return {}
        with self._database() as database:
            marks = dict(database.execute("select id, erased_at from data_key where wrapped is null").fetchall())
        return {name: marks[id] for name in names if (id := self.id_of(kind, name)) in marks} if marks else {}

    @cached_property
    def _wrapping(self) -> Wrapping:
        return self._open_wrapping()

    @cached_property
    def _token_key(self) -> bytes:
        if not self._rows([_TOKEN_KEY]):
            self._make([_TOKEN_KEY])
        ((_, wrapped, _),) = self._rows([_TOKEN_KEY])
        if wrapped is None:
            raise ApplianceError(codes.DATA_KEYS_UNUSABLE, "the key of the tokens is gone", where=str(self._path))
        return self._wrapping.unwrap([wrapped])[0]

    def _hash(self, *parts: str) -> bytes:
        # Each part with its length in front, so that no two lists of parts are one text.
        data = b"".join(len(each).to_bytes(8, "big") + each for each in (part.encode() for part in parts))
        return hmac.digest(self._token_key, data, "sha256")

    def _make(self, ids: Sequence[bytes]) -> None:
        for part in _parts(ids):
            wrapped = self._wrapping.wrap([secrets.token_bytes(32) for _ in part])
            with self._database() as database:
                # Where another process made the key meanwhile, its one stands.
                rows = zip(part, wrapped, strict=True)
                database.executemany("insert or ignore into data_key values (?, ?, null)", list(rows))

    def _rows(self, ids: Sequence[bytes]) -> list[tuple[bytes, bytes | None, str | None]]:
        if not self._path.is_file():
            return []
        found: list[tuple[bytes, bytes | None, str | None]] = []
        with self._database() as database:
            for part in _parts(ids):
                marks = ",".join("?" * len(part))
                query = f"select id, wrapped, erased_at from data_key where id in ({marks})"  # noqa: S608 - question marks only
                found += database.execute(query, list(part)).fetchall()
        return found

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """One transaction, durable at the end.

        Raises:
            ApplianceError: APL-TRUST-037 it cannot be read, APL-BASE-002 it cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            mode = stat.S_IMODE(self._path.stat().st_mode)
            if mode & 0o077:
                raise ApplianceError(codes.KEY_UNSAFE, f"expected mode 0600, got {mode:04o}", where=str(self._path))
            with contextlib.closing(sqlite3.connect(self._path, timeout=30, isolation_level="IMMEDIATE")) as database:
                for pragma in ("secure_delete = on", "synchronous = extra", "temp_store = memory"):
                    database.execute(f"pragma {pragma}")
                with database:
                    database.execute(_TABLE)
                    yield database
        except OSError as error:
            raise ApplianceError(
                base_codes.WRITE_FAILED, f"cannot be opened: {error.strerror}", where=str(self._path)
            ) from error
        except sqlite3.OperationalError as error:
            raise ApplianceError(base_codes.WRITE_FAILED, f"cannot be used: {error}", where=str(self._path)) from error
        except sqlite3.DatabaseError as error:
            raise ApplianceError(codes.DATA_KEYS_UNUSABLE, str(error), where=str(self._path)) from error


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _MANY] for start in range(0, len(items), _MANY))
