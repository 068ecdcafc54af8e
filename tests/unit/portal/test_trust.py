"""The Trust page: a verdict with every link, a broken link named, one verification at a time."""

import threading

import pytest

from appliance.portal.pages import trust
from appliance.trust.verdict import Link
from tests.unit.portal.conftest import client_of
from tests.unit.portal.markup import Markup

GOOD = {"kind": "file", "path": "a", "ok": True, "detail": "sha256:00"}


def test_a_model_is_verified_with_every_link(client):
    answer = client.get("/trust", params={"id": "thermal/1"})
    said = Markup(answer.text).said("main")
    assert answer.status_code == 200
    assert "thermal/1 ✓ Verified" in said
    assert "registry/models/thermal/1/model.onnx" in said
    assert "Not established" in said
    assert "that the sensors told the truth" in said.lower()
    assert "Holds:" in said
    assert "Does not hold" not in said


def test_a_changed_file_is_named(own_site):
    path = own_site.registry / "models" / "thermal" / "1" / "model_card.md"
    path.chmod(0o644)
    path.write_text("# a better card\n")
    client = client_of(own_site)
    answer = client.get("/trust", params={"id": "thermal/1"})
    said = Markup(answer.text).said("main")
    assert answer.status_code == 200
    assert "✕ NOT VERIFIED" in said
    assert "File: registry/models/thermal/1/model_card.md" in said
    assert "expected sha256:" in said
    model = Markup(client.get("/models/thermal/1").text).said("main")
    assert "Package ✕ Not as signed" in model


def test_a_prediction_without_a_model_is_verified(client):
    said = Markup(client.get("/trust", params={"id": f"pr-{119:032x}"}).text).said("main")
    assert "✓ Verified" in said
    assert "The answer" in said


def test_a_second_verification_is_told_to_come_back(client, monkeypatch):
    entered, go_on = threading.Event(), threading.Event()
    real = trust.verify

    def slow(data, subject):
        entered.set()
        assert go_on.wait(30)
        return real(data, subject)

    monkeypatch.setattr(trust, "verify", slow)
    answers = []
    first = threading.Thread(target=lambda: answers.append(client.get("/trust?id=thermal/1")))
    first.start()
    assert entered.wait(30)
    try:
        second = client.get("/trust?id=thermal/1")
        assert client.get("/models").status_code == 200, "other pages are answered meanwhile"
    finally:
        go_on.set()
        first.join(60)
    assert second.status_code == 503
    assert second.headers["retry-after"] == str(trust.RETRY_AFTER_S)
    assert "one runs at a time" in second.text
    assert answers[0].status_code == 200
    assert client.get("/trust?id=thermal/1").status_code == 200


def test_links_keep_their_kind_and_artifact():
    links = [
        Link(name="model a/1", **GOOD),
        Link(name="raw spool", **{**GOOD, "ok": False}),
        Link(name="model a/1", **{**GOOD, "kind": "new kind"}),
    ]
    found = trust.sections(links)
    assert [(section.kind, section.count, section.ok) for section in found] == [
        ("file", 2, False),
        ("new kind", 1, True),
    ]
    assert [group.name for group in found[0].groups] == ["model a/1", "raw spool"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("prediction pr-1", "The answer"),
        ("commit predictions.served", "The answer"),
        ("raw spool:predictions", "The answer"),
        ("model a/1", "The model"),
        ("training-set a", "Training set"),
        ("commit silver.readings", "The tables"),
        ("raw spool:readings", "Raw bytes"),
        ("transparency log", "Log and keys"),
        ("trust-anchor demo", "Log and keys"),
    ],
)
def test_each_link_belongs_to_one_step(name, title):
    assert [step.title for step in trust.steps([Link(name=name, **GOOD)])] == [title]
