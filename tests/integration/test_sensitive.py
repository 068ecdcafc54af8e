"""A planted card number and a planted name are in no file of the site: not after refusals, a kill -9, or an erasure.

By the product's own commands in processes of their own, with their temporary folder watched as well. The control: with
the columns declared to be none, the same search finds both.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.product import ENVIRONMENT, Product, command
from tests.small_site import MEASURES
from tests.unit.ingestion.sensitive.customers import CARD, DECLARED_NONE, MAPPING, NAME, ROWS, UNDECLARED, csv, jsonl
from tests.unit.ingestion.sensitive.scan import leaks

pytestmark = pytest.mark.integration
PLANTED = [text for row in ROWS for text in row[1:3]]
BIG = [(f"c-{number}", NAME, CARD, str(number % 900)) for number in range(5_000)]


@pytest.fixture
def product(tmp_path: Path) -> Product:
    made = Product(tmp_path / "site")
    made.do("site", "init")
    declarations = made.folder / "declarations"
    (declarations / "drops").mkdir(parents=True, exist_ok=True)
    (declarations / "measures.toml").write_text(MEASURES)
    return made


def drop(product: Product, mapping: str, name: str, data: bytes) -> None:
    incoming = product.folder / "spool/drops" / mapping / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    (incoming / name).write_bytes(data)


def declare(product: Product, name: str, text: str) -> None:
    (product.folder / "declarations/drops" / f"{name}.toml").write_text(text)


def kill_in_the_middle(product: Product, temporary: Path, rng: random.Random) -> None:
    """Kill -9 a run that has claimed its files."""
    running = subprocess.Popen(
        command("ingest", "run", "--site", product.folder, "--as", "operator", "--json"),
        env={**ENVIRONMENT, "TMPDIR": str(temporary)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log = product.folder / "spool/drops/customers/log"
    deadline = time.monotonic() + 120
    while not (log.is_dir() and any(log.iterdir())):
        assert time.monotonic() < deadline
        assert running.poll() is None, "the run ended before anything was claimed"
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 1.5))
    running.kill()
    assert running.wait() == -9, "the run ended before it was killed"


def test_a_card_number_and_a_name_are_in_no_file(product: Product, tmp_path: Path, seed: int) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    declare(product, "customers", MAPPING.replace("FORMAT", "csv"))
    declare(product, "lines", MAPPING.replace("FORMAT", "jsonl").replace("silver.customers", "silver.lines"))
    declare(product, "waiting", UNDECLARED.replace("FORMAT", "csv").replace("silver.customers", "silver.waiting"))
    for number in range(3):
        drop(product, "customers", f"{number}.csv", csv(BIG[number:] + ROWS))
    drop(product, "customers", "ragged.csv", csv(extra=f"2026-01-09,c-2,{NAME},too few\n"))
    drop(product, "customers", "no-header.csv", csv().partition(b"\n")[2])
    drop(product, "customers", "other.txt", csv())
    drop(product, "lines", "a.jsonl", jsonl() + f'{{"t":"2026-01-01","name":"{NAME}"'.encode())
    drop(product, "waiting", "a.csv", csv())
    readings = product.folder / "spool/readings/incoming"  # where what cannot be decoded is sealed, whatever it holds
    readings.mkdir(parents=True, exist_ok=True)
    (readings / "noise.avro").write_bytes(csv())
    kill_in_the_middle(product, temporary, random.Random(seed))
    product.do("ingest", "run", role="operator")
    refused = (product.folder / "spool/drops").glob("*/refused/*.reason.json")  # by this run, or by the killed one
    assert [path.name.partition("-")[2] for path in refused] == ["other.txt.reason.json"]
    assert product.do("quarantine", "letters")["found"] == 1
    assert leaks(product.folder, *PLANTED) == []
    assert leaks(temporary, *PLANTED) == []

    tables = {"silver.customers": 3 * 5_000 - 3 + 4 * 3, "silver.lines": 3, "silver.waiting": 0}
    listed = {each["table"]: each["rows"] for each in product.do("table", "list")["tables"]}
    assert {name: listed[name] for name in tables} == tables
    shown = json.dumps(product.do("table", "show", "silver.customers", "--limit", 10_000))
    assert not any(text in shown for text in PLANTED)

    reason = ("--reason", "erasure request 17")
    assert product.run("subject", "erase", "c-1", *reason, role="data-engineer").code == 5
    product.do("subject", "approve", "c-1", *reason, role="approver")
    product.do("subject", "erase", "c-1", *reason, role="data-engineer")
    rows = product.do("subject", "show", "c-1", *reason, role="data-engineer")["tables"]["silver.customers"]
    assert {(row["name"], row["card"]) for row in rows} == {("<erased>", "<erased>")}
    head = product.do("table", "history", "silver.customers")["commits"][-1]["lineage_id"]
    product.do("verify", head)
    assert leaks(product.folder, *PLANTED) == []

    # What waited is taken when the mapping says what its columns are: here, that they are nothing.
    declare(product, "waiting", DECLARED_NONE.replace("FORMAT", "csv").replace("silver.customers", "silver.waiting"))
    assert product.do("ingest", "run", role="operator")["drops"]["accepted"] == 3
    found = leaks(product.folder, CARD)
    assert found
    assert all(each.startswith(("lake/silver/waiting/", "objects/", "lake/quarantine/")) for each in found)
