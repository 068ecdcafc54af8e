"""Tables for people: aligned columns, one header, no frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Numbers go to the right, everything else to the left; no rows give ``(none)`` under the heads."""
    body = [list(row) for row in rows]
    texts = [list(heads), *([_text(cell) for cell in row] for row in body)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(heads))]
    numeric = [bool(body) and all(isinstance(row[column], int | float) for row in body) for column in range(len(heads))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in texts
    ]
    return "\n".join(lines) if body else "\n".join([*lines, "(none)"])


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
