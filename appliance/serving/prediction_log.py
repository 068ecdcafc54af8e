"""Every prediction is written down before the client has its answer, and reaches the lake exactly once.

Protocol
1. The gateway appends JSON lines to ``predictions/open/<pid>-<number>.jsonl``, one write per record, so that a killed
   gateway loses nothing that it answered; the operating system's write-back covers a power cut within seconds.
2. A segment is closed by renaming it to the next number of the log ``predictions/log/<number>.jsonl`` (a spool is a
   log as well: commit protocol of the design). A gateway that starts closes what an earlier one left open.
3. `flush` appends closed segments to the table ``predictions.served`` with the position of the source in the same
   commit, and so never twice. A torn last line (a kill in mid-write) was never answered and is dropped.
   Where the site has a topic for predictions, `prediction_topic` takes the place of `flush`; the position is the same.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.serving import codes
from appliance.serving.contract import Prediction

SOURCE = "spool:predictions"


class PredictionWriter:
    """Appends records to the open segment of one gateway process."""

    def __init__(self, folder: Path, *, max_records: int = 10_000) -> None:
        """`folder` is the site's ``serving/predictions``; a segment is closed after `max_records`."""
        self._open_folder, self._folder = folder / "open", folder
        self._open_folder.mkdir(parents=True, exist_ok=True)
        self._max_records = max_records
        for left in sorted(self._open_folder.glob("*.jsonl")):
            close_segment(folder, left)
        self._handle = -1
        self._path: Path | None = None
        self._records = 0
        self._started = 0

    def write(self, prediction: Prediction) -> None:
        """Raises OSError when the disk is full; the caller then refuses to answer."""
        if self._path is None:
            self._started += 1
            self._path = self._open_folder / f"{os.getpid()}-{self._started:06d}.jsonl"
            self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        line = msgspec.json.encode(prediction) + b"\n"
        end = os.fstat(self._handle).st_size
        try:
            written = os.write(self._handle, line)
        except OSError:
            os.ftruncate(self._handle, end)
            raise
        if written != len(line):
            os.ftruncate(self._handle, end)  # else the next record would be glued to half of this one
            raise OSError(errno.ENOSPC, "short write to the prediction log")
        self._records += 1
        if self._records >= self._max_records:
            self.rotate()

    def rotate(self) -> None:
        """Close the open segment, if there is one."""
        if self._path is None:
            return
        os.fsync(self._handle)
        os.close(self._handle)
        close_segment(self._folder, self._path)
        self._path, self._records = None, 0


def close_segment(folder: Path, path: Path) -> Path:
    """Give a segment the next number of the log; gives its new path."""
    (folder / "log").mkdir(parents=True, exist_ok=True)
    with atomic.exclusive(folder / ".lock"):
        target = segment_path(folder, len(segments(folder)) + 1)
        atomic.move(path, target)
    return target


def segment_path(folder: Path, number: int) -> Path:
    """Where closed segment `number`, counted from 1, lies or will lie."""
    return folder / "log" / f"{number:012d}.jsonl"


def segments(folder: Path) -> list[Path]:
    """Closed segments in order; the number of a segment is its position + 1."""
    return sorted((folder / "log").glob("*.jsonl"))


def read_segment(path: Path) -> list[Prediction]:
    """The records of a closed segment. Raises: see `read_lines`."""
    return [record for _, record in read_lines(path)]


def read_lines(path: Path) -> list[tuple[bytes, Prediction]]:
    """The lines of a closed segment as they were written, and what they say; a torn last line is dropped.

    Raises:
        ApplianceError: APL-SERVE-007 when another line is not a record.
    """
    lines = path.read_bytes().split(b"\n")
    decoder = msgspec.json.Decoder(Prediction)
    found = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            found.append((line, decoder.decode(line)))
        except msgspec.DecodeError as error:
            raise ApplianceError(codes.SEGMENT_BROKEN, f"line {number}: {error}", where=str(path)) from error
    return found


def flush(folder: Path, position: int, append: Callable[[Sequence[Prediction], int, Sequence[Path]], None]) -> int:
    """Hand all closed segments from `position` on to `append`, in one commit; gives the number of records.

    Args:
        position: segments that the table has taken already.
        append: commits the records with the new position (`position` + segments) and the segment files.
    """
    waiting = segments(folder)[position:]
    if not waiting:
        return 0
    records = [record for path in waiting for record in read_segment(path)]
    append(records, position + len(waiting), waiting)
    return len(records)
