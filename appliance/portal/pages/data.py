"""Data: the tables of the lake, checks of them, what is in quarantine and why, the ledger by day, and the alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.base.errors import ApplianceError
from appliance.ingestion.ledger import Ledger
from appliance.ingestion.reasons import BY_CODE
from appliance.observability.alerts import Alert
from appliance.portal import bars, status, wording
from appliance.portal.pages.query import choice, page_number, pager, text
from appliance.portal.pages.reading import read
from appliance.portal.rendering import Page
from appliance.portal.view import PortalData
from appliance.storage import codes as storage_codes
from appliance.storage.columns import tags_of
from appliance.storage.summaries import history, summarize

ALERTS_PER_PAGE = 25
COMMITS_SHOWN = 50
SEVERITIES = tuple(status.SEVERITIES)
STAGES = {"snapshot": "between stages", "sink": "in the sink"}


@dataclass(frozen=True, kw_only=True)
class Day:
    """The ledger of one UTC day of arrival, or of what has no hour (`day` is ``unknown``)."""

    day: str
    came_in: int = 0
    accepted: int = 0
    quarantined: int = 0
    pending: int = 0
    imbalance: int = 0


def page(data: PortalData, query: Mapping[str, str]) -> Page:
    if name := text(query, "table"):
        return table_page(data, name)
    severity = choice(query, "severity", SEVERITIES)
    number = page_number(query, "alerts")
    tables = read("the lake", data.tables)
    books = read("the ledger", lambda: by_day(data.books()))
    alerts = read("the alerts", lambda: [each for each in data.alerts() if severity in ("", each.severity)])
    shown, older = _page_of(alerts.value if alerts else [], number)
    unbalanced = bool(books) and any(day.imbalance for day in books.value)
    return Page(
        template="data.html",
        context={
            "nav": "data",
            "state": status.bad("Not balanced") if unbalanced else status.good("Balanced") if books else None,
            "tables": tables,
            "checks": read("the checks of tables", data.checks),
            "outcomes": status.CHECKS,
            "stages": STAGES,
            "quarantine": read("quarantine", data.quarantined),
            "reasons": BY_CODE,
            "days": books,
            "charts": charts(books.value) if books and books.value else None,
            "finding": finding(books.value) if books and books.value else "",
            "alerts": alerts,
            "shown": shown,
            "severity": severity,
            "severities": status.SEVERITIES,
            "pager": pager("/data", number, has_older=older, name="alerts", anchor="#alerts", severity=severity),
        },
    )


def table_page(data: PortalData, name: str) -> Page:
    """One table: columns and commits.

    Raises:
        ApplianceError: APL-STORAGE-002.
    """
    if name not in data.lake.tables():
        raise ApplianceError(storage_codes.TABLE_MISSING, f"no table {name!r}", where="table")
    return Page(
        template="table.html",
        context={
            "nav": "data",
            "table": summarize(data.lake, name),
            "schema": data.lake.schema(name),
            "tags": {column: tag for column, (tag, _) in tags_of(data.lake.table(name)).items()},
            "commits": history(data.lake, name)[:COMMITS_SHOWN],
        },
    )


def by_day(books: Ledger) -> tuple[Day, ...]:
    """The ledger summed over devices, oldest day first. An imbalance never cancels another out."""
    sums: dict[str, Day] = {}
    for line in books.lines:
        old = sums.get(line.hour[:10]) or Day(day=line.hour[:10])
        sums[old.day] = Day(
            day=old.day,
            came_in=old.came_in + line.came_in,
            accepted=old.accepted + line.accepted,
            quarantined=old.quarantined + line.quarantined,
            pending=old.pending + line.pending,
            imbalance=old.imbalance + abs(line.imbalance),
        )
    return tuple(sums[day] for day in sorted(sums))


def charts(days: tuple[Day, ...]) -> Mapping[str, bars.Bars]:
    labels = [day.day for day in days]
    return {
        "came_in": bars.draw([day.came_in for day in days], labels),
        "quarantined": bars.draw([day.quarantined for day in days], labels),
    }


def finding(days: tuple[Day, ...]) -> str:
    """The charts in words."""
    worst = max(days, key=lambda day: day.quarantined)
    total, imbalance = sum(day.came_in for day in days), sum(day.imbalance for day in days)
    balance = "every one is accounted for" if not imbalance else f"{imbalance:,} are not accounted for"
    opening = f"{total:,} readings arrived on {wording.counted(len(days), 'day')}; {balance}."
    if not worst.quarantined:
        return f"{opening} None is in quarantine."
    share = wording.percent(worst.quarantined, worst.came_in)
    return f"{opening} Most of those in quarantine, {worst.quarantined:,} ({share} of its day), arrived on {worst.day}."


def _page_of(alerts: list[Alert], number: int) -> tuple[list[Alert], bool]:
    first = (number - 1) * ALERTS_PER_PAGE
    return alerts[first : first + ALERTS_PER_PAGE], len(alerts) > first + ALERTS_PER_PAGE
