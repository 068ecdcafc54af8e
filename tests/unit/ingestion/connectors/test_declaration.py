"""What a connector's declaration must hold, each refusal naming the key."""

import pytest

from appliance.base.errors import ApplianceError
from appliance.ingestion.connectors.declaration import load_all

REST = """
kind = "rest"
mapping = "m"
[rest]
url = "https://historian:8443/api"
items = "items"
[rest.pages]
style = "page"
parameter = "page"
size_parameter = "size"
"""
MQTT = """
kind = "mqtt"
mapping = "m"
[mqtt]
host = "127.0.0.1"
port = 1883
topics = ["a/+"]
client_id = "north"
key = ["device", "sequence"]
"""
SECRET = '[rest.secret]\nheader = "Authorization"\nfile = "keys/x"\n'


def test_both_kinds_are_read(tmp_path):
    (tmp_path / "a.toml").write_text(REST + SECRET)
    (tmp_path / "b.toml").write_text(MQTT)
    found = load_all(tmp_path)
    assert (found["a"].rest.pages.size, found["b"].mqtt.receive_maximum) == (1000, 1000)
    assert load_all(tmp_path / "none") == {}


REFUSED = [
    ("unknown key", REST + "colour = 1\n", "colour"),
    ("unknown kind", REST.replace('"rest"', '"ftp"'), "ftp"),
    ("section of the other kind", MQTT.replace('"mqtt"', '"rest"'), r"expected the section \[rest\] alone, got mqtt"),
    ("no section", 'kind = "rest"\nmapping = "m"\n', "got none"),
    ("no duration", "batch_time = '1 day'\n" + REST, "batch_time: expected a duration such as 24h, got '1 day'"),
    ("not http", REST.replace("https:", "ftp:"), "ftp://historian is not an http"),
    ("no host", REST.replace("https://historian:8443", "https://"), "is not an http"),
    ("bad port", REST.replace("8443", "99999"), "rest.url: Port out of range"),
    ("password in the address", REST.replace("historian", "me:word@historian"), "no user, password"),
    ("query in the address", REST.replace("/api", "/api?a=1"), r"go to \[rest.query\]"),
    ("plain to another machine", REST.replace("https", "http"), "allow_plain = true"),
    (
        "secret over plain",
        REST.replace("https", "http").replace("items =", "allow_plain = true\nitems =") + SECRET,
        "it would be sent over http",
    ),
    ("odd header", REST + SECRET.replace("Authorization", "A: b\\n"), "is not the name of a header"),
    ("numbered without size", REST.replace('size_parameter = "size"', ""), "needs parameter and size_parameter"),
    ("cursor without path", REST.replace('"page"\np', '"cursor"\np'), "style cursor needs parameter and path"),
    ("path in a list", REST.replace('items = "items"', "") + 'path = "next"\n', "has nothing at rest.pages.path"),
    ("no TLS to another machine", MQTT.replace("127.0.0.1", "broker"), "mqtt.ca_file"),
    ("user without password", MQTT + 'user = "u"\n', "go together"),
    ("more under way than remembered", MQTT + "remember = 10\n", "at least receive_maximum"),
    ("no host", MQTT.replace("127.0.0.1", ""), "mqtt.host: it is empty"),
    ("no topic", MQTT.replace('"a/+"', '""'), "'' is not a filter"),
    ("part of a level", MQTT.replace('"a/+"', '"a/b+"'), "'a/b.' is not a filter"),
    ("all that follows in the middle", MQTT.replace('"a/+"', '"#/a"'), "'#/a' is not a filter"),
    ("longer than a year", MQTT + 'session_expiry = "366d"\n', "mqtt.session_expiry: expected at most 365d"),
    ("a duration beyond all", MQTT + 'session_expiry = "9999999999d"\n', "mqtt.session_expiry"),
    ("no client id", MQTT.replace('"north"', '""'), "mqtt.client_id"),
    ("no key", MQTT.replace('["device", "sequence"]', "[]"), "key"),
]


@pytest.mark.parametrize(("text", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_declaration_that_does_not_hold_together_is_refused(tmp_path, text, message):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ApplianceError, match=message) as caught:
        load_all(tmp_path)
    assert caught.value.code.id == "APL-CONN-001"
    assert caught.value.where.endswith("x.toml")


def test_an_odd_name_is_refused(tmp_path):
    (tmp_path / "A b.toml").write_text(REST)
    with pytest.raises(ApplianceError, match="is not a name of"):
        load_all(tmp_path)
