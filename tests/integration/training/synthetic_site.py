"""A site over a generated fleet and ETTh1, and a trainer that uses the training environment `python`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.csv

from appliance.demo import declarations
from appliance.features.view import load_views
from appliance.governance.lineage import Lineage
from appliance.training.recipe import load_recipes
from appliance.training.reproduce import Reproducer
from appliance.training.run import Trainer
from tests.synthetic import INSTANT, EntryList, MemoryLake, make_fleet

FOLDER = Path(declarations.__path__[0])
LOCK = "sha256:" + "1" * 64
ETT = Path(__file__).parents[2] / "data" / "ett" / "ETTh1.csv"


def make_site(folder: Path, python: Path) -> SimpleNamespace:
    """`folder`, `lineage`, `recipes` by model name, `trainer` and `reproducer`."""
    lake = MemoryLake(folder)
    fleet = make_fleet(devices=40, days=60)
    lake.append("silver.readings", fleet.readings)
    lake.append("labels.incidents", fleet.incidents)
    series = pa.csv.read_csv(ETT)
    series = series.rename_columns([name.lower() for name in series.column_names])
    at = series["date"].cast(pa.timestamp("us")).cast(INSTANT)
    series = series.drop(["date"]).append_column("event_time", at).append_column("arrived_at", at)
    lake.append("silver.ett", series)
    lineage = Lineage(folder / "lineage", EntryList())
    common = {
        "tables": lake,
        "lineage": lineage,
        "python": python,
        "environment": LOCK,
        "site_folder": folder,
        "timeout_s": 300,
    }
    return SimpleNamespace(
        folder=folder,
        lineage=lineage,
        recipes={recipe.model: recipe for recipe in load_recipes(FOLDER / "recipes")},
        trainer=Trainer(views=load_views(FOLDER / "features"), runs_folder=folder / "runs", threads=2, **common),
        reproducer=Reproducer(**common),
    )
