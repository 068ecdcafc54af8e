"""What a verification found: the steps that hold, and the facts that they do and do not establish.

Rules
1. `Refused` names the step that failed. It is the only exception that leaves the verifier.
2. A step is a block under `Verdict.step`. Whatever hostile input makes the parsers and the cryptography raise in it
   becomes a refusal by that step.
3. No verdict is a bare yes: what could not be judged is listed.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm

# ValueError covers JSON, UTF-8, base64 and key formats; the others come from absurd numbers, nesting and files.
EXPECTED = (ValueError, OverflowError, RecursionError, MemoryError, OSError, struct.error, UnsupportedAlgorithm)
# A form that no check foresaw is refused as well, but tests want none of these.
HOSTILE = (*EXPECTED, LookupError, TypeError, AttributeError)
Value = TypeVar("Value")


class Refused(Exception):  # noqa: N818  it is a verdict
    """Verification failed; `step` is a name of the contract."""

    def __init__(self, step: str, detail: str) -> None:
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail


@dataclass
class Verdict:
    """Grows while steps run."""

    checked: list[str] = field(default_factory=list)
    established: list[str] = field(default_factory=list)
    not_established: list[str] = field(default_factory=list)
    refused: Refused | None = None

    @contextlib.contextmanager
    def step(self, name: str, about: str = "") -> Iterator[None]:
        """Run one step; `about` says of what."""
        try:
            yield
        except HOSTILE as error:
            detail = str(error) or type(error).__name__
            raise Refused(name, f"{about}: {detail}" if about else detail) from error
        if name not in self.checked:
            self.checked.append(name)

    def document(self) -> dict[str, Any]:
        return {
            "verified": self.refused is None,
            "step": self.refused.step if self.refused else None,
            "detail": self.refused.detail if self.refused else None,
            "checked": self.checked,
            "established": self.established,
            "not_established": self.not_established,
        }


def require(value: Value | None, detail: str) -> Value:
    """The value, if it is neither None nor false nor empty. ValueError: it is."""
    if not value:
        raise ValueError(detail)
    return value
