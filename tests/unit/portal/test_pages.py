"""Every page: structure, links that lead somewhere, text that stays text, and what the page says."""

import importlib
import re
from itertools import pairwise

import pytest

from appliance.base.errors import declared
from appliance.cli.command import DECLARED
from appliance.cli.main import NOUNS
from tests.portal_site import ENTITY, HOSTILE
from tests.unit.portal.conftest import client_of
from tests.unit.portal.markup import Markup

for each in NOUNS:
    importlib.import_module(f"appliance.cli.{each}")
PREDICTION = "/predictions/pr-" + f"{117:032x}"
PAGES = {
    "home": "/",
    "data": "/data",
    "data, filtered": "/data?severity=critical",
    "data, older alerts": "/data?alerts=2",
    "table": "/data?table=silver.readings",
    "models": "/models",
    "model": "/models/thermal/1",
    "model, waiting": "/models/thermal/2",
    "predictions": "/predictions",
    "predictions, third page": "/predictions?page=3",
    "predictions, none": "/predictions?entity=nobody",
    "prediction": PREDICTION,
    "prediction, fallback": "/predictions/pr-" + f"{119:032x}",
    "trust": "/trust",
    "verdict": "/trust?id=thermal%2F1",
    "not found": "/nothing-here",
    "wrong value": "/predictions?page=0",
}


@pytest.fixture(scope="module")
def pages(client):
    return {name: client.get(address) for name, address in PAGES.items()}


@pytest.mark.parametrize("name", PAGES)
def test_structure(pages, name):
    page = Markup(pages[name].text)
    assert page.unbalanced == []
    assert page.of("html")[0]["lang"] == "en"
    assert len(page.of("h1")) == len(page.of("main")) == len(page.of("header")) == len(page.of("footer")) == 1
    assert page.said("title").endswith("· north · Appliance portal")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert page.links()[0] == "#main"
    names = [attributes.get("aria-label") for attributes in page.of("nav")]
    names += [attributes["aria-label"] for _, attributes in page.elements if attributes.get("role") == "region"]
    assert None not in names
    assert len(names) == len(set(names)), names
    for attributes in (each for _, each in page.elements if "aria-labelledby" in each):
        assert attributes["aria-labelledby"] in ids
    labels = {attributes["for"] for attributes in page.of("label")}
    for control in page.of("input") + page.of("select"):
        assert control["id"] in labels
    for image in page.of("img") + page.of("svg"):
        assert "alt" in image or image.get("aria-label")


@pytest.mark.parametrize("name", PAGES)
def test_nothing_inline_and_nothing_foreign(pages, name):
    page = Markup(pages[name].text)
    assert not page.of("script")
    assert not page.of("style")
    for tag, attributes in page.elements:
        assert "style" not in attributes, (tag, attributes)
        assert not [key for key in attributes if key.startswith("on")], (tag, attributes)
        for key in ("href", "src", "action"):
            assert attributes.get(key, "/").startswith(("/", "#")), (tag, attributes)
            assert not attributes.get(key, "").startswith("//")


@pytest.mark.parametrize("name", ["data", "model", "predictions", "prediction, fallback", "home"])
def test_text_of_outsiders_stays_text(pages, name):
    if name != "home":
        assert HOSTILE in Markup(pages[name].text).said()
    assert HOSTILE not in pages[name].text


def test_every_internal_link_leads_to_a_page(client):
    """Crawled from Home; verifications are checked by their own test."""
    seen, waiting, anchors = {"/"}, ["/"], []
    for address in waiting:
        answer = client.get(address)
        assert answer.status_code == 200, address
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        page = Markup(answer.text)
        ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        anchors += [(address, link) for link in page.links() if link.startswith("#") and link[1:] not in ids]
        found = page.links() + [each["href"] for each in page.of("link")] + [each["src"] for each in page.of("img")]
        for link in found:
            path, _, anchor = link.partition("#")
            if anchor and path:
                there = Markup(client.get(path).text)
                assert anchor in {each.get("id") for _, each in there.elements}, link
            if path and path not in seen and not path.startswith("/trust?"):
                seen.add(path)
                waiting.append(path)
    assert anchors == []
    assert {"/data", "/models/thermal/1", "/predictions?page=3", "/data?table=silver.readings"} <= seen


def test_home_says_what_needs_somebody_from_the_rows_of_the_tiles(pages):
    said = Markup(pages["home"].text).said("main")
    # 30 of 70 readings are refused; the limit of the site is 10 %.
    needs = "1 model waits for approval, 42.9 % of readings in quarantine, 2 checks of tables do not hold, "
    needs += "3 critical alerts"
    assert f"4 things need you: {needs}." in said
    assert "appliance model approve thermal/2 --reason TEXT" in said
    assert "Readings in the lake 40" in said
    assert "In quarantine 30" in said
    assert "Ledger imbalance 0 ✓ Balanced" in said
    assert "Predictions recorded 120" in said
    footer = Markup(pages["home"].text).said("footer")
    assert re.search(r"Log of \d+ entries, signed checkpoint written \d{4}-\d\d-\d\d \d\d:\d\dZ", footer)
    assert "No outside connections" in footer


def test_data_shows_counts_reasons_and_both_charts_with_their_numbers(pages):
    page = Markup(pages["data"].text)
    said = page.said("main")
    for part in ("silver.readings 40 1 1", "Out of range RANGE 20", "Unknown measure MEASURE 10"):
        assert part in said
    assert "The value is outside the physical range" in said
    assert len([each for each in page.of("svg") if each["role"] == "img"]) == 2
    assert "70 readings arrived on 1 day; every one is accounted for." in said
    assert "70 40 30 0 0" in said
    assert "Page 1 Older →" in said


def test_checks_show_their_newest_outcome_and_what_stops_comes_first(pages):
    page = Markup(pages["data"].text)
    said = page.said("main")
    for row in (
        "many silver.readings between stages ✕ Failed 40 rows rows at least 1000 0 20",
        "known silver.readings between stages ✕ Not judged no table reference.devices, or no row in it device_id in",
        f"firm silver.readings between stages ▲ Warned 0 % at least 100 % of firmware in {HOSTILE} 40 20",
        "enough silver.readings between stages ✓ Passed 40 rows rows at least 1 0 20",
        "oil silver.readings in the sink ✓ Passed 100 % at least 100 % of value at most 150 0 20",
        "oil silver.readings between stages ✓ Passed 100 % at least 100 % of value at most 150 0 20",
    ):
        assert row in said
    places = [said.index(f"{name} silver.readings") for name in ("many", "known", "firm", "enough", "oil")]
    assert places == sorted(places)
    assert f"data {HOSTILE}" in said


def test_a_contract_that_cannot_be_read_is_named_and_the_rest_is_shown(own_site):
    client = client_of(own_site)
    (own_site.declarations / "contracts" / "readings.yaml").write_text("table: 7\n")
    said = Markup(client.get("/data").text).said("main")
    assert "the checks of tables cannot be read: APL-CONFIG-004" in said
    assert "Out of range RANGE 20" in said
    home = Markup(client.get("/").text).said("main")
    assert "3 things need you" in home
    assert "the checks of tables cannot be read" in home


def test_alerts_are_newest_first_and_paged(client):
    first = Markup(client.get("/data").text).said("main")
    assert first.index("2026-02-28") < first.index("2026-02-27")
    assert "30 alerts" in first
    critical = Markup(client.get("/data?severity=critical").text).said("main")
    assert "3 alerts of severity critical" in critical


def test_a_table_has_its_columns_and_commits(pages):
    said = Markup(pages["table"].text).said("main")
    assert "silver.readings ● 40 rows" in said
    assert "event_time timestamp[us, tz=UTC]" in said
    assert "append 40 0 40" in said


def test_a_model_shows_what_its_approver_read(pages):
    said = Markup(pages["model"].text).said("main")
    for part in (
        "thermal/1 ✓ Live",
        "ROC AUC 0.8100 0.7500 to 0.8800 more is better",
        "gains 0.0200 (ROC AUC); the margin is 0.05",
        "Gates ✓ All passed",
        "load_mean below 0.5 100 0 – – –",
        "Model statement ✓ Signature valid role data-scientist",
        "Package ✓ As signed",
        f"Reason given card read {HOSTILE}",
        "16 rows",
        "1 code: 1.0",
    ):
        assert part in said, part
    assert len(re.findall(r"sha256:[0-9a-f]{64}", said)) >= 9
    assert "▲ Waiting for approval none yet" in Markup(pages["model, waiting"].text).said("main")


def test_predictions_are_filtered_and_paged(client):
    first = Markup(client.get("/predictions").text)
    rows = [link for link in first.links() if link.startswith("/predictions/pr-")]
    assert len(rows) == 50
    assert rows[0].endswith(f"{119:032x}")
    third = [link for link in Markup(client.get("/predictions?page=3").text).links() if "/pr-" in link]
    assert len(third) == 20
    shadow = Markup(client.get("/predictions", params={"arm": "shadow", "entity": ENTITY}).text)
    assert len([link for link in shadow.links() if "/pr-" in link]) == 1
    assert shadow.of("input")[0]["value"] == ENTITY
    assert "No recorded prediction has these values." in Markup(client.get("/predictions?entity=nobody").text).said()


def test_a_prediction_shows_every_value_with_age_and_state(pages):
    page = Markup(pages["prediction"].text)
    said = page.said("main")
    assert "load_mean 1.5 kW 15 min ✓ Ok" in said
    assert "oil_last – – – ✕ No usable value" in said
    assert "/models/thermal/1" in page.links()
    assert f"/trust?id=pr-{117:032x}" in page.links()
    assert "No model looked at any feature" in Markup(pages["prediction, fallback"].text).said("main")


@pytest.mark.parametrize(
    ("address", "status", "code", "words"),
    [
        ("/nothing-here", 404, "APL-PORTAL-001", "There is no page '/nothing-here'"),
        ("/models/thermal/9", 404, "APL-MODEL-005", "There is no thermal/9"),
        ("/models/thermal/x", 404, "APL-PORTAL-001", "There is no page"),
        ("/data?table=silver.none", 404, "APL-STORAGE-002", "No table 'silver.none'"),
        ("/predictions/pr-1", 404, "APL-PORTAL-001", "an id is pr- and 32 hex digits"),
        ("/predictions/pr-" + "f" * 32, 404, "APL-PORTAL-001", "no prediction has it"),
        ("/trust?id=pr-" + "f" * 32, 404, "APL-VERIFY-001", "is not known here"),
        ("/predictions?page=0", 400, "APL-PORTAL-002", "page: expected a whole number from 1 to 1000, got '0'"),
        ("/predictions?arm=other", 400, "APL-PORTAL-002", "arm: expected one of live, canary, shadow, fallback"),
        ("/data?severity=x", 400, "APL-PORTAL-002", "severity: expected one of critical, warning, info, got 'x'"),
        ("/static/other.css", 404, "APL-PORTAL-001", "There is no page"),
    ],
)
def test_a_failure_is_a_page_with_a_code_and_what_to_do(client, address, status, code, words):
    answer = client.get(address)
    said = Markup(answer.text).said("main")
    assert answer.status_code == status
    assert code in said
    assert words in said
    assert "What to do" in said
    assert next(each for each in declared() if each.id == code).title in said


def test_an_empty_site_names_the_next_command(empty_client):
    for address, words in {
        "/": "Nothing needs you.",
        "/data": "appliance ingest run",
        "/models": "appliance pipeline run RECIPE",
        "/predictions": "appliance serve start",
        "/trust": "Nothing to verify yet",
    }.items():
        answer = empty_client.get(address)
        assert answer.status_code == 200, address
        assert words in Markup(answer.text).said("main"), address


def test_every_command_that_a_page_names_exists(pages, empty_client):
    texts = [answer.text for answer in pages.values()]
    texts += [empty_client.get(address).text for address in ("/", "/data", "/models", "/predictions", "/trust")]
    commands = {each for text in texts for each in re.findall(r"<kbd>appliance ([a-z ]+)", text)}
    known = {
        noun if noun in ("verify", "predict") else declared for declared in DECLARED for noun in [declared.split()[0]]
    }
    assert len(commands) >= 8
    for each in commands:
        words = each.split()
        assert " ".join(words[:2]) in known or words[0] in known, each
