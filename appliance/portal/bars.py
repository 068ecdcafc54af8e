"""Geometry of bar charts that the server draws. Pure.

The viewBox stretches to the width of the page; text stands outside of it as HTML, so it never shrinks with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1_000, 100
LEAST_HEIGHT = 1.5  # of a bar that stands for something, so that it can be seen


@dataclass(frozen=True, kw_only=True)
class Bar:
    x: str
    y: str
    width: str
    height: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A series as bars; `greatest` is the value of the full height."""

    bars: tuple[Bar, ...]
    greatest: float
    width: int = WIDTH
    height: int = HEIGHT


def draw(values: Sequence[float], labels: Sequence[str], *, gap: float = 0.2) -> Bars:
    """One bar per value, from zero; `gap` is the share of a bar's room that stays free."""
    greatest = max(values, default=0.0)
    room = WIDTH / max(1, len(values))
    bars = []
    for index, (value, label) in enumerate(zip(values, labels, strict=True)):
        height = 0.0 if value <= 0 else max(LEAST_HEIGHT, HEIGHT * value / greatest)
        bars.append(
            Bar(
                x=f"{index * room + room * gap / 2:.2f}",
                y=f"{HEIGHT - height:.2f}",
                width=f"{room * (1 - gap):.2f}",
                height=f"{height:.2f}",
                label=label,
            )
        )
    return Bars(bars=tuple(bars), greatest=greatest)
