"""Historical and online features are one thing: same readings, same function, same contracts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from appliance.base.clock import from_us
from appliance.base.errors import ApplianceError
from appliance.demo import declarations
from appliance.features.store import HISTORY_US, FeatureStore
from appliance.features.view import load_views
from appliance.storage.files import SiteFiles
from tests.synthetic import HOUR_US, INSTANT, MemoryLake, make_fleet

VIEWS = load_views(Path(declarations.__path__[0]) / "features")
NAMES = ("thermal", "dissolved_gas")


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(devices=25, days=30)


@pytest.fixture
def store(tmp_path, fleet):
    lake = MemoryLake(tmp_path)
    cut = fleet.readings.num_rows * 2 // 3
    lake.append("silver.readings", fleet.readings.slice(0, cut))
    lake.append("silver.readings", fleet.readings.slice(cut))
    return FeatureStore(lake=lake, online_folder=tmp_path / "online", views=VIEWS, files=SiteFiles(tmp_path))


def same(left, right) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name), equal_nan=True) for name in ("raw", "values", "age_s")
    ) and np.array_equal(left.judged.states, right.judged.states)


def test_history_and_online_agree_on_ten_thousand_pairs(store, fleet):
    done = store.materialize()
    rng = np.random.default_rng(5)
    instants = done.through_us - rng.integers(0, HISTORY_US, 400)
    spines, collected = [], []
    for at_us in instants:
        names = [f"T{n:03d}" for n in rng.integers(0, 26, 25)]  # T025 does not exist
        spines.append(pa.table({"entity": names, "at": pa.array([int(at_us)] * len(names)).cast(INSTANT)}))
        collected.append(store.get_online(names, from_us(int(at_us)), NAMES))
    historical = store.get_historical(pa.concat_tables(spines), NAMES)
    assert len(historical.at_us) == 10_000
    assert np.array_equal(historical.raw, np.concatenate([v.raw for v in collected]), equal_nan=True)
    assert np.array_equal(historical.values, np.concatenate([v.values for v in collected]), equal_nan=True)
    assert np.array_equal(historical.age_s, np.concatenate([v.age_s for v in collected]), equal_nan=True)
    assert np.array_equal(historical.judged.states, np.concatenate([v.judged.states for v in collected]))


def test_materialize_by_new_files_gives_what_a_full_build_gives(tmp_path, fleet):
    lake = MemoryLake(tmp_path)
    store = FeatureStore(lake=lake, online_folder=tmp_path / "online", views=VIEWS, files=SiteFiles(tmp_path))
    step = fleet.readings.num_rows // 4
    for part in range(4):
        rows = fleet.readings.slice(part * step, step if part < 3 else None)
        lake.append("silver.readings", rows)
        done = store.materialize()
        assert (done.anew, done.files) == (part == 0, 1)
    fresh = FeatureStore(lake=lake, online_folder=tmp_path / "fresh", views=VIEWS, files=SiteFiles(tmp_path))
    through = fresh.materialize().through_us
    assert through == done.through_us
    names = [f"T{n:03d}" for n in range(25)]
    for back_us in (0, HOUR_US, HISTORY_US):
        at = from_us(through - back_us)
        assert same(store.get_online(names, at, NAMES), fresh.get_online(names, at, NAMES))


def test_a_rewritten_table_is_taken_anew_and_nothing_counts_twice(store, tmp_path):
    first = store.materialize()
    before = store.get_online(["T001"], from_us(first.through_us), NAMES)
    store._lake.rewrite("silver.readings")
    done = store.materialize()
    assert done.anew
    assert same(before, store.get_online(["T001"], from_us(first.through_us), NAMES))


def test_nothing_new_writes_nothing(store):
    store.materialize()
    assert store.materialize().files == 0


def test_online_refuses_an_instant_beyond_its_reach(store):
    done = store.materialize()
    with pytest.raises(ApplianceError, match="the oldest instant that can be answered") as caught:
        store.get_online(["T001"], from_us(done.through_us - HISTORY_US - 1), NAMES)
    assert caught.value.code.id == "APL-FEATURES-005"


def test_online_before_the_first_materialize_is_refused(store):
    with pytest.raises(ApplianceError, match="holds no readings") as caught:
        store.get_online(["T001"], from_us(0), NAMES)
    assert caught.value.code.id == "APL-FEATURES-009"


def test_a_reading_that_arrives_after_t_never_counts(store, fleet, tmp_path):
    at = fleet.end_us - 5 * 24 * HOUR_US
    spine = pa.table({"entity": [f"T{n:03d}" for n in range(25)], "at": pa.array([at] * 25).cast(INSTANT)})
    before = store.get_historical(spine, NAMES)
    known = fleet.readings["arrived_at"].cast(pa.int64()).to_numpy()
    lake = MemoryLake(tmp_path / "cut")
    lake.append("silver.readings", fleet.readings.filter(pa.array(known <= at)))
    cut = FeatureStore(
        lake=lake, online_folder=lake.folder / "online", views=VIEWS, files=SiteFiles(lake.folder)
    ).get_historical(spine, NAMES)
    assert same(before, cut)
    leaky = store.get_historical(spine, NAMES, event_time_only=True)
    assert not same(before, leaky)


@pytest.mark.parametrize(
    ("spine", "message"),
    [
        (pa.table({"entity": ["a"]}), "column at is missing"),
        (pa.table({"entity": ["a"], "at": [1]}), "expected timestamp"),
        (pa.table({"entity": pa.array([None], pa.string()), "at": pa.array([1]).cast(INSTANT)}), "1 nulls"),
    ],
)
def test_a_bad_spine_is_refused(store, spine, message):
    with pytest.raises(ApplianceError, match=message) as caught:
        store.get_historical(spine, NAMES)
    assert caught.value.code.id == "APL-FEATURES-006"
