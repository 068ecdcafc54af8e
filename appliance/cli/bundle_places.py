"""The options that the commands of a build machine have: where our repository and the store of inputs are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

STORE = Path("build") / "bundle-store"
_Function = Callable[..., Any]


def places(function: _Function) -> _Function:
    """The options that every command of a build machine has."""
    folder = click.Path(file_okay=False, path_type=Path)
    function = click.option(
        "--store", type=folder, default=None, help="Store of inputs; build/bundle-store in the checkout when left out."
    )(function)
    return click.option(
        "--checkout", type=folder, default=Path(), show_default=True, help="Clone of the appliance's repository."
    )(function)
