"""The pure parts of serving: request contract, split, breaker, routes, prediction log."""

import datetime as dt
import os

import msgspec
import pytest

from appliance.base.errors import ApplianceError
from appliance.serving import prediction_log
from appliance.serving.breaker import Breaker
from appliance.serving.contract import Prediction, parse_request
from appliance.serving.prediction_log import PredictionWriter
from appliance.serving.routes import Candidate, Route, Routes, Target, load_routes, save_routes
from appliance.serving.split import takes_canary

MALFORMED = {
    "not JSON": (b"entity=tr-1", "$"),
    "not an object": (b"[]", "$"),
    "entity missing": (b"{}", "$.entity"),
    "entity empty": (b'{"entity":""}', "$.entity"),
    "entity not text": (b'{"entity":7}', "$.entity"),
    "entity with spaces": (b'{"entity":"a b"}', "$.entity"),
    "unknown field": (b'{"entity":"a","extra":1}', "$.extra"),
    "instant without zone": (b'{"entity":"a","at":"2026-01-01T00:00:00"}', "$.at"),
    "instant not a time": (b'{"entity":"a","at":"tomorrow"}', "$.at"),
    "bad request id": (b'{"entity":"a","request_id":"x y"}', "$.request_id"),
    "request id with a newline": (b'{"entity":"a","request_id":"x\\n"}', "$.request_id"),
    "entity with a newline": (b'{"entity":"a\\n"}', "$.entity"),
    "wrong encoding": ('{"entity":"\xe9"}'.encode("latin-1"), "$"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_names_the_field(name):
    body, where = MALFORMED[name]
    with pytest.raises(ApplianceError) as caught:
        parse_request(body)
    assert (caught.value.code.id, caught.value.where) == ("APL-SERVE-001", where)


def test_the_split_is_sticky_and_even():
    entities = [f"tr-{number}" for number in range(100_000)]
    chosen = [entity for entity in entities if takes_canary(entity, "sha256:a", 10)]
    assert abs(len(chosen) / len(entities) - 0.10) < 0.005
    assert chosen == [entity for entity in entities if takes_canary(entity, "sha256:a", 10)]
    other = {entity for entity in entities if takes_canary(entity, "sha256:b", 10)}
    assert len(other.intersection(chosen)) < 0.02 * len(entities), "another candidate gets another tenth"
    assert not any(takes_canary(entity, "sha256:a", 0) for entity in entities[:1000])
    assert all(takes_canary(entity, "sha256:a", 100) for entity in entities[:1000])


def test_a_greater_share_keeps_the_entities_of_the_smaller():
    entities = [f"tr-{number}" for number in range(2000)]
    assert all(takes_canary(entity, "x", 50) for entity in entities if takes_canary(entity, "x", 10))


class TestBreaker:
    def test_opens_after_failures_in_a_row_and_probes_once(self):
        breaker = Breaker(failures=3, open_for_s=5.0)
        for now in (0.0, 0.1, 0.2):
            assert breaker.admits(now)
            breaker.failed(now)
        assert breaker.state(1.0) == "open"
        assert not breaker.admits(1.0)
        assert breaker.state(5.3) == "half-open"
        assert breaker.admits(5.3)
        assert not breaker.admits(5.3), "one probe at a time"
        breaker.failed(5.4)
        assert not breaker.admits(6.0)
        assert breaker.admits(10.5)
        breaker.succeeded()
        assert breaker.state(10.6) == "closed"

    def test_a_success_starts_the_count_anew(self):
        breaker = Breaker(failures=2, open_for_s=5.0)
        for _ in range(10):
            breaker.failed(0.0)
            breaker.succeeded()
        assert breaker.state(0.0) == "closed"


def test_routes_round_trip_and_refuse_what_is_not_a_route(tmp_path):
    target = Target(version=3, artifact_id="sha256:a", port=8410)
    routes = Routes().with_route(
        Route(model="risk", live=target, candidate=Candidate(target=target, mode="canary", percent=10))
    )
    save_routes(tmp_path, routes)
    assert load_routes(tmp_path) == routes
    (tmp_path / "routes.json").write_text('{"routes":[{"model":"x","nonsense":1}]}')
    with pytest.raises(ApplianceError, match="APL-SERVE-005"):
        load_routes(tmp_path)


def make_prediction(number):
    instant = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    return Prediction(
        prediction_id=f"pr-{number:032x}",
        request_id=f"r{number}",
        trace_id="0" * 31 + "1",
        entity="tr-0001",
        at=instant,
        served_at=instant,
        model="risk",
        version=1,
        artifact_id="sha256:a",
        arm="live",
        score=0.25,
        outcome="negative",
        reason="",
        data="",
        features=(),
        latency_ms=1.0,
    )


class TestPredictionLog:
    def test_each_record_is_handed_on_once(self, tmp_path):
        writer = PredictionWriter(tmp_path, max_records=4)
        for number in range(10):
            writer.write(make_prediction(number))
        taken, position = [], 0

        def append(records, next_position, files):
            nonlocal position
            taken.extend(record.request_id for record in records)
            position = next_position

        assert prediction_log.flush(tmp_path, position, append) == 8
        assert prediction_log.flush(tmp_path, position, append) == 0
        writer.rotate()
        assert prediction_log.flush(tmp_path, position, append) == 2
        assert taken == [f"r{number}" for number in range(10)]

    def test_a_new_writer_closes_what_a_killed_one_left(self, tmp_path):
        PredictionWriter(tmp_path).write(make_prediction(1))
        PredictionWriter(tmp_path)
        (segment,) = prediction_log.segments(tmp_path)
        assert [record.request_id for record in prediction_log.read_segment(segment)] == ["r1"]

    def test_a_full_disk_leaves_no_half_line(self, tmp_path, monkeypatch):
        """The kernel writes a part, as it does when the disk fills up; the next record stands on its own line."""
        writer = PredictionWriter(tmp_path)
        writer.write(make_prediction(1))
        real = os.write
        monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:40]))
        with pytest.raises(OSError, match="short write"):
            writer.write(make_prediction(2))
        monkeypatch.undo()
        writer.write(make_prediction(3))
        writer.rotate()
        (segment,) = prediction_log.segments(tmp_path)
        assert [record.request_id for record in prediction_log.read_segment(segment)] == ["r1", "r3"]

    def test_a_torn_last_line_was_never_answered(self, tmp_path):
        path = tmp_path / "x.jsonl"
        line = msgspec.json.encode(make_prediction(1)) + b"\n"
        path.write_bytes(line + line[:40])
        assert len(prediction_log.read_segment(path)) == 1

    def test_damage_in_the_middle_is_named(self, tmp_path):
        path = tmp_path / "x.jsonl"
        line = msgspec.json.encode(make_prediction(1)) + b"\n"
        path.write_bytes(line + b"{damaged\n" + line)
        with pytest.raises(ApplianceError, match="line 2") as caught:
            prediction_log.read_segment(path)
        assert caught.value.code.id == "APL-SERVE-007"
