"""The gateway over real HTTP on loopback, in front of model services that a test can break."""

import asyncio
import contextlib
import datetime as dt
import json
import threading
import time
import urllib.error
import urllib.request

import pytest
import uvicorn

from appliance.base.clock import FixedClock
from appliance.observability.gateway_metrics import PrometheusGatewayMeter
from appliance.serving import prediction_log
from appliance.serving.arms import Arms
from appliance.serving.gateway import Gateway
from appliance.serving.prediction_log import PredictionWriter
from appliance.serving.routes import Candidate, Route, Routes, Target, save_routes
from appliance.serving.split import takes_canary
from appliance.serving.upstream import Upstream
from tests.ports import free_port

LIVE, CANDIDATE = "sha256:live", "sha256:candidate"


class Server(threading.Thread):
    """An ASGI application on loopback until the test ends."""

    def __init__(self, app, lifespan):
        super().__init__(daemon=True)
        self.port = free_port()
        config = uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="error", lifespan=lifespan)
        self.server = uvicorn.Server(config)

    def run(self):
        self.server.run()

    def __enter__(self):
        self.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.join(10)


class ModelService:
    """Answers /score as `mode` says: ok, error, slow, or another model's answer."""

    def __init__(self, artifact_id, score):
        self.artifact_id, self.score, self.mode, self.seen, self.asked = artifact_id, score, "ok", [], []

    async def __call__(self, scope, receive, send):
        request = json.loads((await receive())["body"])
        self.seen.append(request["entity"])
        self.asked.append(request)
        if self.mode == "refuse":
            await send({"type": "http.response.start", "status": 422, "headers": []})
            await send({"type": "http.response.body", "body": b'{"error":{"message":"too old for the store"}}'})
            return
        if self.mode == "slow":
            await asyncio.sleep(3)
        artifact_id = "sha256:other" if self.mode == "other" else self.artifact_id
        body = json.dumps({"artifact_id": artifact_id, "score": self.score, "outcome": "negative"}).encode()
        await send({"type": "http.response.start", "status": 500 if self.mode == "error" else 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Bench:
    """A gateway, a live and a candidate service."""

    def __init__(self, folder, stack):
        self.folder = folder
        self.live, self.candidate = ModelService(LIVE, 0.1), ModelService(CANDIDATE, 0.9)
        self.live_port = stack.enter_context(Server(self.live, "off")).port
        self.candidate_port = stack.enter_context(Server(self.candidate, "off")).port
        self.route(None, 0)
        meter = PrometheusGatewayMeter()
        self.writer = PredictionWriter(folder / "predictions")
        arms = Arms(
            upstream=Upstream(timeout_ms=500),
            meter=meter,
            clock=FixedClock(dt.datetime(2026, 5, 1, tzinfo=dt.UTC)),
            record=lambda prediction: self.writer.write(prediction),
            shadow_queue=50,
            breaker_failures=3,
            breaker_open_for_s=0.5,
        )
        clock = FixedClock(dt.datetime(2026, 5, 1, tzinfo=dt.UTC))
        gateway = Gateway(
            folder=folder, arms=arms, writer=self.writer, meter=meter, clock=clock, control_token="secret"
        )
        self.port = stack.enter_context(Server(gateway, "on")).port

    def route(self, mode, percent, *, live=True):
        candidate = Target(version=2, artifact_id=CANDIDATE, port=self.candidate_port)
        route = Route(
            model="risk",
            live=Target(version=1, artifact_id=LIVE, port=self.live_port) if live else None,
            candidate=Candidate(target=candidate, mode=mode, percent=percent) if mode else None,
        )
        save_routes(self.folder, Routes().with_route(route))
        time.sleep(0.35)  # the gateway looks at the file ten times a second

    def ask(self, body, *, path="/v1/models/risk/predict", headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def recorded(self):
        self.writer.rotate()
        return [
            record
            for path in prediction_log.segments(self.folder / "predictions")
            for record in prediction_log.read_segment(path)
        ]

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as response:
            return response.read().decode()


@pytest.fixture
def bench(tmp_path):
    with contextlib.ExitStack() as stack:
        yield Bench(tmp_path, stack)


def test_the_answer_is_complete_and_recorded_before_it_leaves(bench):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    status, answer = bench.ask(
        {"entity": "tr-1", "at": "2026-04-30T12:00:00Z", "request_id": "mine"},
        headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
    )
    assert status == 200
    assert (answer["arm"], answer["score"], answer["version"], answer["artifact_id"]) == ("live", 0.1, 1, LIVE)
    assert (answer["request_id"], answer["trace_id"], answer["at"]) == ("mine", trace, "2026-04-30T12:00:00Z")
    (record,) = bench.recorded()
    assert record.prediction_id == answer["prediction_id"]


def test_a_malformed_request_is_refused_counted_and_not_recorded(bench):
    status, answer = bench.ask({"entity": 5})
    assert (status, answer["error"]["where"]) == (400, "$.entity")
    assert bench.ask(b"x" * 20_000)[0] == 413
    assert bench.ask({"entity": "a"}, path="/v1/models/nothing/predict")[0] == 404
    assert bench.recorded() == []
    assert bench.live.seen == []
    assert 'appliance_serving_refused_requests_total{reason="APL-SERVE-001"} 1.0' in bench.metrics()


def test_canary_answers_for_its_entities_only(bench):
    bench.route("canary", 30)
    entities = [f"tr-{number}" for number in range(60)]
    for entity in entities:
        bench.ask({"entity": entity})
    chosen = {entity for entity in entities if takes_canary(entity, CANDIDATE, 30)}
    assert {record.entity for record in bench.recorded() if record.arm == "canary"} == chosen
    assert set(bench.live.seen) == set(entities) - chosen


@pytest.mark.parametrize("mode", ["error", "slow", "other"])
def test_a_broken_canary_falls_back_to_live_and_its_breaker_opens(bench, mode):
    bench.route("canary", 100)
    bench.candidate.mode = mode
    for number in range(6):
        status, answer = bench.ask({"entity": f"tr-{number}"})
        assert (status, answer["arm"]) == (200, "live")
    assert len(bench.candidate.seen) == 3, "after three failures the breaker keeps requests away"
    bench.candidate.mode = "ok"
    time.sleep(0.6)
    assert bench.ask({"entity": "tr-1"})[1]["arm"] == "canary", "the probe closes the breaker"


def test_without_a_live_model_the_gateway_abstains_and_records(bench):
    bench.route(None, 0, live=False)
    status, answer = bench.ask({"entity": "tr-1"})
    assert (status, answer["arm"], answer["score"], answer["outcome"]) == (200, "fallback", None, "abstain")
    assert answer["reason"] == "no live model"
    assert len(bench.recorded()) == 1


def test_a_failing_live_model_gives_an_abstention_with_its_reason(bench):
    bench.live.mode = "error"
    assert bench.ask({"entity": "tr-1"})[1]["reason"] == "the live model does not answer"


def test_a_shadow_gets_copies_and_never_answers(bench):
    bench.route("shadow", 0)
    for number in range(20):
        assert bench.ask({"entity": f"tr-{number}", "request_id": f"r{number}"})[1]["arm"] == "live"
    end = time.monotonic() + 5
    while len(bench.candidate.seen) < 20 and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.1)
    by_arm = {"live": set(), "shadow": set()}
    for record in bench.recorded():
        by_arm[record.arm].add(record.request_id)
    assert by_arm["shadow"] == by_arm["live"] == {f"r{number}" for number in range(20)}


def test_a_hung_shadow_delays_nobody_and_drops_are_counted(bench):
    bench.route("shadow", 0)
    bench.candidate.mode = "slow"
    started = time.monotonic()
    for number in range(120):
        assert bench.ask({"entity": f"tr-{number}"})[0] == 200
    assert time.monotonic() - started < 5.0
    dropped = [
        line for line in bench.metrics().splitlines() if line.startswith("appliance_serving_shadow_dropped_total")
    ]
    assert float(dropped[0].split()[-1]) > 0


def test_no_answer_when_the_prediction_cannot_be_recorded(bench):
    class FullDisk:
        def write(self, prediction):
            raise OSError(28, "No space left on device")

        def rotate(self):
            pass

    real, bench.writer = bench.writer, FullDisk()
    status, answer = bench.ask({"entity": "tr-1"})
    assert (status, "cannot be recorded" in answer["error"]["message"]) == (503, True)
    bench.writer = real
    assert bench.recorded() == []


def test_the_model_answers_for_the_instant_that_is_recorded(bench):
    answer = bench.ask({"entity": "tr-1"})[1]
    assert answer["at"] == "2026-05-01T00:00:00Z", "the gateway's clock, when the client names no instant"
    assert bench.live.asked[-1]["at"] == answer["at"]


def test_a_refused_question_is_an_abstention_and_no_failure_of_the_model(bench):
    bench.live.mode = "refuse"
    for number in range(10):
        answer = bench.ask({"entity": f"tr-{number}"})[1]
        assert (answer["arm"], answer["outcome"], answer["reason"]) == ("live", "abstain", "too old for the store")
    bench.live.mode = "ok"
    assert bench.ask({"entity": "tr-1"})[1]["score"] == 0.1, "one client's questions do not open the breaker"


def test_a_bad_routes_file_keeps_the_old_routes_and_readiness_fails(bench):
    (bench.folder / "routes.json").write_text("{")
    time.sleep(0.35)
    assert bench.ask({"entity": "tr-1"})[1]["arm"] == "live"
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"http://127.0.0.1:{bench.port}/readyz", timeout=5)


def test_control_needs_the_token(bench):
    bench.ask({"entity": "tr-1"})
    assert bench.ask(b"", path="/-/rotate")[0] == 403
    status, answer = bench.ask(b"", path="/-/rotate", headers={"authorization": "Bearer secret"})
    assert (status, answer) == (200, {"under_way": 0})
    assert len(prediction_log.segments(bench.folder / "predictions")) == 1
