"""``python -m appliance.portal --site FOLDER``: the portal process, on loopback."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

import uvicorn

from appliance.base import log
from appliance.base.clock import SystemClock
from appliance.config.site import open_site
from appliance.portal.app import Portal
from appliance.portal.pages.reading import read
from appliance.portal.view import PortalData


def main() -> None:
    parser = argparse.ArgumentParser(prog="appliance.portal", description=__doc__)
    parser.add_argument("--site", required=True, type=Path)
    site = open_site(parser.parse_args().site)
    log.configure(path=site.logs / "portal.jsonl", level=site.settings.log.level)
    data = PortalData(site, SystemClock())
    # The first page should not wait for what is counted once per set of snapshots.
    threading.Thread(target=lambda: read("the ledger", data.books), daemon=True).start()
    uvicorn.run(
        Portal(data).application,
        host="127.0.0.1",
        port=site.settings.portal.port,
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
