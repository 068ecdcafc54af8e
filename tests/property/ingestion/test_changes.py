"""The table of rows holds what the source holds, however changes are parted into batches and wherever a run ends."""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.base.clock import from_us
from appliance.base.errors import ApplianceError
from appliance.ingestion.changes.event import Reader
from appliance.ingestion.changes.fold import Taken, fold
from appliance.ingestion.changes.landing import ChangeLanding, runs_of
from tests.change_events import FIELDS, MICROSECOND, event
from tests.small_site import SmallSite

SOURCE = "kafka:changes.register.public.t:0"
WIDER = ({"type": "int64", "optional": False, "field": "id"}, FIELDS[1])
MORE = (*WIDER, {"type": "boolean", "optional": True, "field": "on"})

KEYS = st.integers(1, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.sampled_from("abc")),
        st.tuples(st.just("remove"), KEYS, st.none()),
        st.tuples(st.just("move"), KEYS, KEYS),
        st.tuples(st.just("read"), KEYS, st.none()),
        st.tuples(st.just("truncate"), st.none(), st.none()),
        st.tuples(st.just("alter"), st.none(), st.none()),
    ),
    min_size=1,
    max_size=25,
)


def history(steps):
    """What a source does: the records that tell it, and the rows that it ends with."""
    rows, records, forms = {}, [], [FIELDS, WIDER, MORE]

    def tell(operation, before=None, after=None):
        records.append(event(operation, before, after, fields=forms[0], lsn=len(records) + 1))

    for verb, one, two in steps:
        if verb == "put":
            before, rows[one] = rows.get(one), {"id": one, "name": two}
            tell("c" if before is None else "u", before, rows[one])
        elif verb == "remove" and one in rows:
            tell("d", before=rows.pop(one))
        elif verb == "move" and one in rows and two not in rows:  # a key that changes is told as two changes
            tell("d", before=rows[one])
            rows[two] = {**rows.pop(one), "id": two}
            tell("c", after=rows[two])
        elif verb == "read" and one in rows:
            tell("r", after=rows[one])
        elif verb == "truncate":
            rows.clear()
            tell("t")
        elif verb == "alter" and len(forms) > 1:
            forms.pop(0)
    return records, rows


def read(records):
    reader = Reader()
    found = []
    for position, record in enumerate(records):
        table, change = reader.read(*record)
        taken = Taken(change=change, source=SOURCE, position=position, arrived_at=from_us(MICROSECOND))
        found.append((table, taken))
    return found


@given(steps=STEPS, cuts=st.sets(st.integers(0, 60)))
def test_batches_fold_to_the_rows_of_the_source(steps, cuts):
    records, rows = history(steps)
    taken = [each for _, each in read(records)]
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < len(taken)), len(taken)]
    held = {}
    for start, end in itertools.pairwise(bounds):
        folded = fold(taken[start:end])
        gone = held.keys() if folded.gone is None else set(folded.gone)
        held = {key: row for key, row in held.items() if key not in gone}
        # A column that was added meanwhile is in the row of a change, and not in the history's.
        held |= {each.change.key: {name: each.change.row[name] for name in ("id", "name")} for each in folded.rows}
    assert held == {(key,): row for key, row in rows.items()}


@given(steps=STEPS, cuts=st.sets(st.integers(0, 60)))
def test_runs_cover_what_was_read_and_part_where_the_table_changes(steps, cuts):
    found = read(history(steps)[0])
    if not found:
        return
    runs = runs_of(SOURCE, 0, len(found) + 1, found)
    assert [each for run in runs for each in run.taken] == [taken for _, taken in found]
    assert next((run.batch.start, run.batch.end) for run in runs)[0] == 0
    assert runs[-1].batch.end == len(found) + 1
    assert all(one.batch.end == other.batch.start for one, other in itertools.pairwise(runs))
    forms = {position: table.columns for position, (table, _) in enumerate(found)}
    assert all(forms[each.position] == run.table.columns for run in runs for each in run.taken)


class EndsBetweenTables(Exception):  # noqa: N818 - what a crash is in this test
    pass


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, cuts=st.sets(st.integers(1, 25)), ends=st.sets(st.integers(0, 8)))
def test_the_lake_follows_the_source_through_crashes(tmp_path_factory, steps, cuts, ends):
    records, rows = history(steps)
    found = read(records)
    site = SmallSite(tmp_path_factory.mktemp("site"))
    landing = ChangeLanding(site.lake, "t")
    merge, calls = site.lake.merge, iter(range(10_000))

    def sometimes(*arguments, **options):
        if next(calls) in ends:
            raise EndsBetweenTables
        return merge(*arguments, **options)

    site.lake.merge = sometimes
    bounds = [*sorted(cut for cut in cuts if cut < len(found)), len(found)]
    while (start := landing.restart_point(SOURCE)) < len(found):
        end = next(each for each in bounds if each > start)
        try:
            for run in runs_of(SOURCE, start, end, found[start:end]):
                landing.commit(run)
        except EndsBetweenTables:
            landing = ChangeLanding(site.lake, "t")
    if not found:
        return
    held = [{name: row.get(name) for name in ("id", "name")} for row in site.lake.scan("silver.t").to_pylist()]
    assert sorted(held, key=lambda row: row["id"]) == [rows[key] for key in sorted(rows)]
    told = sorted(site.lake.scan("bronze.t").to_pylist(), key=lambda row: row["_position"])
    assert [row["_position"] for row in told] == list(range(len(found)))
    assert [row["_lsn"] for row in told] == [each.change.lsn for _, each in found]


def code_of(key, value):
    """The code that a record is refused with; empty where it is read."""
    try:
        Reader().read(key, value)
    except ApplianceError as error:
        return error.code.id
    return ""


@given(key=st.none() | st.binary(max_size=60), value=st.binary(max_size=200) | st.none())
def test_bytes_of_any_kind_are_read_or_refused(key, value):
    assert code_of(key, value) in {"", "APL-CHANGE-008"}


@given(steps=STEPS, data=st.data())
def test_records_with_a_damaged_place_are_read_or_refused(steps, data):
    records, _ = history(steps)
    if not records:
        return
    key, value = data.draw(st.sampled_from(records))
    place = data.draw(st.integers(0, len(value) - 1))
    damaged = value[:place] + data.draw(st.binary(max_size=3)) + value[place + 1 :]
    assert code_of(key, damaged) in {"", "APL-CHANGE-008", "APL-CHANGE-009", "APL-CHANGE-012"}
