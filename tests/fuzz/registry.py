"""What a fuzz target is; `tests.fuzz.targets` lists them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A parser at hand.

    Attributes:
        parse: the boundary; what it returns does not matter, but it may assert what must hold of it.
        seeds: inputs that it accepts.
        errors: all that may leave it.
    """

    parse: Callable[[bytes], object]
    seeds: Sequence[bytes]
    errors: tuple[type[Exception], ...] = (ApplianceError,)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A parser by name; `load` makes its seeds, with a folder of its own to write to."""

    name: str
    load: Callable[[Path], Loaded]
