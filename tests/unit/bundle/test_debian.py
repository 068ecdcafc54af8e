"""Debian's lists as we read them, and why each package is in a bundle."""

import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle.apt import configuration, preferences
from appliance.bundle.debian import wanted_by
from appliance.bundle.debian_index import Index, parse_stanza

DIGEST = "a" * 64


def stanza(name, version="1", **fields):
    more = "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in fields.items())
    return (
        f"Package: {name}\nVersion: {version}\n{more}Filename: pool/main/{name[0]}/{name}_{version}_all.deb\n"
        f"Size: 7\nSHA256: {DIGEST}\nDescription: a package\n with a second line\n"
    )


def index(*stanzas, suite="bookworm main"):
    return Index([(suite, "\n".join(stanzas) + "\n")])


def one(text):
    return index(text).versions(parse_stanza(text)["Package"])[0]


def test_a_stanza_says_name_version_file_size_digest_and_suite():
    found = one(stanza("jq", "1:1.6"))
    assert (found.name, found.version, found.file_name) == ("jq", "1:1.6", "jq_1:1.6_all.deb")
    assert (found.size_bytes, found.digest, found.suite) == (7, f"sha256:{DIGEST}", "bookworm main")
    assert found.fields["Description"] == "a package\nwith a second line"


@pytest.mark.parametrize(
    ("depends", "needs"),
    [
        ("libc6 (>= 2.36), libjq1 (= 1.6-2.1)", {"libc6", "libjq1"}),
        ("debconf (>= 0.5) | debconf-2.0", {"debconf", "debconf-2.0"}),
        ("python3:any, g++-12 <!nocheck>", {"python3", "g++-12"}),
        ("", set()),
    ],
)
def test_needs_are_the_names_of_all_alternatives(depends, needs):
    assert one(stanza("x", Depends=depends)).needs() == needs
    assert one(stanza("x", Pre_Depends=depends)).needs() == needs
    assert one(stanza("x", Recommends=depends, Suggests=depends)).needs() == set()


def test_versions_of_several_suites_are_kept_apart():
    both = Index([("bookworm main", stanza("jq", "1")), ("bookworm-security main", stanza("jq", "2"))])
    assert [(each.version, each.suite) for each in both.versions("jq")] == [
        ("1", "bookworm main"),
        ("2", "bookworm-security main"),
    ]
    assert both.find("jq", "2").suite == "bookworm-security main"
    assert both.find("jq", "3") is None
    assert "yq" not in both
    assert both.versions("yq") == []


def test_required_are_the_required_and_the_essential():
    found = index(
        stanza("dash", Essential="yes"), stanza("mount", Priority="required"), stanza("jq", Priority="optional"),
        stanza("liar", Note="Priority: required is what I am not"),
    )  # fmt: skip
    assert found.required() == ["dash", "mount"]


def test_every_package_has_the_reasons_of_the_declaration_and_its_parents():
    brought = [
        one(stanza("web", Depends="web-common, httpd-ssl | nothing")),
        one(stanza("web-common", Depends="web")),
        one(stanza("ssl", Provides="httpd-ssl (= 1)")),
    ]
    assert wanted_by(brought, {"web": ["role:proxy", "server:web"], "absent": ["role:x"]}) == {
        "web": ["deb:web-common", "role:proxy", "server:web"],
        "web-common": ["deb:web"],
        "ssl": ["deb:web"],
    }


def test_a_package_that_nothing_wants_is_refused():
    with pytest.raises(ApplianceError, match="stray") as caught:
        wanted_by([one(stanza("web")), one(stanza("stray"))], {"web": ["role:proxy"]})
    assert caught.value.code.id == "APL-BUNDLE-007"


def test_apts_state_is_below_the_folder_and_no_host_is_named(tmp_path):
    text = configuration(tmp_path)
    for key in ("Dir::State", "Dir::State::lists", "Dir::State::status", "Dir::Cache", "Dir::Cache::archives"):
        assert f'{key} "{tmp_path}' in text
    assert "//" not in text.replace("::", "")
    assert "Pin-Priority: -1" in preferences("bookworm")
