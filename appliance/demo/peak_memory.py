"""Peak memory of this process and everything it started: the sum of proportional set sizes, sampled in the background.

PSS counts a page shared by n processes as 1/n in each (proc(5), smaps_rollup), so the sum does not count shared
libraries twice.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType

INTERVAL_S = 0.5


class PeakMemory:
    """Use as a context; `peak_bytes` is the greatest sum seen."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._descendants = {os.getpid()}

    def __enter__(self) -> PeakMemory:
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._sampler.join()

    def _sample(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, self._tree_bytes())
            if self._over.wait(INTERVAL_S):
                return

    def _tree_bytes(self) -> int:
        # A service whose starter has ended is adopted by init; once seen in our tree it stays in it.
        parents = {}
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    fields = (path / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                except OSError:
                    continue
                parents[int(path.name)] = int(fields[1])
        grown = True
        while grown:
            fresh = {pid for pid, parent in parents.items() if parent in self._descendants} - self._descendants
            self._descendants |= fresh
            grown = bool(fresh)
        self._descendants &= set(parents)
        return sum(_pss_bytes(pid) for pid in self._descendants)


def _pss_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
