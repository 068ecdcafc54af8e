"""Home: what needs somebody, then the state in tiles. The first sentence is made from the same rows as the tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from appliance.observability.staleness import Staleness
from appliance.portal import status, wording
from appliance.portal.pages.reading import Part, read
from appliance.portal.rendering import Page
from appliance.portal.status import Status
from appliance.portal.view import PortalData
from appliance.storage import names


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something for a person. `text` continues the first sentence."""

    text: str
    what_to_do: str
    link: str
    status: Status
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Tile:
    title: str
    value: str
    unit: str
    note: str
    status: Status | None
    link: str
    link_text: str


@dataclass(frozen=True, kw_only=True)
class Live:
    """A live version and the age of what it knows."""

    id: str
    known: Staleness


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything the page shows, each read once."""

    readings: Part[int | None]
    came_in: Part[int]
    quarantined: Part[int]
    pending: Part[int]
    imbalance: Part[int]
    waiting: Part[list[str]]
    live: Part[list[Live]]
    predictions: Part[int | None]
    newest_arrival: Part[str]
    arrival_age: Part[str]
    alerts: Part[int]
    runs: Part[list[str]]
    checks: Part[int]


def page(data: PortalData) -> Page:
    parts = _read(data)
    needs = list(_needs(parts, data))
    failures = [part.failure for part in vars(parts).values() if part.failure]
    return Page(
        template="home.html",
        context={
            "nav": "home",
            "state": status.watch("Needs you") if needs or failures else status.good("Quiet"),
            "first": first_sentence([need.text for need in needs], unread=bool(failures)),
            "needs": needs,
            "tiles": list(_tiles(parts)),
            "failures": list(dict.fromkeys(failures)),
        },
    )


def first_sentence(needs: list[str], *, unread: bool) -> str:
    if needs:
        verb = "thing needs" if len(needs) == 1 else "things need"
        return f"{len(needs)} {verb} you: {', '.join(needs)}."
    if unread:
        return "Some of this site cannot be read; what can be read needs nobody."
    return "Nothing needs you."


def _read(data: PortalData) -> Parts:
    books = read("the ledger", data.books)
    arrival = read("the lake", data.newest_arrival)

    def of_books(name: str) -> Part[int]:
        return Part(getattr(books.value, name)) if books else _same(books)

    def live() -> list[Live]:
        return [
            Live(id=f"{each.name}/{each.version}", known=data.data_age(data.manifest(each)))
            for each in data.models().versions.values()
            if each.stage == "live"
        ]

    return Parts(
        readings=read("the lake", lambda: data.rows(names.READINGS)),
        came_in=of_books("came_in"),
        quarantined=of_books("quarantined"),
        pending=of_books("pending"),
        imbalance=of_books("imbalance"),
        waiting=read(
            "the transparency log",
            lambda: [
                f"{each.name}/{each.version}" for each in data.models().versions.values() if each.stage == "candidate"
            ],
        ),
        live=read("the models", live),
        predictions=read("the lake", lambda: data.rows(names.PREDICTIONS)),
        newest_arrival=Part(wording.instant(arrival.value) if arrival.value else "") if arrival else _same(arrival),
        arrival_age=Part(wording.age(data.clock.now() - arrival.value) if arrival.value else wording.NOTHING)
        if arrival
        else _same(arrival),
        alerts=read("the alerts", lambda: sum(1 for each in data.alerts() if each.severity == "critical")),
        runs=read("the pipeline journal", lambda: [run.run_id for run in data.newest_runs() if run.status == "failed"]),
        checks=read("the checks of tables", lambda: sum(1 for each in data.checks() if each.stops)),
    )


def _needs(parts: Parts, data: PortalData) -> Iterator[Need]:
    if parts.imbalance and parts.imbalance.value:
        yield Need(
            text=f"{wording.counted(parts.imbalance.value, 'reading')} unaccounted for",
            what_to_do="Every reading that came in must be in the lake, in quarantine or pending. Find the days below.",
            link="/data#ledger",
            status=status.bad("Not balanced"),
        )
    if parts.waiting and parts.waiting.value:
        many = parts.waiting.value
        yield Need(
            text=f"{wording.counted(len(many), 'model waits', 'models wait')} for approval",
            what_to_do="Read the card, then as approver:",
            command=f"appliance model approve {many[0]} --reason TEXT",
            link=f"/models/{many[0]}" if len(many) == 1 else "/models",
            status=status.STAGES["candidate"],
        )
    stale = [each.id for each in parts.live.value if each.known.state == "stale"] if parts.live else []
    if stale:
        yield Need(
            text=f"{wording.counted(len(stale), 'live model is', 'live models are')} over the staleness limit",
            what_to_do="Retrain:",
            command=f"appliance pipeline run {stale[0].partition('/')[0]}",
            link=f"/models/{stale[0]}",
            status=status.FRESHNESS["stale"],
        )
    if parts.runs and parts.runs.value:
        many = parts.runs.value
        yield Need(
            text=wording.counted(len(many), "failed pipeline run"),
            what_to_do="Read why it stopped:",
            command=f"appliance pipeline show {many[0]}",
            link="/models",
            status=status.bad("Failed"),
        )
    limit = data.site.settings.pipeline.max_quarantined_percent
    if parts.quarantined and parts.came_in and parts.quarantined.value * 100 > limit * parts.came_in.value:
        share = wording.percent(parts.quarantined.value, parts.came_in.value)
        yield Need(
            text=f"{share} of readings in quarantine",
            what_to_do=f"The limit is {limit:g} %. See the reasons, mend the declaration, then:",
            command="appliance quarantine reparse",
            link="/data#quarantine",
            status=status.bad("Over limit"),
        )
    if parts.checks and parts.checks.value:
        yield Need(
            text=wording.counted(parts.checks.value, "check of a table does not hold", "checks of tables do not hold"),
            what_to_do="Failed, refused readings, or could not be judged. See which, and whom to ask. After a fix:",
            command="appliance table check",
            link="/data#checks",
            status=status.CHECKS["failed"],
        )
    if parts.alerts and parts.alerts.value:
        yield Need(
            text=wording.counted(parts.alerts.value, "critical alert"),
            what_to_do="Each says what happened, with both values. Alerts are kept for good.",
            link="/data?severity=critical#alerts",
            status=status.SEVERITIES["critical"],
        )


def _tiles(parts: Parts) -> Iterator[Tile]:
    def tile(title: str, part: Part[str], link: str, link_text: str, **more: object) -> Tile:
        known = {"unit": "", "note": "", "status": None, **more} if part else {"unit": "", "note": part.failure}
        return Tile(
            title=title,
            value=part.value if part else wording.NOTHING,
            unit=str(known["unit"]),
            note=str(known["note"]),
            status=known.get("status") if part else status.bad("Cannot be read"),  # type: ignore[arg-type]
            link=link,
            link_text=link_text,
        )

    yield tile("Readings in the lake", _number(parts.readings), "/data", "Data", note="accepted, silver.readings")
    share = wording.percent(parts.quarantined.value, parts.came_in.value) if parts.quarantined else ""
    pending = f", {wording.number(parts.pending.value)} pending" if parts.pending and parts.pending.value else ""
    yield tile(
        "In quarantine",
        _number(parts.quarantined),
        "/data#quarantine",
        "Reasons",
        note=f"{share} of what came in{pending}; kept with raw bytes",
    )
    balanced = parts.imbalance and not parts.imbalance.value
    yield tile(
        "Ledger imbalance",
        _number(parts.imbalance),
        "/data#ledger",
        "Ledger",
        note="in = lake + quarantine + pending, per device and hour",
        status=status.good("Balanced") if balanced else status.bad("Not balanced"),
    )
    yield tile(
        "Newest arrival",
        parts.arrival_age,
        "/data",
        "Data",
        unit="ago" if parts.newest_arrival and parts.newest_arrival.value else "",
        note=(parts.newest_arrival.value or "nothing has arrived") if parts.newest_arrival else "",
    )
    yield tile(
        "Predictions recorded",
        _number(parts.predictions),
        "/predictions",
        "Predictions",
        note="each can be verified",
    )
    if not parts.live or not parts.live.value:
        none: Part[str] = Part("0") if parts.live else _same(parts.live)
        yield tile("Live models", none, "/models", "Models", note="no model answers yet; the gateway abstains")
        return
    for each in parts.live.value:
        yield tile(
            f"Live model {each.id}",
            Part(wording.age(each.known.age)),
            f"/models/{each.id}",
            "Model",
            unit="old" if each.known.age is not None else "",
            note=f"age of its data; limit {wording.age(each.known.limit)}"
            if each.known.age is not None
            else "the lineage names no training set of it, so its age is not known",
            status=status.FRESHNESS[each.known.state],
        )


def _number(part: Part[int] | Part[int | None]) -> Part[str]:
    return Part(wording.number(part.value or 0)) if part else _same(part)


def _same(part: Part[Any]) -> Part[Any]:
    """The failure of a part, for what would have been made of it."""
    return Part(None, part.failure)
