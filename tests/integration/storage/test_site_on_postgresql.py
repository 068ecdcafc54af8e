"""A site whose catalog is on PostgreSQL takes readings as any other, also while the database is killed."""

import json
import random
import subprocess
import time

import pytest

from appliance.deploy.servers import postgresql
from tests.integration.product import ENVIRONMENT, Product, command
from tests.integration.storage.killing import gone, kill, running_pid
from tests.small_site import MEASURES, avro, readings, record

pytestmark = pytest.mark.integration

KILLS, FILES = 2, 12


@pytest.fixture
def product(tmp_path, site):
    site.up("postgresql")
    with postgresql.connect(site.place, database="lake") as connection:
        connection.execute("DROP OWNED BY lake")
    made = Product(tmp_path / "site")
    settings = {
        "storage.catalog": f"postgresql://lake@{site.place.address('postgresql')}/lake",
        "storage.catalog_password_file": site.place.secret_file("postgresql-lake"),
        "storage.catalog_ca_file": site.place.authority,
        "ingest.commit_rows": 20,
    }
    made.do("site", "init", *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")))
    (made.folder / "declarations" / "measures.toml").write_text(MEASURES)
    incoming = made.folder / "spool" / "readings" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        (incoming / f"{number}.avro").write_bytes(avro(record("tx-1", number, readings(10, first=number * 10))))
    return made


def test_readings_are_once_in_the_lake_though_the_database_is_killed(product, site, seed):
    rng = random.Random(seed)
    codes = set()
    for _ in range(KILLS):
        running = subprocess.Popen(
            command("ingest", "run", "--site", product.folder, "--as", "data-engineer", "--json"),
            cwd=product.folder.parent, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        time.sleep(rng.uniform(1.0, 4.0))
        pid = running_pid(site, "postgresql")
        kill(pid)
        out, _ = running.communicate(timeout=120)
        if running.returncode:
            codes.add(json.loads(out.decode().splitlines()[-1])["error"]["code"])
        gone(pid, site, "postgresql")
    assert codes <= {"APL-STORAGE-003"}, f"seed {seed}"
    product.do("ingest", "run", role="data-engineer")
    found = product.do("ingest", "ledger")
    assert (found["came_in"], found["accepted"], found["imbalance"]) == (FILES * 10, FILES * 10, 0), f"seed {seed}"
    tables = {each["table"]: each["rows"] for each in product.do("table", "list")["tables"]}
    assert tables["silver.readings"] == FILES * 10
    assert not (product.folder / "lake" / "catalog.db").exists()
    assert "appliance_ledger_imbalance_readings 0.0" in product.do("site", "metrics")["metrics"]


def test_a_database_that_is_away_is_told_with_its_code(product, site):
    site.down("postgresql")
    try:
        began = time.monotonic()
        refused = product.run("table", "list")
        assert (refused.code, refused.error["code"]) == (1, "APL-STORAGE-003")
        assert time.monotonic() - began < 5 + START_S
    finally:
        site.up("postgresql")


START_S = 5.0  # of the command itself, on a machine that does other things
