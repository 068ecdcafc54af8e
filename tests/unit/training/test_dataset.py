"""Spine, labels, parts and pinning of a training set."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow.compute as pc
import pytest

from appliance.base.clock import parse_rfc3339, to_us
from appliance.base.errors import ApplianceError
from appliance.demo import declarations
from appliance.features.source import micros
from appliance.features.training_set import open_training_set
from appliance.features.view import load_views
from appliance.governance.lineage import Lineage
from appliance.training.dataset import labels_of, parts_of, pin_dataset
from appliance.training.recipe import find_recipe, load_recipes
from tests.synthetic import EntryList, MemoryLake, make_fleet

FOLDER = Path(declarations.__path__[0])
VIEWS = load_views(FOLDER / "features")
RECIPE = find_recipe(load_recipes(FOLDER / "recipes"), "incident_risk_leaky")
DAY_US = 86_400_000_000


def test_parts_are_chronological_with_gaps():
    at = np.arange(100, dtype=np.int64)
    parts = parts_of(at, 0.6, 0.2, 5)
    assert [int((parts == part).sum()) for part in (0, 1, 2, -1)] == [54, 15, 21, 10]
    assert at[parts == 0].max() + 5 < at[parts == 1].min()
    assert at[parts == 1].max() + 5 < at[parts == 2].min()


def test_a_label_is_an_event_after_t_up_to_the_horizon():
    at = np.array([0, 9, 10, 20, 21], np.int64)
    label = labels_of(np.zeros(5, np.int64), at, 10, {0: np.array([20], np.int64)})
    assert label.tolist() == [0, 0, 1, 0, 0]
    assert labels_of(np.ones(5, np.int64), at, 10, {0: np.array([20], np.int64)}).tolist() == [0] * 5


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    fleet = make_fleet(devices=25, days=30)
    lake = MemoryLake(folder)
    lake.append("silver.readings", fleet.readings)
    lake.append("labels.incidents", fleet.incidents)
    return folder, lake, Lineage(folder / "lineage", EntryList()), fleet


def pinned(site, recipe=RECIPE, **options):
    folder, lake, lineage, _ = site
    return pin_dataset(
        recipe,
        tables=lake,
        views=VIEWS,
        lineage=lineage,
        folder=folder / "runs",
        site_folder=folder,
        **options,
    )


def test_the_training_set_holds_only_what_was_known(site):
    _, lake, lineage, _ = site
    done = pinned(site)
    rows, documents = open_training_set(done.folder, done.digest)
    document = lineage.load(done.lineage_id)
    cutoff = to_us(parse_rfc3339(document.facts["cutoff"]))
    assert int(micros(rows["at"]).max()) + 6 * DAY_US <= cutoff  # horizon 1 d, labels up to 5 d late
    assert set(document.inputs) == {c.lineage_id for t in lake.snapshots for c in lake.commits(t)}
    assert set(rows["part"].to_pylist()) == {"train", "validation", "test"}
    assert {"features.json", "categories.json"} == set(documents)
    # The planted leak: samples dated to before they were known.
    assert pc.equal(rows["tdcg_max_14d"], rows["event_only.tdcg_max_14d"]).to_pylist().count(False) > 0


def test_the_same_state_gives_the_same_digest_and_a_later_one_another(site):
    first = pinned(site)
    assert pinned(site) == first
    cut = to_us(parse_rfc3339(site[2].load(first.lineage_id).facts["cutoff"])) - 2 * DAY_US
    earlier = pinned(site, cutoff_us=cut)
    assert earlier.digest != first.digest
    assert earlier.rows < first.rows


def test_rows_that_break_a_contract_are_left_out(site):
    folder, _, lineage, fleet = site
    done = pinned(site)
    rows, _ = open_training_set(done.folder, done.digest)
    usable = rows.filter(rows["usable"])
    for name in ("load_mean_24h", "top_oil_last", "tdcg_last"):
        assert not np.isnan(usable[name].to_numpy()).any()
    foreign = fleet.readings.set_column(
        fleet.readings.column_names.index("unit"),
        "unit",
        pc.if_else(pc.equal(fleet.readings["device_id"], "T003"), "degF", fleet.readings["unit"]),
    )
    lake = MemoryLake(folder / "foreign")
    lake.append("silver.readings", foreign)
    lake.append("labels.incidents", fleet.incidents)
    other = pin_dataset(
        RECIPE, tables=lake, views=VIEWS, lineage=lineage, folder=folder / "foreign" / "runs", site_folder=folder
    )
    names = set(open_training_set(other.folder, other.digest)[0]["entity"].to_pylist())
    assert "T003" in set(rows["entity"].to_pylist())
    assert "T003" not in names


def test_too_short_a_history_is_refused(site):
    with pytest.raises(ApplianceError) as caught:
        pinned(site, cutoff_us=int(micros(site[3].readings["event_time"]).min()) + DAY_US)
    assert caught.value.code.id == "APL-FEATURES-008"


def test_a_recipe_about_another_entity_is_refused(site):
    with pytest.raises(ApplianceError, match="is about feeder_id") as caught:
        pinned(site, msgspec.structs.replace(RECIPE, entity="feeder_id"))
    assert caught.value.code.id == "APL-TRAINING-001"
