"""`ingest topic` of a site whose data are on servers, and what it ended with, for tests that harm what it rests on."""

import json
import subprocess

from tests.product import ENVIRONMENT, command


def sink(product, prefix=()):
    """`ingest topic`, running on."""
    return subprocess.Popen(
        [*prefix, *command("ingest", "topic", "--site", product.folder, "--as", "data-engineer", "--json")],
        cwd=product.folder.parent, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(running, seconds=60.0):
    """The error that a sink ended with by itself; none: it runs on."""
    try:
        out, said = running.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    assert b"Traceback" not in said, said.decode()[-3000:]
    return json.loads(out.decode().splitlines()[-1])["error"]


def count_of(site):
    """Records that were taken."""
    return len(site.lake.scan("raw.records", columns=("position",))) if "raw.records" in site.lake.tables() else 0


def records_of(site):
    return site.rows("raw.records", ("source", "position")) if "raw.records" in site.lake.tables() else []
