"""What a source's tables hold is in the lake, row for row, whatever happens to them."""

import decimal
import json
import random
import uuid

import pytest

from appliance.deploy.servers import connect as connect_server
from appliance.deploy.servers.https import ask
from tests.integration.changes.conftest import until
from tests.integration.kill_counts import KILLS

pytestmark = pytest.mark.integration

FLEET = """
INSERT INTO transformers
SELECT n, 'T' || n, n * 1.5, '2020-01-01'::date + n, '2026-03-01T12:00:00.25+02:00', '2026-03-01 12:00:00.125',
    '12:30:00.000001', n %% 2 = 0, 3, n * 0.5, gen_random_uuid(), '{"a": 1}', 'abc', ARRAY[n, null, 2], n * 1.123456789
FROM generate_series(%s::int, %s::int) n
"""


def as_lake(row):
    """A row of the source as the lake has it: what has no type of its own there is text."""
    texts = {uuid.UUID: str, dict: json.dumps}
    found = {name: texts.get(type(value), lambda same: same)(value) for name, value in row.items()}
    return with_price(found)


def with_price(row):
    """The row with a number for the text that a `numeric` without precision is in the lake."""
    return {**row, "price": row["price"] and decimal.Decimal(row["price"])} if "price" in row else row


def check_equal(site, register, tables=("transformers", "links")):
    for table in tables:
        found = [with_price(row) for row in site.rows(table)]
        assert found == [as_lake(row) for row in register.rows(table)], table


def caught_up(site, register, table, count):
    """Run until so many changes of a table are in the lake."""

    def there():
        site.do("run")
        return f"bronze.{table}" in site.lake().tables() and len(site.changes(table)) >= count

    until(there)


def test_rows_that_are_there_and_every_change_after_them(site, register):
    register.do(FLEET, 1, 250)
    register.do("INSERT INTO links VALUES ('north', 1, 0.5), ('south', 1, 0.5)")
    assert site.do("add")["snapshot_of"] == ["public.transformers", "public.links"]
    caught_up(site, register, "transformers", 250)
    caught_up(site, register, "links", 2)
    check_equal(site, register)
    register.do("UPDATE transformers SET name = 'moved', rating = null WHERE id <= 10")
    register.do("DELETE FROM transformers WHERE id BETWEEN 11 AND 20")
    register.do("UPDATE transformers SET id = id + 1000 WHERE id BETWEEN 21 AND 25")  # told as five and five changes
    register.do("UPDATE links SET share = 'Infinity' WHERE feeder = 'north'")
    caught_up(site, register, "transformers", 250 + 10 + 10 + 10)
    caught_up(site, register, "links", 3)
    check_equal(site, register)
    told = [row["_operation"] for row in site.changes("transformers")]
    assert {name: told.count(name) for name in set(told)} == {"snapshot": 250, "update": 10, "delete": 15, "create": 5}
    assert site.do("add")["snapshot_of"] == []  # done again: nothing changes
    register.do("TRUNCATE links")
    caught_up(site, register, "links", 4)
    assert site.rows("links") == []
    status = site.do("status")
    assert (status["state"], status["gap"], status["snapshot"]) == ("running", "", False)
    shown = site.product.do("connector", "list")["connectors"]
    assert [(each["name"], each["kind"], each["state"]) for each in shown] == [(site.connector, "changes", "running")]


def test_random_changes_with_kills_of_connect_and_of_the_worker(site, register, servers, seed, record_property):
    """Every change once: as many as the source made, and the rows that it has."""
    rng = random.Random(seed)
    register.do(FLEET, 1, 50)
    site.do("add")
    caught_up(site, register, "transformers", 50)
    made, alive, kills = 0, set(range(1, 51)), 0
    for number in range(100 * (KILLS["connect"] + 1)):
        verb = rng.choice(["insert", "update", "update", "delete"])
        if verb == "insert" or not alive:
            register.do(FLEET, 100 + number, 100 + number)
            alive.add(100 + number)
        elif verb == "update":
            register.do("UPDATE transformers SET name = %s WHERE id = %s", f"n{number}", rng.choice(sorted(alive)))
        else:
            gone = rng.choice(sorted(alive))
            register.do("DELETE FROM transformers WHERE id = %s", gone)
            alive.remove(gone)
        made += 1
        if number and number % 100 == 0:
            servers.kill("connect")
            kills += 1
        if number % 60 == 30:
            worker = site.start("run", "--seconds", "60")
            until(lambda worker=worker: worker.poll() is not None or rng.random() < 0.3)
            worker.kill()
            worker.communicate()
    until(lambda: servers.ready("connect"), seconds=120)
    caught_up(site, register, "transformers", 50 + made)
    check_equal(site, register, ["transformers"])
    told = site.changes("transformers")
    assert (len(told), kills) == (50 + made, KILLS["connect"]), f"seed {seed}"
    record_property("changes made", made)
    record_property("changes taken", len(told))
    assert len({(row["_source"], row["_position"]) for row in told}) == len(told)


def test_a_snapshot_goes_on_where_connect_was_killed(site, register, servers):
    rows, step = 6_000, 10
    register.do(FLEET, 1, rows)
    site.declare(chunk_rows=step)
    site.do("add")
    until(lambda: site.status().snapshot)
    servers.kill("connect")
    register.do("UPDATE transformers SET name = 'meanwhile' WHERE id % 100 = 0")
    site.do("run")
    before = len(site.changes("transformers"))
    until(lambda: servers.ready("connect"), seconds=120)
    until(lambda: site.status().state == "running")
    until(lambda: not site.status().snapshot, seconds=180)
    caught_up(site, register, "transformers", rows)
    check_equal(site, register, ["transformers"])
    read = [row["id"] for row in site.changes("transformers") if row["_operation"] == "snapshot"]
    assert 0 < before < rows
    assert len(read) - len(set(read)) <= step  # at most the step that was under way was read again


def test_the_lake_follows_new_and_wider_columns_and_stops_before_others(site, register):
    register.do(FLEET, 1, 3)
    site.do("add")
    caught_up(site, register, "transformers", 3)
    register.do("ALTER TABLE transformers ADD COLUMN owner text, ALTER COLUMN phases TYPE bigint")
    register.do("UPDATE transformers SET owner = 'utility', phases = 4294967296 WHERE id = 1")
    caught_up(site, register, "transformers", 4)
    assert [(row["id"], row["owner"], row["phases"]) for row in site.rows("transformers")] == [
        (1, "utility", 2**32), (2, None, 3), (3, None, 3),
    ]  # fmt: skip
    register.do("ALTER TABLE transformers DROP COLUMN owner")
    register.do("UPDATE transformers SET name = 'x' WHERE id = 2")
    caught_up(site, register, "transformers", 5)
    register.do("UPDATE transformers SET name = 'before' WHERE id = 3")
    register.do("ALTER TABLE transformers ALTER COLUMN rating TYPE text")
    register.do("UPDATE transformers SET name = 'behind' WHERE id = 3")
    until(lambda: site.product.run("connector", "run", site.connector, role="data-engineer").code != 0)
    refused = site.fail("run")
    assert refused.error["code"] == "APL-CHANGE-010"
    assert "column rating was decimal128(9, 3) and is string" in refused.error["message"]
    assert site.rows("transformers")[2]["name"] == "before"  # what lies before it is taken
    site.declare(excluded='["public.transformers.rating"]')
    site.do("add")
    caught_up(site, register, "transformers", 7)
    assert site.rows("transformers")[2]["name"] == "behind"


def test_a_table_that_is_declared_later_is_read_from_its_start(site, register):
    site.tables = {"public.transformers": "transformers"}
    site.declare()
    register.do("INSERT INTO links VALUES ('north', 1, 0.5)")
    assert site.do("add")["snapshot_of"] == ["public.transformers"]
    site.tables["public.links"] = "links"
    site.declare()
    assert site.do("add")["snapshot_of"] == ["public.links"]
    caught_up(site, register, "links", 1)
    check_equal(site, register, ["links"])


def test_paused_changes_wait_at_the_source(site, register):
    site.do("add")
    site.do("pause")
    until(lambda: site.status().state == "paused")
    register.do(FLEET, 1, 5)
    site.do("run")
    assert "silver.transformers" not in site.lake().tables()
    site.do("resume")
    caught_up(site, register, "transformers", 5)
    site.do("restart", "--snapshot")
    caught_up(site, register, "transformers", 10)
    check_equal(site, register, ["transformers"])


def test_a_slot_that_was_made_anew_is_a_gap(site, register, servers):
    """Debezium stops, the alarm names what was lost, and no command goes on as if nothing were."""
    register.do(FLEET, 1, 5)
    site.do("add")
    caught_up(site, register, "transformers", 5)
    site.do("pause")
    until(lambda: site.status().state == "paused")
    slot = "appliance_" + register.name
    until(
        lambda: register.do("SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot).fetchone() == (False,)
    )
    register.do("SELECT pg_drop_replication_slot(%s)", slot)
    register.do("DELETE FROM transformers WHERE id = 1")  # nobody will ever tell of it
    for verb in ("resume", "restart", "add"):
        refused = site.fail(verb)
        assert (refused.error["code"], "the slot is gone" in refused.error["message"]) == ("APL-CHANGE-011", True), verb
    ask(
        servers.place, connect_server.NAME, f"/connectors/{site.connector}/resume", method="PUT", client=True
    )  # by hand
    until(lambda: site.status().state == "failed")  # Debezium itself stops, too
    register.do("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    register.do(FLEET, 6, 6)
    ended = site.product.run("connector", "status", site.connector)
    assert (ended.code, "the slot begins at" in ended.printed["gap"]) == (1, True)
    assert site.fail("run").error["code"] == "APL-CHANGE-011"
    assert [row["id"] for row in site.rows("transformers")] == [1, 2, 3, 4, 5]
    alarms = [json.loads(line) for line in (site.product.folder / "alerts" / "alerts.jsonl").read_text().splitlines()]
    assert [each["subject"] for each in alarms if each["code"] == "LSN_GAP"] == [site.connector]
    site.do("remove", "--yes")
    assert site.do("status")["state"] == "not added"
    assert register.do("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", slot).fetchone() == (0,)
