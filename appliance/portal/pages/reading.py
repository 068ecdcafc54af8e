"""Parts of a page that may fail alone: what can be read is shown, what cannot is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import pyarrow as pa

from appliance.base.errors import ApplianceError

T = TypeVar("T")


class Part(Generic[T]):
    """A value, or why there is none; `failure` is empty when there is one."""

    def __init__(self, value: T | None, failure: str = "") -> None:
        self._value, self.failure = value, failure

    def __bool__(self) -> bool:
        return not self.failure

    @property
    def value(self) -> T:
        """Only for a part that was read."""
        assert not self.failure, self.failure
        return self._value  # type: ignore[return-value]  # None is a value of its own where T allows it


def read(source: str, make: Callable[[], T]) -> Part[T]:
    """Read one part; `source` is how people call where it comes from."""
    try:
        return Part(make())
    except ApplianceError as error:
        return Part(None, f"{source} cannot be read: {error}")
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
        return Part(None, f"{source} cannot be read: {type(error).__name__}: {error}")
