"""``appliance portal``: the local web pages."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from appliance.cli.command import Call, Result, command, noun

if TYPE_CHECKING:
    from appliance.serving.processes import Processes, ProcessRecord

NAME = "portal"


@command("portal", "start", changes="portal.start", roles=("operator",), example="appliance portal start --site ./site")
def start(call: Call) -> Result:
    """Start the web pages on loopback; safe to run again.

    The pages only show. From another machine: ssh -L 8480:127.0.0.1:8480 HOST
    """
    port = call.site.settings.portal.port
    record = _processes(call).start_program(
        NAME,
        [sys.executable, "-m", "appliance.portal", "--site", str(call.site.folder)],
        port=port,
        setting="portal.port",
    )
    url = f"http://127.0.0.1:{record.port}/"
    return Result(data={"url": url, **_shown(record)}, text=f"The portal answers at {url}")


@command("portal", "stop", changes="portal.stop", roles=("operator",), example="appliance portal stop --site ./site")
def stop(call: Call) -> Result:
    """Stop the web pages."""
    stopped = _processes(call).stop(NAME)
    return Result(data={"stopped": stopped}, text="The portal has stopped" if stopped else "The portal did not run")


@command("portal", "status", example="appliance portal status --site ./site")
def status(call: Call) -> Result:
    """Show whether the web pages run, and where."""
    record = _processes(call).running(NAME)
    if record is None:
        return Result(data={"running": False}, text="The portal does not run. Start it: appliance portal start")
    url = f"http://127.0.0.1:{record.port}/"
    return Result(
        data={"running": True, "url": url, **_shown(record)}, text=f"The portal answers at {url}  pid {record.pid}"
    )


def _processes(call: Call) -> Processes:
    from appliance.serving.processes import Processes

    return Processes(call.site, call.site.portal)


def _shown(record: ProcessRecord) -> dict[str, object]:
    return {"pid": record.pid, "port": record.port, "log": record.log}


group = noun("portal", "Start, stop and look up the local web pages.", [start, stop, status])
