"""Circuit breaker of one arm, pure: time comes in, decisions go out.

Rules
1. Closed: requests pass; `failures` failures in a row open it.
2. Open: nothing passes for `open_for_s` seconds.
3. Half open: one request passes as a probe; its success closes the breaker, its failure opens it again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Breaker:
    failures: int
    open_for_s: float
    _in_a_row: int = 0
    _opened_at_s: float | None = None
    _probing: bool = False

    def state(self, now_s: float) -> str:
        """closed, open or half-open."""
        if self._opened_at_s is None:
            return "closed"
        return "open" if now_s - self._opened_at_s < self.open_for_s else "half-open"

    def admits(self, now_s: float) -> bool:
        """Whether a request may pass now; in the half-open state this claims the probe."""
        state = self.state(now_s)
        if state == "closed":
            return True
        if state == "open" or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        self._in_a_row, self._opened_at_s, self._probing = 0, None, False

    def failed(self, now_s: float) -> None:
        self._in_a_row += 1
        if self._probing or self._in_a_row >= self.failures:
            self._opened_at_s = now_s
        self._probing = False
