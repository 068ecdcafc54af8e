"""Checks one recorded prediction: its record as the gateway wrote it, features and score recomputed.

The record stands in a segment of the gateway, or in the raw object of the topic that it came through.

The record is searched in the committed files of ``predictions.served``. One that is not found may stand in a file that
was altered, so all of them are checked before it counts as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from appliance.governance.package import MODEL
from appliance.governance.package_store import package_folder
from appliance.ingestion.segment import unpack
from appliance.orchestration.case import Case
from appliance.orchestration.model_links import verify_model
from appliance.orchestration.recompute import recompute_prediction
from appliance.orchestration.removed_files import standing
from appliance.serving.contract import Prediction
from appliance.serving.prediction_table import to_arrow
from appliance.storage import names
from appliance.storage.upkeep.documents import rewrites_of


def verify_prediction(case: Case, prediction_id: str) -> bool:
    """Whether the prediction is known; what was found is noted."""
    commits = list(case.documents("commit", names.PREDICTIONS))
    for document in commits:
        for file in document.files:
            if case.chain.was_removed(file):
                continue  # its rows stand in a later commit
            row = _row(case, file.path, prediction_id)
            if row is not None:
                case.chain.add(document.id)
                _check(case, row, file.path)
                return True
    for document in commits:
        case.chain.add(document.id)
    return False


def _row(case: Case, path: str, prediction_id: str) -> Mapping[str, Any] | None:
    try:
        table = pq.read_table(path, filesystem=case.files.arrow, filters=[("prediction_id", "=", prediction_id)])
        rows: list[dict[str, Any]] = table.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        case.findings.note("file", f"commit {names.PREDICTIONS}", path, False, f"cannot be read: {error}")
        return None
    return rows[0] if rows else None


def _check(case: Case, record: Mapping[str, Any], path: str) -> None:
    if not case.findings.sound([path]):
        return  # the file is the finding; what it says about the prediction is worth nothing
    name = f"prediction {record['prediction_id']}"
    _check_segment(case, name, record)
    if not record["artifact_id"]:
        case.findings.established.append("no model answered: the fallback abstained, and the record of it is intact")
        return
    standing = case.history.versions.get((record["model"], record["version"]))
    if standing is None or standing.artifact_id != record["artifact_id"]:
        detail = f"the log knows no {record['model']}/{record['version']} of that artifact"
        case.findings.note("model", name, path, False, detail)
        return
    held = verify_model(case, standing)
    if record["data"]:
        case.chain.add(record["data"])
    readings = _readings(case, record["data"])
    if readings is None:
        case.findings.not_established.append(
            f"that features and score of {name} follow from the readings: some of their files were removed, and what "
            "stands in for these holds later readings too"
        )
        return
    if not held or not case.chain.whole or not case.findings.sound(readings):
        return
    package = package_folder(case.site.registry, standing.name, standing.version)
    place = case.findings.inside(package / MODEL)
    recompute = partial(recompute_prediction, record, package=package, files=case.files, readings=readings)
    difference = case.findings.attempt(name, recompute, place)
    if difference is None:
        return
    detail = "features recomputed from the readings, score recomputed with the signed model: equal"
    case.findings.note("recomputed", name, place, not difference, difference or detail)
    if not difference:
        case.findings.established.append(
            "every feature value and the score of the prediction follow from the raw readings and the signed model"
        )


def _check_segment(case: Case, name: str, record: Mapping[str, Any]) -> None:
    """The row must be the record that the gateway wrote, field by field."""
    below = [id for commit in case.chain.of_kind("commit", names.PREDICTIONS) for id in commit.inputs]
    direct = [case.chain.documents[id] for id in dict.fromkeys(below) if id in case.chain.documents]
    segments = [file.path for document in direct if document.kind == "raw" for file in document.files]
    if not case.chain.whole or not case.findings.sound(segments):
        return
    needle = record["prediction_id"].encode()
    for path in segments:
        for line in case.findings.attempt(name, partial(_lines, case, path), path) or ():
            if needle in line:
                written = case.findings.attempt(name, partial(_as_row, line), path)
                same = written is not None and repr(written) == repr(dict(record))
                detail = "is the record that the gateway wrote" if same else "the gateway wrote another record"
                case.findings.note("recomputed", name, path, same, detail)
                return
    case.findings.note("recomputed", name, "", False, "stands in no segment that the gateway wrote")


def _lines(case: Case, path: str) -> list[bytes]:
    """Raises OSError; ValueError: it is no segment of a topic."""
    with case.files.open(path) as file:
        data = file.read()
    if path.endswith(".jsonl"):
        return data.splitlines()
    return [value for value in unpack(data).records["value"].to_pylist() if value is not None]


def _as_row(line: bytes) -> Mapping[str, Any]:
    rows: list[dict[str, Any]] = to_arrow([msgspec.json.decode(line, type=Prediction)]).to_pylist()
    return rows[0]


def _readings(case: Case, data: str) -> list[str] | None:
    """Files with the readings that the online store held: those of the commits below `data`, or of all when it is not
    named. None when they are not there, and nothing has exactly their rows."""
    below = case.chain.below(data) if data else None
    commits = [each for each in case.chain.of_kind("commit", names.READINGS) if below is None or each.id in below]
    replaced = {file.path for each in commits for rewrite in rewrites_of(each) for file in rewrite.replaced}
    held = {file.path for each in commits for file in each.files} - replaced
    found = standing(held, case.chain.removed)
    return None if found is None else sorted(found)
