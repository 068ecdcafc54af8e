"""What detectors find on a corpus that is new in every run, and what they must leave alone."""

import itertools
import time
from collections import Counter

import pyarrow as pa
import pytest

from appliance.ingestion.sensitive import names
from appliance.ingestion.sensitive.detectors import DETECTORS, TAGS
from appliance.ingestion.sensitive.examination import examine
from tests.unit.ingestion.sensitive import corpus


def tag_of(sample):
    found = examine({sample.name: pa.array(sample.values, pa.string())})
    return found[0].tag if found else ""


def test_precision_and_recall_on_structured_identifiers(seed, capsys):
    hits, misses, false = Counter(), [], []
    for sample in (*corpus.identifiers(seed), *corpus.notes(seed), *corpus.negatives(seed)):
        found = tag_of(sample)
        if sample.tag and found == sample.tag:
            hits[sample.tag] += 1
        elif sample.tag:
            misses.append((sample.kind, sample.name, len(sample.values), found))
        if found and found != sample.tag:
            false.append((sample.kind, sample.name, len(sample.values), found))
    total = sum(hits.values())
    recall, precision = total / (total + len(misses)), total / (total + len(false))
    with capsys.disabled():
        print(f"\nseed {seed}: {total} columns, recall {recall:.4f}, precision {precision:.4f}")
    assert recall >= 0.99, misses
    assert precision >= 0.9, false
    assert hits.keys() == {each for each in TAGS if each not in ("pii.name", "phi.diagnosis")}


def test_names_that_nothing_was_learned_from(seed, capsys):
    samples = [*corpus.persons(seed)]
    others = [*corpus.negatives(seed)]
    hits = sum(tag_of(each) == "pii.name" for each in samples)
    false = sum(tag_of(each) == "pii.name" for each in others)
    recall, precision = hits / len(samples), hits / (hits + false)
    words = corpus.unseen_words()
    single = sum(names.looks_like_name(f"{a} {b}", words=2) for a, b in itertools.pairwise(words))
    share = single / (len(words) - 1)
    with capsys.disabled():
        print(
            f"\nseed {seed}: columns of names: recall {recall:.4f}, precision {precision:.4f}; one by one {share:.4f}"
        )
    assert recall >= 0.9
    assert precision >= 0.9
    assert share >= 0.9


def test_nothing_of_a_fleet_is_taken_for_a_person(seed):
    for sample in corpus.negatives(seed, repeats=6):
        if sample.name in ("device_id", "meter_id", "t", "event_time", "value", "load", "firmware", "measure"):
            assert tag_of(sample) == "", (seed, sample.name, sample.values[:5])


COLUMNS = [
    ("diagnosis", ["E11.9", "I10", "J45.909"], "phi.diagnosis"),
    ("class", ["E11.9", "I10", "J45.909"], ""),
    ("card", [4111111111111111, 5555555555554444], "pii.card"),
    ("latitude", [52.52001, 48.13743], "pii.location"),
    ("value", [52.52001, 48.13743], ""),
    ("card", [], ""),
    ("card", [None, None], ""),
    ("card", ["", "  "], ""),
    ("customer", ["  4111111111111111 "], "pii.card"),
    ("flags", [True, False], ""),
]


@pytest.mark.parametrize(("name", "values", "tag"), COLUMNS)
def test_types_and_white_space(name, values, tag):
    found = examine({name: pa.array(values)})
    assert [each.tag for each in found] == ([tag] if tag else [])


def test_a_finding_counts_and_never_shows_a_value():
    (found,) = examine({"c": pa.array(["4111111111111111"] * 3 + ["none", None])})
    assert (found.matches, found.values, found.named, found.confidence) == (3, 4, False, 0.75)
    assert found.describe() == "c: 3 of 4 values are pii.card"
    assert "4111" not in repr(found)


def test_one_address_in_a_long_note_is_enough():
    notes = [f"the crew was there at noon, day {number}" for number in range(60_000)]
    notes[31_415] = "ask jane.roe@example.org for the key"
    (found,) = examine({"note": pa.array(notes)})
    assert (found.tag, found.matches, found.within) == ("pii.email", 1, True)


def test_a_column_with_more_values_than_are_checked_is_scaled():
    values = pa.array([f"+49 30 {number:07d}" for number in range(50_000)])
    (found,) = examine({"x": values})
    assert (found.tag, found.matches) == ("pii.phone", 50_000)


HOSTILE = [
    "a." * 1000 + "111",
    "a." * 1000 + "@",
    "1 " * 1000,
    "4111 " * 400,
    "DE12" * 500,
    "(201) " * 333,
    "A-" * 1000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=[text[:6] for text in HOSTILE])
def test_a_hostile_text_costs_what_a_text_of_its_length_costs(text):
    """Forty thousand characters a millisecond would be slow; the square of the length is beyond any bound here."""

    def cost_s(value):
        started = time.process_time()
        examine({"x": pa.array([f"{value}{number:04d}" for number in range(200)])})
        return time.process_time() - started

    assert cost_s(text) < 20 * cost_s("the quick brown fox 111 " * 80) + 0.5


@pytest.mark.slow
def test_the_weights_are_what_the_lists_give():
    assert corpus.trainer.learn() == corpus.trainer.TARGET.read_bytes()


def test_every_detector_names_its_tag_in_one_area():
    assert all(each.tag.partition(".")[0] in ("pii", "phi") for each in DETECTORS)
