"""``appliance demo``: the guided run, by the product's own commands."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from appliance.base.clock import parse_rfc3339
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.progress import terminal_progress
from appliance.demo import codes
from appliance.demo.peak_memory import PeakMemory


@command(
    "demo",
    "run",
    roles=("operator",),
    needs_site=False,
    example="appliance demo run --site ./site --seed 7",
)
@click.option("--devices", type=click.IntRange(25, 5000), default=200, show_default=True, help="Transformers.")
@click.option("--days", type=click.IntRange(30, 365), default=90, show_default=True, help="Length of the history.")
@click.option(
    "--end",
    metavar="INSTANT",
    help="End of the history, RFC 3339: 00:00, 08:00 or 16:00 UTC of a day. Default: the last of them.",
)
@click.option("--seed", type=click.IntRange(0), help="Seed of the fleet; drawn and printed when left out.")
@click.option("--requests", type=click.IntRange(1), default=2400, show_default=True, help="Questions of clients.")
@click.option("--ett", type=click.Path(path_type=Path), help="ETTh1.csv; found in the source tree when left out.")
@click.option("--no-ett", is_flag=True, help="Leave the forecaster out.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the site; may be repeated.")
def run(
    call: Call,
    devices: int,
    days: int,
    end: str | None,
    seed: int | None,
    requests: int,
    ett: Path | None,
    no_ett: bool,
    settings: tuple[str, ...],
) -> Result:
    """Run the whole product on a synthetic fleet: from readings to a prediction that is verified offline.

    A site made by an earlier demo is replaced; any other folder is refused.
    """
    from appliance.demo.loopback import ensure_loopback
    from appliance.demo.run import DemoOptions, guided_run

    started = time.monotonic()
    last = _end(end, call.clock.now())
    ensure_loopback()
    options = DemoOptions(
        site=call.site_folder.absolute(),
        devices=devices,
        days=days,
        seed=secrets.randbelow(10**6) if seed is None else seed,
        requests=requests,
        settings=settings,
        ett=None if no_ett else ett or _etth1(),
        end=last,
    )
    with PeakMemory() as peak, terminal_progress(NoProgress() if call.as_json else None) as progress:
        summary = guided_run(Terminal(call, options.site, progress), options)
    data = {
        **{name: getattr(summary, name) for name in summary.__dataclass_fields__},
        "seed": options.seed,
        "seconds": round(time.monotonic() - started, 1),
        "peak_rss_bytes": peak.peak_bytes,
    }
    return Result(data=data, text=_closing(data, call.site_folder), exit_code=0 if summary.verified else 3)


def _end(asked: str | None, now: dt.datetime) -> dt.datetime:
    """The end of the fleet's last period, which is a third of a day."""
    from appliance.demo.run import HOURS_PER_PERIOD

    try:
        given = parse_rfc3339(asked) if asked else now
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--end") from error
    end = given.replace(hour=given.hour // HOURS_PER_PERIOD * HOURS_PER_PERIOD, minute=0, second=0, microsecond=0)
    if asked and (given != end or given > now):
        raise click.BadParameter(f"{asked} is not 00:00, 08:00 or 16:00 of a day up to now", param_hint="--end")
    return end


class Terminal:
    """Runs commands in this process and shows each as it would be typed; implements `demo.run.Guide`."""

    def __init__(self, call: Call, site: Path, progress: Progress) -> None:
        self._call, self._site, self.progress = call, site, progress

    def call(self, *words: str, role: str, accept: tuple[int, ...] = (0,)) -> Mapping[str, Any]:
        from appliance.cli.main import run

        self.say(f"$ appliance {' '.join(words)} --as {role}")
        output = io.StringIO()
        started = time.monotonic()
        with contextlib.redirect_stdout(output):
            code = run([*words, "--site", str(self._site), "--as", role, "--json"])
        self.say(f"  {time.monotonic() - started:.1f} s")
        printed: Mapping[str, Any] = json.loads(output.getvalue().splitlines()[-1]) if output.getvalue() else {}
        if code not in accept:
            error = printed.get("error", {})
            raise ApplianceError(
                codes.STEP_FAILED,
                f"appliance {' '.join(words)} ended with {code}: {error.get('code', '')} {error.get('message', '')}",
                where=error.get("where"),
            )
        return printed

    def say(self, text: str) -> None:
        for line in text.splitlines():
            self._call.say(f"   {line}")

    def chapter(self, title: str) -> None:
        self._call.say(f"\n{title}")


def _etth1() -> Path | None:
    """The file of the source tree; a bundle brings its own copy."""
    path = Path(__file__).parents[2] / "tests" / "data" / "ett" / "ETTh1.csv"
    return path if path.is_file() else None


def _closing(data: Mapping[str, Any], site: Path) -> str:
    lines = ["", "What happened"]
    rows: list[tuple[str, str]] = [
        ("readings in", f"{data['readings_in']:,}"),
        ("  in the lake", f"{data['readings_lake']:,}"),
        ("  in quarantine", f"{data['readings_quarantined']:,}"),
        ("  imbalance", f"{data['ledger_imbalance']:,}"),
        ("  brought in after the fix", f"{data['reparsed']:,}"),
    ]
    rows += [
        (f"planted {name}", f"{count:,}, found {data['faults_found'][name]:,}")
        for name, count in data["faults_planted"].items()
    ]
    rows += [(f"model {each['id']}", f"{each['stage']}, {each['metric']} {each['value']}") for each in data["models"]]
    rows += [
        ("prediction", data["prediction_id"]),
        ("  verified offline", f"{'yes' if data['verified'] else 'NO'}, {data['links']} links"),
        ("drift alarms", str(data["drift_alarms"])),
        ("seconds, peak memory", f"{data['seconds']:.0f} s, {data['peak_rss_bytes'] / 2**30:.2f} GiB"),
        ("seed", str(data["seed"])),
    ]
    lines += [f"  {name:<36}{value}" for name, value in rows]
    lines += [
        "",
        "Try next",
        f"  .venv/bin/appliance verify {data['prediction_id']} --site {site}",
        f"  .venv/bin/appliance reproduce incident_risk --site {site}",
        f"  .venv/bin/appliance portal start --site {site}",
    ]
    return "\n".join(lines)


group = noun("demo", "Run the whole product on a synthetic transformer fleet.", [run])
