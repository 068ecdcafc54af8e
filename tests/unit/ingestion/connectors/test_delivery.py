"""What a connector's state refuses, and that pausing needs no lock."""

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.connectors.delivery import Delivery, Failure, State


@pytest.fixture
def delivery(tmp_path):
    made = Delivery(tmp_path / "state", "x", tmp_path / "incoming")
    made.recover()
    return made


def test_a_batch_is_one_file_of_lines(tmp_path, delivery):
    state = delivery.deliver(State(), [b'{"n":1}', b'{"n":2}'], {"at": 2})
    assert (tmp_path / "incoming" / "x-000000000000.jsonl").read_bytes() == b'{"n":1}\n{"n":2}\n'
    assert state == delivery.state() == State(cursor={"at": 2}, files=1, rows=2)


def test_a_look_without_rows_moves_the_cursor_alone(tmp_path, delivery):
    assert delivery.deliver(State(), [], 7) == delivery.state() == State(cursor=7)
    assert not (tmp_path / "incoming").exists()


def interrupted(tmp_path, delivery, monkeypatch):
    """A batch that is pending and staged."""
    monkeypatch.setattr(delivery, "_rename", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        delivery.deliver(State(), [b'{"n":1}'], 1)
    monkeypatch.undo()
    return tmp_path / "state" / "staged" / "x-000000000000.jsonl"


def test_a_staged_file_that_was_changed_is_not_delivered(tmp_path, delivery, monkeypatch):
    staged = interrupted(tmp_path, delivery, monkeypatch)
    staged.write_bytes(b'{"n":2}\n')
    with pytest.raises(ApplianceError, match=r"expected sha256:.*, the file has sha256:") as caught:
        delivery.recover()
    assert caught.value.code.id == "APL-CONN-004"
    assert not (tmp_path / "incoming").exists()


def test_a_name_that_is_taken_keeps_the_batch(tmp_path, delivery, monkeypatch):
    interrupted(tmp_path, delivery, monkeypatch)
    foreign = tmp_path / "incoming" / "x-000000000000.jsonl"
    foreign.parent.mkdir()
    foreign.write_bytes(b"foreign")
    with pytest.raises(ApplianceError, match="a file of this name is there") as caught:
        delivery.recover()
    assert caught.value.code.id == "APL-CONN-005"
    assert foreign.read_bytes() == b"foreign"
    foreign.unlink()
    assert delivery.recover() == State(cursor=1, files=1, rows=1)
    assert foreign.read_bytes() == b'{"n":1}\n'


def test_what_was_staged_and_not_pending_is_removed(tmp_path, delivery):
    left = tmp_path / "state" / "staged" / "x-000000000000.jsonl"
    left.write_bytes(b'{"n":1}\n')
    assert delivery.recover() == State()
    assert not left.exists()


@pytest.mark.parametrize(
    "text", ["", "{}x", '{"cursor": 1}', '{"files":"1"}', '{"rows":-0}', '{"more":1}'], ids=lambda text: text or "empty"
)
def test_a_state_that_we_did_not_write_is_not_gone_on_from(tmp_path, delivery, text):
    (tmp_path / "state" / "state.json").write_text(text)
    with pytest.raises(ApplianceError) as caught:
        delivery.recover()
    assert caught.value.code.id == "APL-CONN-004"


def test_one_process_at_a_time(tmp_path, delivery):
    other = Delivery(tmp_path / "state", "x", tmp_path / "incoming")
    with delivery.exclusive():
        with pytest.raises(ApplianceError) as caught, other.exclusive():
            pass
        assert caught.value.code.id == "APL-BASE-006"
        other.pause()
        assert delivery.paused
    delivery.resume()
    delivery.resume()
    assert not other.paused


def test_the_last_error_is_kept_until_a_run_without_one(delivery):
    failure = Failure(code="APL-CONN-007", message="no answer", at="2026-03-01T12:00:00Z")
    state = delivery.failed(State(cursor=3), failure)
    assert delivery.state().last_error == failure
    assert delivery.failed(state, None) == State(cursor=3)
