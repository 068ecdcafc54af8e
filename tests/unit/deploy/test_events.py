"""What a playbook told, added up."""

import json

from appliance.deploy.events import OWN_WORDS, Failure, Told


def result(status, *, host="h1", role="prometheus", task="Install", seconds=1.5, message="", diff=""):
    return json.dumps(
        {"event": "result", "host": host, "role": role, "task": task, "status": status, "seconds": seconds,
         "message": message, "diff": diff}
    )  # fmt: skip


def test_each_host_is_summed_and_failures_are_kept():
    told = Told()
    for line in (result("ok"), result("changed"), result("skipped", seconds=0), result("failed", message="why")):
        told.take(line)
    told.take(result("ok", host="h2"))
    assert told.hosts["h1"].as_json == {
        "ok": 1, "changed": 1, "skipped": 1, "failed": 1, "ignored": 0, "seconds": 4.5,
    }  # fmt: skip
    assert told.hosts["h2"].ok == 1
    assert told.failures == [Failure(host="h1", role="prometheus", task="Install", message="why")]
    assert told.failures[0].text() == "h1, prometheus: Install: why"


def test_a_person_is_told_plays_changes_and_failures():
    told = Told()
    assert told.take('{"event": "play", "name": "Install monitoring"}') == "Install monitoring"
    assert told.take('{"event": "task", "role": "", "task": "Gather facts"}') == ""
    assert told.task == "Gather facts"
    assert told.take(result("ok")) == ""
    assert told.take(result("changed", diff="+new\n\n")) == "  h1 changed  prometheus: Install (1.5 s)\n+new"


def test_a_host_that_did_nothing_is_in_the_sum():
    told = Told()
    told.take('{"event": "summary", "hosts": {"h3": {}}}')
    assert told.hosts["h3"].ok == 0


def test_words_that_are_no_event_are_kept_the_last_ones():
    told = Told()
    for number in range(OWN_WORDS + 5):
        assert told.take(f"[ERROR]: {number}\n") == ""
    told.take("[1, 2]\n")
    assert told.words[-2:] == [f"[ERROR]: {OWN_WORDS + 4}", "[1, 2]"]
    assert len(told.words) == OWN_WORDS
