"""Errors: a stable code, what happened with both values, where, and what to do.

Rules
1. Every error that a person can meet is an `ApplianceError` with a `Code` declared once by `declare`.
2. A room declares its codes in its own ``codes.py`` (light, imports only this module); the pages under
   ``docs/reference/errors`` are generated from them. A code is never renamed or reused.
3. The message says what happened with both values (``expected X, got Y``); `where` names the file or field;
   `hint` overrides the code's general advice.
4. No foreign exception leaves its layer: catch it where the library is called, raise with ``from``.
5. Only ``cli.main`` turns an error into text and an exit code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_VERIFICATION = 3
EXIT_PREFLIGHT = 4
EXIT_APPROVAL = 5

_CODE_FORM = re.compile(r"APL-[A-Z]+-\d{3}")
_DECLARED: dict[str, Code] = {}


@dataclass(frozen=True, kw_only=True)
class Code:
    """One kind of failure.

    Attributes:
        id: ``APL-<AREA>-<nnn>``, stable for ever.
        title: a few words, the heading of its page.
        meaning: what it means and why it matters, one or two sentences.
        action: what the reader should do, imperative.
        exit_code: of the command line: 1 failed, 2 usage, 3 verification, 4 preflight, 5 needs approval.
    """

    id: str
    title: str
    meaning: str
    action: str
    exit_code: int = EXIT_FAILED


def declare(id: str, title: str, *, meaning: str, action: str, exit_code: int = EXIT_FAILED) -> Code:
    """Declare a code once for the whole product.

    Raises:
        ValueError: the id has the wrong form, or was declared before with other words.
    """
    if not _CODE_FORM.fullmatch(id):
        raise ValueError(f"error code {id!r} is not APL-<AREA>-<nnn>")
    code = Code(id=id, title=title, meaning=meaning, action=action, exit_code=exit_code)
    if _DECLARED.setdefault(id, code) != code:
        raise ValueError(f"error code {id} is declared twice")
    return code


def declared() -> tuple[Code, ...]:
    """All codes declared so far, in order of id."""
    return tuple(_DECLARED[id] for id in sorted(_DECLARED))


class ApplianceError(Exception):
    """A failure with a code. Subclass only where a caller acts differently."""

    def __init__(self, code: Code, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.hint = hint if hint is not None else code.action

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        return f"{self.code.id}: {self.message}{place}"

    def as_dict(self) -> dict[str, str]:
        """The form that ``--json`` prints."""
        return {
            "code": self.code.id,
            "title": self.code.title,
            "message": self.message,
            "where": self.where or "",
            "hint": self.hint,
        }
