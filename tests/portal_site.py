"""A small real site for tests of the portal, made by the product's own commands: readings, models, predictions.

Texts that look like HTML stand wherever outsiders can put text: entities, alerts, reasons.
"""

import datetime as dt
import json

from appliance.base.canonical import canonical
from appliance.base.digest import digest_bytes, digest_json
from appliance.cli.main import run
from appliance.config.site import open_site
from appliance.observability.alerts import Alert, Alerts
from appliance.serving.contract import FeatureValue, Prediction
from appliance.serving.prediction_log import PredictionWriter
from tests.small_site import MEASURES, avro, readings, record

HOSTILE = "<script>alert(1)</script>"
ENTITY = "<script>alert(1)</script>"
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
HOLDOUT = digest_bytes(b"holdout")
CONTRACT = f"""
table: silver.readings
version: 1
owner: "data {HOSTILE}"
checks:
  - {{id: enough, kind: rows, minimum: 1}}
  - {{id: oil, kind: range, in_sink: true, where: {{measure: oil_temperature}}, column: value, maximum: 150}}
  - {{id: many, kind: rows, minimum: 1000}}
  - {{id: firm, kind: codes, column: firmware, allowed: ["{HOSTILE}"], severity: warn}}
  - {{id: known, kind: refers, columns: [device_id], table: reference.devices, to: [name]}}
"""
INTERVAL = {"value": "0.81", "low": "0.75", "high": "0.88"}
METRICS = {
    "rows": {"train": 600, "validation": 200, "test": 200},
    "positives": {"train": 30, "validation": 10, "test": 9},
    "test": {"roc_auc": INTERVAL, "brier": {"value": "0.0195", "low": "0.01", "high": "0.03"}},
    "threshold": {"rule": "recall_at_least", "value": "0.41"},
    "honesty": {
        "metric": "roc_auc",
        "gap": "0.02",
        "margin": "0.05",
        "known_at_the_time": {"roc_auc": INTERVAL},
        "event_time_only": {"roc_auc": {"value": "0.83", "low": "0.8", "high": "0.9"}},
    },
    "gates": {"passed": True, "closed": {}},
    "slices": [
        {
            "feature": "load_mean",
            "from": "-inf",
            "to": "0.5",
            "rows": 100,
            "positives": 0,
            "metrics": {name: {"value": "nan"} for name in ("roc_auc", "brier", "accuracy")},
        }
    ],
    "reliability": [{"from": "0.0", "to": "0.1", "rows": 90, "mean_score": "0.02", "observed_rate": "0.01"}],
    "baselines": {"feature": {"name": "load_mean", "roc_auc": "0.55"}},
}
REFERENCE = {
    "numbers": {"load_mean": {"coarse": [0, 3, 9, 4], "rows": 16, "low": "0.0", "high": "2.0"}},
    "scores": {"score": {"coarse": [9, 1], "rows": 10, "low": "0.0", "high": "1.0"}},
    "codes": {"firmware": {"counts": {"1.0": 16}}},
}


def command(folder, *words, role="operator", code=0):
    assert run([*words, "--site", str(folder), "--as", role, "--json"]) == code, words


def write_package(folder, value, seed):
    """A package whose files are as its manifest says."""
    identity = {
        "code": digest_bytes(b"tree"),
        "data": HOLDOUT,
        "recipe": {"gates": {"minimum": "0.75", "metric": "roc_auc"}},
        "views": [{"name": "load"}],
        "environment": digest_bytes(b"lock"),
        "hardware": "cpu-x86-64",
        "seed": seed,
        "threads": 2,
    }
    contents = {
        "model.onnx": b"not a model",
        "metrics.json": json.dumps(METRICS).encode(),
        "reference.json": json.dumps(REFERENCE).encode(),
        "model_card.md": f"# Model card\n\n{HOSTILE}\n".encode(),
    }
    folder.mkdir(parents=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    document = {
        "format": "appliance-model-package/1",
        "artifact_id": digest_json(identity),
        "name": "thermal",
        "kind": "classifier",
        "owner": "grid-analytics",
        "purpose": f"Warn of hot transformers {HOSTILE}",
        "slo": {"latency_p99_ms": "50.0", "availability_percent": "99.9", "metric": "roc_auc", "minimum": "0.75"},
        "staleness": "30d",
        "primary_metric": {"name": "roc_auc", "value": value, "direction": "maximize", "holdout": HOLDOUT},
        "identity": identity,
        "interface": {"contracts": [{"name": "load_mean", "unit": "kW"}]},
        "files": {name: digest_bytes(data) for name, data in contents.items()},
    }
    (folder / "package.json").write_bytes(canonical(document))
    return document["artifact_id"]


def prediction(number, artifact_id, **changes):
    fields = {
        "prediction_id": f"pr-{number:032x}",
        "request_id": f"request-{number}",
        "trace_id": f"{number:032x}",
        "entity": f"tx-{number % 7}",
        "at": NOW,
        "served_at": NOW + dt.timedelta(seconds=number),
        "model": "thermal",
        "version": 1,
        "artifact_id": artifact_id,
        "arm": "live",
        "score": 0.25,
        "outcome": "negative",
        "reason": "",
        "data": "",
        "features": (
            FeatureValue(name="load_mean", value=1.5, age_s=900.0, state="ok"),
            FeatureValue(name="oil_last", value=None, age_s=None, state="abstain"),
        ),
        "latency_ms": 2.5,
        **changes,
    }
    return Prediction(**fields)


def make_site(folder, *, port=8480):
    """Readings of three devices, six outcomes of checks, one live and one waiting model, 120 predictions, 30 alerts."""
    command(folder, "site", "init", "--set", "site.name=north", "--set", f"portal.port={port}")
    site = open_site(folder)
    (site.declarations / "measures.toml").write_text(MEASURES)
    (site.declarations / "contracts").mkdir(exist_ok=True)
    (site.declarations / "contracts" / "readings.yaml").write_text(CONTRACT)
    incoming = site.spool / "readings" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    (incoming / "a.avro").write_bytes(
        avro(
            record("tx-1", 0, readings(40)),
            record("tx-2", 0, readings(20, measure="load", value=2_000.0)),
            record("tx-3", 0, readings(10, measure="oil_temperatur")),
        )
    )
    command(folder, "ingest", "run", role="data-engineer")
    command(folder, "table", "check", role="data-engineer", code=1)
    artifact_id = write_package(folder.parent / "package-1", "0.81", 1)
    write_package(folder.parent / "package-2", "0.84", 2)
    command(folder, "model", "register", str(folder.parent / "package-1"), role="data-scientist")
    command(folder, "model", "approve", "thermal/1", "--reason", f"card read {HOSTILE}", role="approver")
    command(folder, "model", "promote", "thermal/1")
    command(folder, "model", "register", str(folder.parent / "package-2"), role="data-scientist")
    writer = PredictionWriter(site.serving / "predictions")
    for number in range(118):
        writer.write(prediction(number, artifact_id))
    writer.write(prediction(118, artifact_id, entity=ENTITY, arm="shadow", outcome="positive"))
    nothing = {"version": 0, "arm": "fallback", "score": None, "outcome": "abstain", "features": ()}
    writer.write(prediction(119, "", entity="tx-9", reason=f"no model {HOSTILE}", **nothing))
    writer.rotate()
    command(folder, "serve", "flush")
    Alerts(site.alerts).record(
        Alert(
            code="FORMAT",
            severity="critical" if number % 10 == 0 else "info",
            subject=f"device {HOSTILE}",
            message=f"firmware was 1, is {number} {HOSTILE}",
            at=f"2026-02-{number % 28 + 1:02d}T00:05:00Z",
            key=f"k{number}",
        )
        for number in range(30)
    )
    return open_site(folder)
