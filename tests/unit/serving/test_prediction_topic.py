"""Predictions through a topic: once each, whatever lies in it, and what does not belong there is refused."""

import msgspec
import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.segment import unpack
from appliance.serving import prediction_table
from appliance.serving.prediction_records import records_of
from appliance.storage import names
from tests.portal_site import prediction
from tests.prediction_site import PredictionSite

TOPIC = "predictions"
LINE = msgspec.json.encode(prediction(0, ""))


@pytest.fixture
def site(tmp_path, monkeypatch):
    return PredictionSite(tmp_path / "site", monkeypatch)


def positions(site):
    return site.lake.head(names.PREDICTIONS).properties["appliance.positions"]


def test_segments_go_through_the_topic_and_both_sources_step_together(site):
    site.answer(3)
    site.answer(2)
    assert site.flush(TOPIC) == 5
    assert positions(site) == '{"kafka:predictions:0":6,"spool:predictions":2}'
    site.check_each_is_there_once()
    assert [each.headers for each in site.partition(TOPIC).records][2:4] == [
        (("segment", b"1"), ("line", b"3"), ("lines", b"3")),
        (("segment", b"2"), ("line", b"1")),
    ]


def test_a_second_flush_takes_nothing_and_makes_no_commit(site):
    site.answer(3)
    site.flush(TOPIC)
    commits, end = len(site.lake.commits(names.PREDICTIONS)), site.partition(TOPIC).end
    assert site.flush(TOPIC) == 0
    assert (len(site.lake.commits(names.PREDICTIONS)), site.partition(TOPIC).end) == (commits, end)


def test_what_was_sent_twice_is_taken_once(site):
    for count in (3, 1, 4):
        site.answer(count)
        site.flush(TOPIC)
    site.answer(2)
    site.topic(TOPIC).send(0)  # all four once more
    assert site.flush(TOPIC) == 2
    site.check_each_is_there_once()


def test_a_segment_without_a_record_goes_through_too(site):
    site.answer(1)
    site.torn()
    site.answer(2)
    assert site.flush(TOPIC) == 3
    site.torn()
    assert site.flush(TOPIC) == 0
    assert '"spool:predictions":4' in positions(site)
    site.check_each_is_there_once()


def test_a_commit_holds_few_segments_and_its_bytes_are_a_raw_object(site, monkeypatch):
    monkeypatch.setattr(prediction_table, "MAX_BYTES", 2 * len(LINE))
    for _ in range(5):
        site.answer(1)
    assert site.flush(TOPIC) == 5
    commits = site.lake.commits(names.PREDICTIONS)
    assert sorted(each.rows for each in commits) == [1, 2, 2]
    values = []
    for commit in commits:
        (raw,) = (each for each in site.lineage.walk(commit.lineage_id) if each.kind == "raw" and
                  each.id in site.lineage.load(commit.lineage_id).inputs)  # fmt: skip
        (file,) = raw.files
        data = (site.folder / file.path).read_bytes()
        values += [each["value"] for each in unpack(data).records.to_pylist()]
    assert sorted(values) == sorted(msgspec.json.encode(prediction(number, "")) for number in range(5))


def test_the_way_may_be_changed_at_any_time(site):
    for topic in (None, TOPIC, None, TOPIC, TOPIC, "another", None, "another", TOPIC):
        site.answer(2)
        assert site.flush(topic) == 2
    site.check_each_is_there_once()


def test_what_was_sent_and_not_taken_is_taken_from_the_files_when_the_topic_is_switched_off(site):
    site.answer(3)
    site.topic(TOPIC).send(0)
    assert site.flush() == 3
    site.answer(1)
    assert site.flush(TOPIC) == 1
    site.check_each_is_there_once()


def test_a_flush_from_the_files_at_the_same_time_doubles_nothing(site, monkeypatch):
    """The setting was emptied while a flush through the topic ran: between its reading and its commit."""
    site.answer(2)
    site.answer(1)
    put = site.objects.put

    def put_late(data):
        monkeypatch.setattr(site.objects, "put", put)
        assert site.flush() == 3
        return put(data)

    monkeypatch.setattr(site.objects, "put", put_late)
    with pytest.raises(ApplianceError, match="APL-STORAGE-001"):
        site.flush(TOPIC)
    assert site.flush(TOPIC) == 0
    site.check_each_is_there_once()


def test_segments_that_came_by_the_files_after_they_were_read_are_not_taken_again(site, monkeypatch):
    for _ in range(4):
        site.answer(1)
    site.topic(TOPIC).send(0)
    read = site.partition(TOPIC).read

    def read_and_wait(start):
        yield from read(start)
        assert site.flush() == 4

    monkeypatch.setattr(site.partition(TOPIC), "read", read_and_wait)
    with pytest.raises(ApplianceError, match="APL-INGEST-002"):
        site.flush(TOPIC)
    monkeypatch.undo()
    site.check_each_is_there_once()


WRONG_HINTS = {"lost": None, "too small": b"1", "too large": b"99", "no number": b"\xff", "negative": b"-3"}


@pytest.mark.parametrize("hint", WRONG_HINTS)
def test_a_wrong_hint_is_harmless(site, hint):
    site.answer(2)
    site.answer(2)
    site.flush(TOPIC)
    site.answer(2)
    path = site.log_folder / "sent" / f"{TOPIC}.txt"
    path.unlink()
    if WRONG_HINTS[hint] is not None:
        path.write_bytes(WRONG_HINTS[hint])
    assert site.flush(TOPIC) == 2
    site.check_each_is_there_once()


def test_a_topic_that_lost_what_was_sent_gets_it_again(site):
    site.answer(2)
    site.flush(TOPIC)
    site.answer(3)
    site.topic(TOPIC).send(1)
    site.partition(TOPIC).forget(10**6)
    assert site.flush(TOPIC) == 3
    site.check_each_is_there_once()


def test_a_topic_that_lost_a_part_is_refused_and_the_files_have_it(site):
    site.answer(2)
    site.answer(3)
    site.topic(TOPIC).send(0)
    site.partition(TOPIC).forget(3)
    with pytest.raises(ApplianceError, match="expected segment 1 line 1, got segment 2 line 1") as refused:
        site.flush(TOPIC)
    assert refused.value.code.id == "APL-SERVE-010"
    assert site.taken() == []
    site.flush()
    assert site.flush(TOPIC) == 0
    site.check_each_is_there_once()


def headers(**changes):
    given = {"segment": b"1", "line": b"1", "lines": b"1", **changes}
    return tuple((key, value) for key, value in given.items() if value is not None)


FOREIGN = {
    "no headers": ((LINE, ()), "headers"),
    "no number of the segment": ((LINE, headers(segment=None)), "headers"),
    "segment 0": ((LINE, headers(segment=b"0")), "headers"),
    "not a number": ((LINE, headers(line=b"one")), "headers"),
    "a sign": ((LINE, headers(segment=b"+1")), "headers"),
    "a very long number": ((LINE, headers(segment=b"1" * 5000)), "headers"),
    "a header more": ((LINE, headers(trace=b"1")), "headers"),
    "another number of lines": ((LINE, headers(lines=b"2")), "headers"),
    "no value": ((None, headers()), "headers"),
    "a value in line 0": ((LINE, headers(line=b"0", lines=b"0")), "headers"),
    "line 0 that does not end": ((None, headers(line=b"0", lines=None)), "headers"),
    "not JSON": ((b"\x00\x00\x00\x00\x01", headers()), "malformed"),
    "a field is missing": ((LINE.replace(b'"arm":"live",', b""), headers()), "arm"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_record_is_refused_with_its_offset_and_nothing_behind_it_is_taken(site, name):
    (value, given), said = FOREIGN[name]
    site.answer(2)
    site.flush(TOPIC)
    partition = site.partition(TOPIC)
    given = tuple((key, b"2" if (key, found) == ("segment", b"1") else found) for key, found in given)
    partition.put(b"tx-1", value, given)
    site.answer(1)
    with pytest.raises(ApplianceError, match=f"offset 3: .*{said}") as refused:
        site.flush(TOPIC)
    assert refused.value.code.id == "APL-SERVE-009"
    assert len(site.taken()) == 2
    assert site.flush("another") == 1, "the way that the message names"
    site.check_each_is_there_once()


def test_a_prediction_that_the_gateway_did_not_make_is_refused(site):
    """Well made, and with the next number: only the gateway's file tells."""
    forged = prediction(7, "")
    site.answer(1)
    site.flush(TOPIC)
    site.partition(TOPIC).send(records_of(2, [(msgspec.json.encode(forged), forged)]))
    with pytest.raises(ApplianceError, match=r"APL-SERVE-009: .*segment 2 from offset 2: the gateway has no"):
        site.flush(TOPIC)
    site.answer(1)
    with pytest.raises(ApplianceError, match=r"APL-SERVE-009: .*segment 2 from offset 2: the gateway wrote"):
        site.flush(TOPIC)
    assert len(site.taken()) == 1
    assert site.flush("another") == 1
    site.check_each_is_there_once()


SKIPS = {
    "a segment": (2, records_of(4, [(LINE, prediction(0, ""))])),
    "the first line": (2, records_of(3, [(LINE, prediction(0, ""))] * 2)[1:]),
    "a line": (2, [each for place, each in enumerate(records_of(3, [(LINE, prediction(0, ""))] * 3)) if place != 1]),
}


@pytest.mark.parametrize("name", SKIPS)
def test_a_gap_is_refused_and_nothing_is_taken(site, name):
    segments, records = SKIPS[name]
    for _ in range(segments):
        site.answer(1)
    site.flush(TOPIC)
    site.partition(TOPIC).send(records)
    before = positions(site)
    with pytest.raises(ApplianceError, match=r"APL-SERVE-010: .*expected segment 3"):
        site.flush(TOPIC)
    assert (positions(site), len(site.taken())) == (before, segments)
