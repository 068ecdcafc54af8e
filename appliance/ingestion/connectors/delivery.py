"""Batches of rows go into a spool exactly once, whatever moment the process is ended at.

Steps of a batch, each durable before the next
1. The file is written to ``staged/``.
2. ``state.json`` says that it is pending: its name, its digest, and the cursor that holds after it.
3. The file is renamed into the spool's ``incoming``. A rename is one step: the file is in one place at any time.
4. ``state.json`` takes the new cursor and counts the file.

After a crash (`recover`): a staged file that is not pending was never delivered, and its rows are still at the source;
it is removed. A pending one that is still staged is renamed; one that is gone was delivered (the spool may have
claimed it since). Either way step 4 follows. Names carry a number that only grows, so none is used twice.

The state is read and written under a lock (`exclusive`); only pausing is outside, so that a running connector can be
paused.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from appliance.base import atomic
from appliance.base.canonical import canonical, parse_canonical
from appliance.base.codes import WRITE_FAILED
from appliance.base.digest import digest_bytes, digest_file
from appliance.base.errors import ApplianceError
from appliance.ingestion.connectors import codes


class Pending(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch between steps 2 and 4."""

    file: str
    digest: str
    rows: int
    cursor: Any


class Failure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last error: its code, what happened, and when (RFC 3339)."""

    code: str
    message: str
    at: str


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a connector stands: after `cursor`, with so many files and rows delivered."""

    cursor: Any = None
    files: int = 0
    rows: int = 0
    pending: Pending | None = None
    last_error: Failure | None = None


class Delivery:
    """The state folder of one connector, and the incoming folder that it delivers to."""

    def __init__(self, folder: Path, name: str, incoming: Path) -> None:
        self._folder = folder
        self._name = name
        self._incoming = incoming
        self._staged = folder / "staged"
        self._state = folder / "state.json"
        self._paused = folder / "paused"

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the state. Raises APL-BASE-006 when another process runs this connector."""
        with atomic.exclusive(self._folder / ".lock", wait=False):
            yield

    def state(self) -> State:
        """Raises APL-CONN-004 when it is not as it was written."""
        if not self._state.is_file():
            return State()
        try:
            return msgspec.convert(parse_canonical(self._state.read_bytes()), State, strict=True)
        except (ApplianceError, msgspec.ValidationError) as error:
            raise ApplianceError(codes.STATE_DAMAGED, str(error), where=str(self._state)) from error

    def recover(self) -> State:
        """Finish what a run before began; gives where it stands then.

        Raises:
            ApplianceError: APL-CONN-004 the state or the pending file was touched, APL-CONN-005 see `deliver`.
        """
        state = self.state()
        with _written(self._folder):
            atomic.make_folder(self._staged)
            for path in sorted(self._staged.iterdir()):
                if state.pending is None or path.name != state.pending.file:
                    path.unlink()
        return state if state.pending is None else self._finish(state, state.pending)

    def deliver(self, state: State, rows: Sequence[bytes], cursor: Any) -> State:
        """One file with these rows, after which the source stands at `cursor`; gives the state after it.

        Without rows only the cursor moves on.

        Raises:
            ApplianceError: APL-CONN-005 the file cannot be put into the spool, APL-BASE-002 the disk is full; the
                next run delivers it.
        """
        if not rows:
            return state if cursor == state.cursor else self._write(msgspec.structs.replace(state, cursor=cursor))
        data = b"".join(row + b"\n" for row in rows)
        file = f"{self._name}-{state.files:012d}.jsonl"
        atomic.write_bytes(self._staged / file, data)
        pending = Pending(file=file, digest=digest_bytes(data), rows=len(rows), cursor=cursor)
        return self._finish(self._write(msgspec.structs.replace(state, pending=pending)), pending)

    def failed(self, state: State, failure: Failure | None) -> State:
        """Keep the last error; None: the last run had none."""
        if failure == state.last_error:
            return state
        return self._write(msgspec.structs.replace(state, last_error=failure))

    @property
    def paused(self) -> bool:
        return self._paused.is_file()

    def pause(self) -> None:
        atomic.write_bytes(self._paused, b"")

    def resume(self) -> None:
        with _written(self._folder):
            if self.paused:
                self._paused.unlink()
                atomic.fsync_folder(self._folder)

    def _finish(self, state: State, pending: Pending) -> State:
        staged = self._staged / pending.file
        if staged.is_file():
            found = digest_file(staged)
            if found != pending.digest:
                raise ApplianceError(
                    codes.STATE_DAMAGED, f"expected {pending.digest}, the file has {found}", where=str(staged)
                )
            self._rename(staged, self._incoming / pending.file)
        return self._write(
            msgspec.structs.replace(
                state,
                cursor=pending.cursor,
                files=state.files + 1,
                rows=state.rows + pending.rows,
                pending=None,
            )
        )

    def _rename(self, staged: Path, target: Path) -> None:
        # Not `atomic.move`: it links before it unlinks, and a spool that claims and releases in between would leave
        # us the file to deliver again.
        if target.exists() or target.is_symlink():
            raise ApplianceError(codes.NOT_DELIVERED, "a file of this name is there", where=str(target))
        try:
            atomic.make_folder(target.parent)
            staged.rename(target)
            atomic.fsync_folder(target.parent)
            atomic.fsync_folder(staged.parent)
        except OSError as error:
            reason = "another file system" if error.errno == errno.EXDEV else error.strerror
            raise ApplianceError(codes.NOT_DELIVERED, f"cannot be renamed: {reason}", where=str(target)) from error

    def _write(self, state: State) -> State:
        atomic.write_bytes(self._state, canonical(msgspec.to_builtins(state)), mode=0o600)
        return state


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ApplianceError(WRITE_FAILED, f"cannot write: {error.strerror}", where=str(folder)) from error
