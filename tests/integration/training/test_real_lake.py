"""Features and drift over the real lake: filters, files and snapshots mean there what the stand-in means by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from appliance.base.clock import from_us
from appliance.demo import declarations
from appliance.features.store import FeatureStore
from appliance.features.view import load_views
from appliance.features.watch import Watch
from appliance.governance.lineage import Lineage
from appliance.observability.drift import Limits, category_reference
from appliance.storage.files import SiteFiles
from appliance.storage.tables import Lake
from appliance.training.dataset import pin_dataset
from appliance.training.recipe import find_recipe, load_recipes
from tests.synthetic import INSTANT, EntryList, MemoryLake, make_fleet

pytestmark = pytest.mark.integration
FOLDER = Path(declarations.__path__[0])
VIEWS = load_views(FOLDER / "features")


def test_the_real_lake_gives_what_the_stand_in_gives(tmp_path):
    fleet = make_fleet(devices=25, days=24)
    lineage = Lineage(tmp_path / "lineage", EntryList())
    real, stand_in = Lake(tmp_path / "lake", SiteFiles(tmp_path), lineage), MemoryLake(tmp_path / "memory")
    cut = fleet.readings.num_rows // 2
    store = FeatureStore(lake=real, online_folder=tmp_path / "online", views=VIEWS, files=SiteFiles(tmp_path))
    for name, parts in (
        ("labels.incidents", [fleet.incidents]),
        ("silver.readings", [fleet.readings.slice(0, cut), fleet.readings.slice(cut)]),
    ):
        real.ensure(name, parts[0].schema)
        for part in parts:
            real.append(name, part, expected=real.head(name), properties={}, inputs=[], facts={})
            stand_in.append(name, part)
            if name == "silver.readings":
                done = store.materialize()
                assert done.anew == (part is parts[0])
    at = from_us(done.through_us)
    names = [f"T{number:03d}" for number in range(25)]
    online = store.get_online(names, at, ["thermal", "dissolved_gas"])
    spine = pa.table({"entity": names, "at": pa.array([at] * 25, INSTANT)})
    for historical in (
        store.get_historical(spine, ["thermal", "dissolved_gas"]),
        FeatureStore(
            lake=stand_in, online_folder=tmp_path / "none", views=VIEWS, files=SiteFiles(tmp_path)
        ).get_historical(spine, ["thermal", "dissolved_gas"]),
    ):
        assert np.array_equal(online.values, historical.values, equal_nan=True)
    recipe = find_recipe(load_recipes(FOLDER / "recipes"), "incident_risk")
    pinned = [
        pin_dataset(recipe, tables=lake, views=VIEWS, lineage=lineage, folder=tmp_path / where, site_folder=tmp_path)
        for lake, where in ((real, "runs"), (stand_in, "other"))
    ]
    assert pinned[0].digest == pinned[1].digest
    assert len(lineage.load(pinned[0].lineage_id).inputs) == 3
    slot = VIEWS[1].features[0].slots[0]
    codes = {"firmware": category_reference(fleet.readings["firmware"]).as_json()}
    found = [
        Watch(tables=lake, limits=Limits(), window_rows=100)._codes(codes, slot, fleet.end_us - 10**11)[0]
        for lake in (real, stand_in)
    ]
    assert found[0].rows > 0
    assert found[0].effect == pytest.approx(found[1].effect, abs=0.05)
