"""Writes the Airflow DAG file of a site: the module ``dags/retrain.py`` with its settings filled in."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

TEMPLATE = ("dags", "retrain.py")


def render(*, python: Path, site: Path, recipes: Mapping[str, str | None]) -> str:
    """The text of the file.

    Args:
        python: interpreter of the product's environment.
        site: absolute path of the site.
        recipes: recipe -> schedule (cron text), None for runs that somebody starts.
    """
    text = resources.files("appliance.orchestration").joinpath(*TEMPLATE).read_text(encoding="utf-8")
    for empty, filled in (
        ('PYTHON = ""', f"PYTHON = {str(python)!r}"),
        ('SITE = ""', f"SITE = {str(site)!r}"),
        ("RECIPES: dict[str, str | None] = {}", f"RECIPES: dict[str, str | None] = {dict(recipes)!r}"),
    ):
        before, found, after = text.partition(f"\n{empty}")
        assert found, f"the template lacks {empty!r}"
        text = f"{before}\n{filled}{after}"
    return text
