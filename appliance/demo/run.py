"""The guided run: the product's main job from nothing to a verified prediction, by the commands that a user would type.

Rules
1. Every change is made by a command of the product (`Guide.call`); the demo itself only writes what people write by
   hand: declarations, files dropped into the spool, and a decoder fix.
2. What was planted is read from the truth file at the end and held against what was found.
3. It can be run again: a site that it made is replaced, any other folder is refused.
"""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from appliance.base import atomic
from appliance.base.errors import EXIT_APPROVAL, ApplianceError
from appliance.base.progress import Progress
from appliance.config.site import FILE_NAME, open_site
from appliance.demo import codes
from appliance.demo.fleet.generate import Truth, generate
from appliance.demo.fleet.plan import NEW_FIRMWARE, FleetOptions, device_names
from appliance.demo.requests import client_requests
from appliance.orchestration.replay import send
from appliance.serving.processes import Processes

MODEL = "incident_risk"
MARK = ".made-by-appliance-demo"
DECODER_FIX = f'[[decoder]]\nfirmware = "{NEW_FIRMWARE}"\nevent_time_unit = "ms"\n'
HOURS_PER_PERIOD = 8
MOST_ASKED = 20  # devices, before an abstention is taken for the answer


class Guide(Protocol):
    """How the demo acts and talks."""

    progress: Progress

    def call(self, *words: str, role: str, accept: tuple[int, ...] = (0,)) -> Mapping[str, Any]:
        """Run a command of the product as `role`; gives what it prints with --json.

        Raises:
            ApplianceError: it ended with another code than one of `accept`.
        """

    def say(self, text: str) -> None: ...

    def chapter(self, title: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Size and seed.

    Attributes:
        settings: of the new site, each ``section.key=value``.
        ett: the unchanged ETTh1.csv, or None to leave the forecaster out.
    """

    site: Path
    devices: int
    days: int
    seed: int
    requests: int
    settings: tuple[str, ...]
    ett: Path | None
    end: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What happened, for the closing table and for --json."""

    readings_in: int
    readings_lake: int
    readings_quarantined: int
    ledger_imbalance: int
    faults_planted: Mapping[str, int]
    faults_found: Mapping[str, int]
    reparsed: int
    models: tuple[Mapping[str, Any], ...]
    prediction_id: str
    verified: bool
    links: int
    drift_alarms: int
    seconds: float


def guided_run(guide: Guide, options: DemoOptions) -> Summary:
    """Run all chapters. A run that ends half-way leaves its site for a look, and no program running."""
    try:
        return _chapters(guide, options)
    except BaseException:
        _stop_programs(options.site)
        raise


def _chapters(guide: Guide, options: DemoOptions) -> Summary:
    started = time.monotonic()
    site = options.site
    guide.chapter("1. A site: settings, role keys, signing ceremony")
    _clear(site)
    settings = ("site.name=demo", "ingest.trust_received_at=true", *options.settings)
    guide.call("site", "init", *(word for each in settings for word in ("--set", each)), role="operator")
    atomic.write_bytes(site / MARK, b"")
    _declare(site)

    guide.chapter("2. Readings of a transformer fleet come in, bad ones are kept apart")
    fleet = site / "fleet"
    truth = generate(
        FleetOptions(devices=options.devices, days=options.days, end=options.end, seed=options.seed),
        fleet,
        progress=guide.progress,
    )
    guide.say(
        f"seed {options.seed}: {truth.readings:,} readings of {truth.devices} transformers over {truth.days} days"
    )
    _drop(fleet / "readings", site / "spool" / "readings" / "incoming", "*.avro")
    _drop(fleet / "labels", site / "spool" / "drops" / "incidents" / "incoming", "*.csv")
    if options.ett is not None:
        _copy(options.ett, site / "spool" / "drops" / "ett" / "incoming")
    ingested = guide.call("ingest", "run", role="data-engineer")
    found = _faults_found(ingested)
    guide.say(_faults_text(truth, found))

    guide.chapter("3. A firmware sends milliseconds: noticed, kept, and brought in after the fix")
    guide.say(
        f"{found['milliseconds']:,} readings of {len(truth.devices_ms)} devices wait in quarantine; the fix is one line"
    )
    atomic.write_bytes(site / "declarations" / "decoders.toml", DECODER_FIX.encode())
    reparsed = guide.call("quarantine", "reparse", role="data-engineer")
    books = guide.call("ingest", "ledger", role="data-engineer")

    guide.chapter("4. Serving starts before there is a model: the gateway abstains, and records")
    guide.call("feature", "materialize", role="data-engineer")
    started_services = guide.call("serve", "start", "--model", MODEL, role="operator")
    port = next(each["port"] for each in started_services["processes"] if each["name"] == "gateway")
    asked = send(port, MODEL, client_requests(truth, options.devices, options.requests, options.seed), guide.progress)
    guide.say(f"{len(asked.answers):,} questions of clients answered by the fallback and recorded")

    guide.chapter("5. The retrain pipeline: train, judge, sign, and wait for somebody else's approval")
    guide.call("pipeline", "run", MODEL, role="data-scientist", accept=(EXIT_APPROVAL,))
    candidate = _versions(guide, MODEL)[-1]
    guide.say(f"{candidate['id']} waits; the approver reads its card and signs")
    guide.call("model", "approve", candidate["id"], "--reason", "card read, honesty gap within margin", role="approver")

    guide.chapter("6. Shadow, canary, promotion, watch: recorded requests through the running gateway")
    guide.call("pipeline", "run", MODEL, role="data-scientist")

    if options.ett is not None:
        guide.chapter("7. A forecaster on real data: closed-form ridge, and a deep model that must beat it")
        _forecasters(guide)

    guide.chapter("8. A prediction, watched for drift, and verified back to the bytes that came in")
    prediction = _prediction(guide, truth)
    guide.call("serve", "flush", role="operator")
    drift = guide.call("drift", "report", "--model", MODEL, role="data-scientist")
    guide.call("serve", "stop", role="operator")
    verdict = guide.call("verify", prediction["prediction_id"], role="auditor", accept=(0, 3))
    return Summary(
        readings_in=books["came_in"],
        readings_lake=books["accepted"],
        readings_quarantined=books["quarantined"],
        ledger_imbalance=books["imbalance"],
        faults_planted=planted(truth),
        faults_found=found,
        reparsed=reparsed["accepted"],
        models=tuple(
            {
                "id": each["id"],
                "stage": each["stage"],
                "metric": each["metric"]["name"],
                "value": each["metric"]["value"],
                "artifact_id": each["artifact_id"],
            }
            for each in guide.call("model", "list", role="auditor")["versions"]
        ),
        prediction_id=prediction["prediction_id"],
        verified=bool(verdict["verified"]),
        links=len(verdict["links"]),
        drift_alarms=drift["alarms"],
        seconds=round(time.monotonic() - started, 1),
    )


def planted(truth: Truth) -> dict[str, int]:
    """Planted faults in readings, by the names of the truth file."""
    return {
        "milliseconds": truth.milliseconds,
        "duplicate": truth.duplicate,
        "unit": truth.unit,
        "stuck": truth.stuck,
        "impossible": truth.impossible,
        "unknown_measure": truth.unknown_measure,
        "late": truth.late,
        "devices_with_new_firmware": len(truth.devices_ms),
    }


def _faults_found(ingested: Mapping[str, Any]) -> dict[str, int]:
    readings = ingested["readings"]
    refused: Mapping[str, int] = readings["refused"]
    formats = {alarm["subject"] for alarm in ingested["alarms"] if alarm["code"] == "FORMAT"}
    return {
        "milliseconds": refused.get("EVENT_TIME", 0),
        "duplicate": refused.get("DUPLICATE", 0),
        "unit": refused.get("UNIT", 0),
        "stuck": refused.get("STUCK", 0),
        "impossible": refused.get("RANGE", 0),
        "unknown_measure": refused.get("MEASURE", 0),
        "late": readings["late"],
        "devices_with_new_firmware": len(formats),
    }


def _faults_text(truth: Truth, found: Mapping[str, int]) -> str:
    lines = [f"{'fault':<28}{'planted':>10}{'found':>10}"]
    lines += [f"{name:<28}{count:>10,}{found[name]:>10,}" for name, count in planted(truth).items()]
    return "\n".join(lines)


def _forecasters(guide: Guide) -> None:
    for recipe in ("ett_forecast_ridge", "ett_forecast_torch"):
        try:
            trained = guide.call("train", "run", recipe, role="data-scientist")
        except ApplianceError as error:
            guide.say(f"{recipe} is not registered: {error.message}")
            continue
        guide.call("model", "register", trained["package"], "--lineage", trained["lineage"], role="data-scientist")


def _prediction(guide: Guide, truth: Truth) -> Mapping[str, Any]:
    """The first device that the model has an answer for. It abstains for those whose sensors were faulty of late."""
    others = [name for name in device_names(truth.devices) if name not in truth.devices_ms]
    for device in others[:MOST_ASKED]:
        prediction = guide.call("predict", MODEL, device, "--at", truth.end, role="operator")
        if prediction["score"] is not None:
            break
    return prediction


def _versions(guide: Guide, name: str) -> list[Mapping[str, Any]]:
    return list(guide.call("model", "list", "--name", name, role="data-scientist")["versions"])


def _clear(site: Path) -> None:
    if not site.exists() or not any(site.iterdir()):
        return
    if not (site / MARK).is_file():
        raise ApplianceError(codes.NOT_OURS, f"{site} was not made by the demo", where=str(site))
    _stop_programs(site)
    shutil.rmtree(site)


def _stop_programs(folder: Path) -> None:
    """End the gateway, the models and the portal of the site in `folder`, if there is one."""
    if (folder / FILE_NAME).is_file():
        site = open_site(folder)
        Processes(site).stop_all()
        Processes(site, site.portal).stop_all()


def _declare(site: Path) -> None:
    """Copy the declarations that come with the product."""
    root = resources.files("appliance.demo") / "declarations"
    with resources.as_file(root) as folder:
        for path in sorted((*folder.rglob("*.toml"), *folder.rglob("*.yaml"))):
            atomic.write_bytes(site / "declarations" / path.relative_to(folder), path.read_bytes())


def _drop(source: Path, incoming: Path, pattern: str) -> None:
    """Put finished files into the spool by renaming, as a collector does."""
    incoming.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob(pattern)):
        path.rename(incoming / path.name)


def _copy(source: Path, incoming: Path) -> None:
    incoming.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(incoming / source.name, source.read_bytes())
