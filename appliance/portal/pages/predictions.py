"""Predictions: the newest that were recorded, and one of them with every value that it was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from appliance.base.errors import ApplianceError
from appliance.portal import codes, status
from appliance.portal.pages.query import choice, page_number, pager, text
from appliance.portal.rendering import Page
from appliance.portal.view import PortalData
from appliance.storage import names

PER_PAGE = 50
ARMS = ("live", "canary", "shadow", "fallback")
ID = re.compile(r"pr-[0-9a-f]{32}")


def page(data: PortalData, query: Mapping[str, str]) -> Page:
    entity = text(query, "entity", most=128)
    arm = choice(query, "arm", ARMS)
    number = page_number(query)
    where = {name: value for name, value in (("entity", entity), ("arm", arm)) if value}
    found = data.predictions(number * PER_PAGE + 1, where).to_pylist()
    rows = found[(number - 1) * PER_PAGE : number * PER_PAGE]
    return Page(
        template="predictions.html",
        context={
            "nav": "predictions",
            "total": data.rows(names.PREDICTIONS) or 0,
            "rows": rows,
            "first": (number - 1) * PER_PAGE + 1,
            "entity": entity,
            "arm": arm,
            "arms": ARMS,
            "filtered": bool(where),
            "outcomes": status.OUTCOMES,
            "pager": pager("/predictions", number, has_older=len(found) > number * PER_PAGE, entity=entity, arm=arm),
        },
    )


def detail(data: PortalData, prediction_id: str) -> Page:
    """Raises:
    ApplianceError: APL-PORTAL-001.
    """
    found = data.prediction(prediction_id) if ID.fullmatch(prediction_id) else None
    if found is None:
        reason = "no prediction has it" if ID.fullmatch(prediction_id) else "an id is pr- and 32 hex digits"
        raise ApplianceError(
            codes.NOT_FOUND,
            f"prediction {prediction_id[:80]!r}: {reason}",
            hint="Copy the id whole. One that was answered a moment ago is shown after: appliance serve flush",
        )
    key = (found["model"], found["version"])
    standing = data.models().versions.get(key)
    contracts = {}
    if standing is not None:
        contracts = {each["name"]: each for each in data.manifest(standing).interface.get("contracts", [])}
    return Page(
        template="prediction.html",
        context={
            "nav": "predictions",
            "prediction": found,
            "state": status.of(status.OUTCOMES, found["outcome"]),
            "is_registered": standing is not None and standing.artifact_id == found["artifact_id"],
            "features": found["features"] or [],
            "states": status.FEATURE_STATES,
            "units": {
                name: "–" if each.get("unit") == "1" else str(each.get("unit", "–")) for name, each in contracts.items()
            },
        },
    )
