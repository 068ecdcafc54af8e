"""The fleet of the demo, whole: nothing of it is taken for sensitive, by drops or by what training reads."""

import datetime as dt
import shutil
from importlib import resources
from pathlib import Path

import pytest

from appliance.demo.fleet.generate import generate
from appliance.demo.fleet.plan import FleetOptions
from appliance.ingestion.sensitive.examination import examine
from appliance.ingestion.sensitive.policy import TrainingTables
from tests.small_site import SmallSite

ETT = Path(__file__).parents[3] / "data" / "ett" / "ETTh1.csv"
END = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("fleet")
    generate(FleetOptions(devices=40, days=40, end=END, seed=seed), folder / "fleet")
    with resources.as_file(resources.files("appliance.demo") / "declarations") as declared:
        shutil.copytree(declared, folder / "site" / "declarations")
    made = SmallSite(folder / "site", now=END + dt.timedelta(days=1), trust_received_at=True)
    spool = made.folder / "spool"
    shutil.copytree(folder / "fleet" / "readings", spool / "readings" / "incoming", dirs_exist_ok=True)
    shutil.copytree(folder / "fleet" / "labels", spool / "drops" / "incidents" / "incoming", dirs_exist_ok=True)
    (spool / "drops" / "ett" / "incoming").mkdir(parents=True)
    shutil.copy(ETT, spool / "drops" / "ett" / "incoming")
    made.sink.run()
    made.report = made.drops.run()
    return made


def test_drops_are_kept_as_they_came(site):
    assert site.report.accepted > 17_420
    assert "SENSITIVE" not in site.report.refused
    rows = site.rows("raw.drops")
    assert {row["content"] for row in rows} == {None}
    assert site.objects.holds(next(row["digest"] for row in rows if row["name"] == "ETTh1.csv"))
    assert not (site.folder / "keys").exists()


@pytest.mark.parametrize("table", ["silver.readings", "labels.incidents", "silver.ett"])
def test_training_reads_it_all(site, table):
    rows = TrainingTables(site.lake).scan(table)
    assert rows.num_rows == site.lake.scan(table).num_rows > 0
    assert examine({name: rows[name] for name in rows.column_names}) == ()
