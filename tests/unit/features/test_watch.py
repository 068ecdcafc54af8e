"""Drift of a site against a package: planted drift is flagged, an unchanged fleet is quiet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from appliance.base.canonical import canonical
from appliance.base.errors import ApplianceError
from appliance.demo import declarations
from appliance.features.store import FeatureStore
from appliance.features.view import load_views
from appliance.features.watch import Watch
from appliance.observability.drift import Limits, category_reference, numeric_reference
from appliance.storage.files import SiteFiles
from tests.synthetic import HOUR_US, INSTANT, START_US, MemoryLake, make_fleet

VIEWS = [view for view in load_views(Path(declarations.__path__[0]) / "features") if view.name == "thermal"]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """What the training job writes, from a fleet of 40 days."""
    folder = tmp_path_factory.mktemp("package")
    fleet = make_fleet(devices=40, days=40, seed=1)
    lake = MemoryLake(folder)
    lake.append("silver.readings", fleet.readings)
    store = FeatureStore(lake=lake, online_folder=folder / "online", views=VIEWS, files=SiteFiles(folder))
    steps = np.arange(START_US + 48 * HOUR_US, fleet.end_us, 8 * HOUR_US)
    names = sorted(set(fleet.readings["device_id"].to_pylist()))
    spine = pa.table({"entity": np.repeat(names, len(steps)), "at": pa.array(np.tile(steps, len(names))).cast(INSTANT)})
    vectors = store.get_historical(spine, ["thermal"])
    entity = np.repeat(np.arange(len(names)), len(steps))
    day = np.tile((steps - steps[0]) // (24 * HOUR_US), len(names))
    reference = {
        "numbers": {
            name: numeric_reference(vectors.values[:, index], entity, day).as_json()
            for index, name in enumerate(vectors.names)
        },
        "scores": {},
        "codes": {"firmware": category_reference(fleet.readings["firmware"]).as_json()},
    }
    recipe = {"model": "m", "features": ["thermal"], "spine": {"every": "8h", "offset": ""}}
    identity = {"recipe": recipe, "views": [view.declaration for view in VIEWS]}
    (folder / "package.json").write_bytes(canonical({"kind": "classifier", "identity": identity}))
    (folder / "reference.json").write_bytes(canonical(reference))
    return folder


def drift(tmp_path, package, **options):
    lake = MemoryLake(tmp_path)
    lake.append("silver.readings", make_fleet(devices=40, days=14, **options).readings)
    return Watch(tables=lake, limits=Limits(), window_rows=800).drift(package)


def test_an_unchanged_fleet_is_quiet(tmp_path, package):
    assert not drift(tmp_path, package, seed=2).alarms


def test_planted_drift_is_flagged(tmp_path, package):
    found = drift(tmp_path, package, seed=2, shift_c=25.0)
    assert {"top_oil_last", "top_oil_max_24h"} <= {finding.column for finding in found.alarms}
    assert not {"ambient_mean_24h", "load_mean_24h", "firmware"} & {finding.column for finding in found.alarms}


def test_a_package_without_features_is_refused(tmp_path, package):
    (tmp_path / "package.json").write_bytes(canonical({"kind": "forecaster"}))
    (tmp_path / "reference.json").write_bytes(b"{}")
    with pytest.raises(ApplianceError, match="a forecaster has no features to watch"):
        Watch(tables=MemoryLake(tmp_path), limits=Limits(), window_rows=100).drift(tmp_path)
