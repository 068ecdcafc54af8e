"""The generator plants exactly what its truth file counts."""

import datetime as dt
import filecmp
import json

import fastavro
import pytest

from appliance.demo.fleet.generate import generate
from appliance.demo.fleet.plan import NEW_FIRMWARE, FleetOptions, draw_plan

END = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
YEAR_2000_US = 946_684_800_000_000


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("fleet")
    truth = generate(FleetOptions(devices=40, days=12, end=END, seed=seed), folder)
    return folder, truth


@pytest.fixture(scope="module")
def records(fleet):
    found = []
    for path in sorted((fleet[0] / "readings").glob("*.avro")):
        with path.open("rb") as file:
            found += [(path.name, record) for record in fastavro.reader(file)]
    return found


def test_every_count_of_the_truth_is_in_the_files(fleet, records):
    truth = fleet[1]
    readings = [(record, reading) for _, record in records for reading in record["readings"]]
    assert len(readings) == truth.readings
    assert sum(reading["event_time"] < YEAR_2000_US for _, reading in readings) == truth.milliseconds > 0
    assert sum(reading["unit"] == "degF" for _, reading in readings) == truth.unit > 0
    assert sum(reading["measure"] == "h2_ppx" for _, reading in readings) == truth.unknown_measure > 0
    assert sum(reading["value"] in (9999.0, -999.0) for _, reading in readings) == truth.impossible > 0
    seen, again = set(), 0
    for record, reading in readings:
        key = (record["device_id"], record["sequence"], reading["measure"], reading["event_time"])
        again += key in seen
        seen.add(key)
    assert again == truth.duplicate > 0


def test_eight_percent_of_devices_send_milliseconds_with_the_new_firmware(fleet, records):
    truth = fleet[1]
    assert len(truth.devices_ms) == round(0.08 * truth.devices)
    for _, record in records:
        milliseconds = all(reading["event_time"] < YEAR_2000_US for reading in record["readings"])
        assert milliseconds == (record["firmware"] == NEW_FIRMWARE)
        assert not milliseconds or record["device_id"] in truth.devices_ms


def test_a_stuck_sensor_stands_still_for_three_days(fleet, records):
    still = 0
    for _, record in records:
        values = [reading["value"] for reading in record["readings"] if reading["measure"] == "top_oil"]
        still += len(values) if len(values) > 1 and len(set(values)) == 1 else 0
    assert still == fleet[1].stuck > 0


def test_labels_arrive_days_after_the_incident(fleet):
    rows = [line.split(",") for line in (fleet[0] / "labels" / "incidents.csv").read_text().splitlines()[1:]]
    assert len(rows) == fleet[1].incidents
    for _, exceeded, reported, _ in rows:
        delay = dt.datetime.fromisoformat(reported) - dt.datetime.fromisoformat(exceeded)
        assert dt.timedelta(days=1) <= delay <= dt.timedelta(days=5)


def test_same_seed_same_bytes_and_another_seed_another_fleet(fleet, tmp_path, seed):
    options = {"devices": 40, "days": 12, "end": END}
    generate(FleetOptions(**options, seed=seed), tmp_path / "same")
    generate(FleetOptions(**options, seed=seed + 1), tmp_path / "other")
    names = [path.name for path in sorted((fleet[0] / "readings").iterdir())]
    _, mismatch, errors = filecmp.cmpfiles(fleet[0] / "readings", tmp_path / "same" / "readings", names, shallow=False)
    assert (mismatch, errors) == ([], [])
    assert not filecmp.cmp(fleet[0] / "readings" / names[5], tmp_path / "other" / "readings" / names[5], shallow=False)


def test_a_fleet_without_faults_has_none(tmp_path):
    truth = generate(FleetOptions(devices=25, days=10, end=END, seed=1, faults=False), tmp_path)
    planted = json.loads((tmp_path / "truth.json").read_text())
    for fault in ("milliseconds", "duplicate", "unit", "stuck", "impossible", "unknown_measure"):
        assert getattr(truth, fault) == planted[fault] == 0


def test_faulty_devices_are_disjoint():
    plan = draw_plan(FleetOptions(end=END, seed=7))
    sets = [plan.unit_devices, plan.stuck_devices, plan.unknown_devices, plan.impossible_devices, plan.healthy_devices]
    members = [device for each in sets for device in each]
    assert len(members) == len(set(members))
