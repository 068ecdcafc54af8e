"""Known flaws: hand-written OSV records of each ecosystem against package URLs."""

import json
import zipfile

import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle import advisories, codes, flaws, sbom
from appliance.bundle.affected import IncomparableError, judge
from appliance.bundle.flaws import Package, Unjudged
from appliance.bundle.lock import Package as Source
from tests.bundle_checkout import a_lock, an_input

DEBIAN, PYPI, GO, MAVEN = "Debian:12", "PyPI", "Go", "Maven"


def a_range(*events, type="ECOSYSTEM"):
    return {"type": type, "events": [{name: version} for name, version in events]}


def a_record(id="CVE-1", ecosystem=PYPI, name="one", *events, versions=(), **more):
    affected = {"package": {"ecosystem": ecosystem, "name": name}, "versions": list(versions)}
    if events:
        affected["ranges"] = [a_range(*events)]
    return {"schema_version": "1.7.0", "id": id, "modified": "2026-03-01T10:00:00Z", "affected": [affected], **more}


def affected(*ranges, versions=()):
    data = json.dumps({"id": "x", "modified": "2026-03-01T10:00:00Z", "affected": [
        {"ranges": list(ranges), "versions": list(versions)}]}).encode()  # fmt: skip
    return advisories.parse(data, where="x").affected[0]


ALWAYS = ("introduced", "0")


@pytest.mark.parametrize(
    ("ecosystem", "version", "events", "fixed"),
    [
        (PYPI, "1.0", [ALWAYS, ("fixed", "1.1")], "1.1"),
        (PYPI, "1.1", [ALWAYS, ("fixed", "1.1")], None),
        (PYPI, "1.1rc1", [ALWAYS, ("fixed", "1.1")], "1.1"),
        (PYPI, "1.10", [ALWAYS, ("fixed", "1.9")], None),
        (PYPI, "1.0", [("introduced", "1.1"), ("fixed", "1.2")], None),
        (PYPI, "2.1", [ALWAYS, ("fixed", "1.1"), ("introduced", "2.0"), ("fixed", "2.2")], "2.2"),
        (PYPI, "1.5", [ALWAYS, ("fixed", "1.1"), ("introduced", "2.0"), ("fixed", "2.2")], None),
        (PYPI, "2.1", [("fixed", "2.2"), ("introduced", "2.0"), ("fixed", "1.1"), ALWAYS], "2.2"),
        (PYPI, "1.1", [ALWAYS, ("last_affected", "1.1")], ""),
        (PYPI, "1.1.post1", [ALWAYS, ("last_affected", "1.1")], None),
        (PYPI, "9", [ALWAYS], ""),
        (PYPI, "3", [ALWAYS, ("limit", "2")], None),
        (PYPI, "1", [ALWAYS, ("limit", "2")], ""),
        (PYPI, "1", [ALWAYS, ("limit", "*")], ""),
        (DEBIAN, "3.0.17-1~deb12u2", [ALWAYS, ("fixed", "3.0.17-1~deb12u3")], "3.0.17-1~deb12u3"),
        (DEBIAN, "3.0.17-1", [ALWAYS, ("fixed", "3.0.17-1~deb12u3")], None),
        (DEBIAN, "1:1.0-1", [ALWAYS, ("fixed", "9.0-1")], None),  # an epoch is greater than any version without
        (DEBIAN, "9.0-1", [ALWAYS, ("fixed", "1:1.0-1")], "1:1.0-1"),
        (DEBIAN, "2.36-9+deb12u9", [ALWAYS, ("fixed", "2.36-9+deb12u10")], "2.36-9+deb12u10"),
        (GO, "v1.2.3", [ALWAYS, ("fixed", "1.2.4")], "1.2.4"),
        (GO, "v1.2.4", [ALWAYS, ("fixed", "1.2.4")], None),
        (GO, "v2.0.0+incompatible", [ALWAYS, ("fixed", "2.0.0")], None),
        (GO, "v0.0.0-20240101000000-abcdef012345", [ALWAYS, ("fixed", "0.0.0-20240201000000-0123456789ab")],
         "0.0.0-20240201000000-0123456789ab"),
        (GO, "1.27.3", [("introduced", "1.27.0-0"), ("fixed", "1.27.4")], "1.27.4"),
        (MAVEN, "4.1.9.Final", [ALWAYS, ("fixed", "4.1.10.Final")], "4.1.10.Final"),
        (MAVEN, "2.0", [ALWAYS, ("fixed", "2.0-rc1")], None),
    ],
)  # fmt: skip
def test_a_range_holds_a_version(ecosystem, version, events, fixed):
    judged = judge(version, affected(a_range(*events)), ecosystem=ecosystem)
    assert (judged.affected, judged.fixed) == (fixed is not None, fixed or "")


@pytest.mark.parametrize(
    ("ecosystem", "version", "listed", "hit"),
    [
        (PYPI, "1.0", ["0.9", "1.0"], True),
        (PYPI, "1.0", ["0.9", "1.1"], False),
        (PYPI, "2024.1.1", ["2024.01.01", "no version"], True),
        (DEBIAN, "no version", ["no version"], True),
    ],
)
def test_a_list_names_a_version(ecosystem, version, listed, hit):
    assert judge(version, affected(versions=listed), ecosystem=ecosystem).affected == hit


def test_a_range_of_commits_says_nothing_of_versions():
    assert not judge("1.0", affected(a_range(ALWAYS, type="GIT")), ecosystem=PYPI).affected


def test_a_version_that_nobody_can_compare_is_told():
    with pytest.raises(IncomparableError):
        judge("RELEASE.2025", affected(a_range(ALWAYS, ("fixed", "1.0.0"))), ecosystem=GO)


def write(folder, *records, name="{}.json"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(records):
        (folder / name.format(number)).write_text(json.dumps(each))
    return folder


def find(tmp_path, packages, *records):
    return flaws.find(packages, advisories.load(write(tmp_path / "osv", *records)))


def told(found):
    return [(each.package.name, each.id, each.fixed) for each in found.flaws]


ONE = Package(ecosystem=PYPI, name="one-two", version="1.0")
BAD = (ALWAYS, ("fixed", "1.1"))


@pytest.mark.parametrize(
    ("record", "hit"),
    [
        pytest.param(a_record("A", PYPI, "one-two", *BAD), True, id="its name"),
        pytest.param(a_record("A", PYPI, "One_Two", *BAD), True, id="its name in another spelling"),
        pytest.param(a_record("A", PYPI, "one", *BAD), False, id="another name"),
        pytest.param(a_record("A", "npm", "one-two", *BAD), False, id="another ecosystem"),
        pytest.param(a_record("A", "Debian:12", "one-two", *BAD), False, id="another ecosystem of ours"),
        pytest.param(a_record("A", PYPI, "one-two", *BAD, withdrawn="2026-03-01T10:00:00Z"), False, id="withdrawn"),
        pytest.param({"id": "A", "modified": "2026-03-01T10:00:00Z"}, False, id="about nothing"),
        pytest.param({"id": "A", "modified": "2026-03-01T10:00:00Z", "affected": None}, False, id="null"),
    ],
)
def test_a_record_is_about_a_package_by_ecosystem_and_name(tmp_path, record, hit):
    assert told(find(tmp_path, [ONE], record)) == ([("one-two", "A", "1.1")] if hit else [])


def test_records_that_are_aliases_are_one_flaw(tmp_path):
    found = find(
        tmp_path, [ONE],
        a_record("PYSEC-1", PYPI, "one-two", ALWAYS, aliases=["CVE-1"]),
        a_record("GHSA-1", PYPI, "one-two", *BAD, aliases=["CVE-1"], database_specific={"severity": "HIGH"}),
        a_record("CVE-2", PYPI, "one-two", ALWAYS, severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}]),
    )  # fmt: skip
    assert [(each.id, each.aliases, each.severity, each.fixed) for each in found.flaws] == [
        ("CVE-2", (), "CVSS:3.1/AV:N", ""),
        ("GHSA-1", ("CVE-1", "PYSEC-1"), "high", "1.1"),
    ]


def test_an_advisory_of_a_distribution_about_several_flaws_joins_none(tmp_path):
    package = Package(ecosystem=DEBIAN, name="openssl", version="1-1")
    found = find(
        tmp_path, [package],
        a_record("DEBIAN-CVE-1", DEBIAN, "openssl", ALWAYS, upstream=["CVE-1"]),
        a_record("DEBIAN-CVE-2", DEBIAN, "openssl", ALWAYS, upstream=["CVE-2"]),
        a_record("DSA-1", DEBIAN, "openssl", ALWAYS, ("fixed", "1-2"), upstream=["CVE-1", "CVE-2"]),
    )  # fmt: skip
    assert [(each.id, each.upstream) for each in found.flaws] == [
        ("DEBIAN-CVE-1", ("CVE-1",)), ("DEBIAN-CVE-2", ("CVE-2",)), ("DSA-1", ("CVE-1", "CVE-2")),
    ]  # fmt: skip


def test_what_cannot_be_judged_is_told(tmp_path):
    odd = Package(ecosystem=GO, name="example.org/odd", version="(devel)")
    found = find(
        tmp_path, [ONE, odd, Package(ecosystem=MAVEN, name="a:b", version="1")],
        a_record("A", GO, "example.org/odd", ALWAYS, ("fixed", "1.0.0")),
        a_record("B", PYPI, "other", ALWAYS),
    )  # fmt: skip
    assert (found.flaws, found.not_judged, found.without_advisories) == ([], [odd], [MAVEN])


def test_a_lock_gives_source_packages_and_distributions():
    lock = a_lock(
        an_input("apt/pool/a.deb", b"a", kind="deb", name="libssl3", version="3.0.17-1+b1",
                 source=Source(name="openssl", version="3.0.17-1")),
        an_input("apt/pool/b.deb", b"b", kind="deb", name="openssl", version="3.0.17-1",
                 source=Source(name="openssl", version="3.0.17-1")),
        an_input("apt/pool/c.deb", b"c", kind="deb", name="old", version="1:1-1"),
        an_input("apt/pool/k.deb", b"k", kind="deb", name="linux-image-6.1.0-56-amd64", version="6.1.192-2",
                 source=Source(name="linux-signed-amd64", version="6.1.192+2")),
        an_input("servers/x/x", b"x", kind="server", name="x", version="1"),
        an_input("wheels/one.whl", b"o", name="one", version="1.0"),
    )  # fmt: skip
    assert [(each.ecosystem, each.name, each.version, each.files) for each in flaws.of_lock(lock)] == [
        (DEBIAN, "linux", "6.1.192-2", ("apt/pool/k.deb",)),
        (DEBIAN, "old", "1:1-1", ("apt/pool/c.deb",)),
        (DEBIAN, "openssl", "3.0.17-1", ("apt/pool/a.deb", "apt/pool/b.deb")),
        (PYPI, "one", "1.0", ("wheels/one.whl",)),
    ]


def test_a_bill_of_materials_gives_what_is_inside_of_files_too():
    from appliance.bundle.manifest import Member

    deb = an_input("apt/pool/a.deb", b"a", kind="deb", name="libssl3", version="3-1+b1", licence="MIT AND LicenseRef-x",
                   source=Source(name="openssl", version="3-1"))  # fmt: skip
    server = an_input("servers/x/x", b"x", kind="server", name="x", version="1")
    jar = an_input("servers/y/y.jar", b"y", kind="server", name="y", version="1")
    lock = a_lock(deb, server, jar)
    members = [
        Member(path=each.path, size_bytes=each.size_bytes, digest=each.digest, executable=False, part="servers")
        for each in lock.inputs
    ]
    inside = sbom.Inside(
        modules={"servers/x/x": (
            sbom.Module(path="stdlib", version="1.27.3", sum=""),
            sbom.Module(path="github.com/BurntSushi/toml", version="v1.2.0", sum="h1:x"),
        )},
        coordinates={jar.digest: "io.netty:netty-codec:4.1.1.Final"},
    )  # fmt: skip
    bill = sbom.render(lock, version="1.0.0", members=members, inside=inside)
    assert [(each.ecosystem, each.name, each.version, each.files) for each in flaws.of_bill(bill, where="x")] == [
        (DEBIAN, "openssl", "3-1", ("apt/pool/a.deb",)),
        (GO, "github.com/BurntSushi/toml", "v1.2.0", ("servers/x/x",)),
        (GO, "stdlib", "1.27.3", ("servers/x/x",)),
        (MAVEN, "io.netty:netty-codec", "4.1.1.Final", ("servers/y/y.jar",)),
    ]
    assert '"expression": "MIT AND LicenseRef-x"' in bill.decode()


@pytest.mark.parametrize("bill", [b"", b"[]", b"{}", b'{"components": [{"name": "x", "purl": "no url"}]}',
                                  b'{"components": [{"purl": "pkg:pypi/x@1"}]}'])  # fmt: skip
def test_what_is_no_bill_is_refused(bill):
    with pytest.raises(ApplianceError) as error:
        flaws.of_bill(bill, where="x")
    assert error.value.code == codes.BILL_INVALID


def test_mended_and_brought_in_are_known_by_any_name(tmp_path):
    records = (
        a_record("GHSA-1", PYPI, "one-two", ALWAYS, ("fixed", "1.1"), aliases=["CVE-1"]),
        a_record("PYSEC-2", PYPI, "one-two", ("introduced", "1.1"), aliases=["CVE-2"]),
        a_record("CVE-3", PYPI, "one-two", ALWAYS),
    )
    before = find(tmp_path, [ONE], *records).flaws
    after = find(tmp_path, [Package(ecosystem=PYPI, name="one-two", version="1.1")], *records).flaws
    assert [each.id for each in flaws.beside(before, after)] == ["GHSA-1"]
    assert [each.id for each in flaws.beside(after, before)] == ["PYSEC-2"]


GOOD = a_record("A", PYPI, "one-two", *BAD)


def test_a_zip_and_a_folder_with_zips_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("A.json", json.dumps(GOOD))
        made.writestr("README", "no record")
    folder = write(tmp_path / "osv", {**a_record("B"), "modified": "2026-04-01T10:00:00.5Z", "withdrawn":
                                      "2026-04-01T10:00:00Z"})  # fmt: skip
    (folder / "notes.txt").write_text("no record")
    (folder / "pypi").mkdir()
    (tmp_path / "all.zip").rename(folder / "pypi/all.zip")
    alone = advisories.load(folder / "pypi/all.zip")
    both = advisories.load(folder)
    assert ([each.record.id for each in alone.standing], alone.withdrawn) == (["A"], 0)
    assert ([each.record.id for each in both.standing], both.withdrawn) == (["A"], 1)
    assert both.newest.isoformat() == "2026-04-01T10:00:00.500000+00:00"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{}", id="nothing told"),
        pytest.param(b'{"id": "", "modified": "2026-03-01T10:00:00Z"}', id="no id"),
        pytest.param(b'{"id": "A", "modified": "yesterday"}', id="no instant"),
        pytest.param(b'{"id": "A", "modified": "2026-03-01T10:00:00"}', id="no zone"),
        pytest.param(b'{"id": "A", "modified": "2026-03-01T10:00:00Z", "schema_version": "2.0.0"}', id="schema 2"),
        pytest.param(json.dumps({**GOOD, "affected": [{"ranges": [{"type": "ODD", "events": [{"fixed": "1"}]}]}]})
                     .encode(), id="another kind of range"),
        pytest.param(json.dumps({**GOOD, "affected": [{"ranges": [a_range()]}]}).encode(), id="no event"),
        pytest.param(json.dumps({**GOOD, "affected": [{"ranges": [{"type": "SEMVER", "events": [{}]}]}]}).encode(),
                     id="an event of nothing"),
        pytest.param(json.dumps({**GOOD, "affected": [{"ranges": [
            {"type": "SEMVER", "events": [{"introduced": "0", "fixed": "1"}]}]}]}).encode(), id="an event of two"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b'{"database_specific": ' + b"[" * 100_000, id="too deep"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_record_is_named(tmp_path, data):
    (write(tmp_path, GOOD) / "bad.json").write_bytes(data)
    with pytest.raises(ApplianceError) as error:
        advisories.load(tmp_path)
    assert error.value.code == codes.ADVISORY_INVALID
    assert error.value.where == str(tmp_path / "bad.json")


def test_a_record_with_a_version_that_its_ecosystem_does_not_know_is_not_judged_and_the_others_are(tmp_path):
    other = Package(ecosystem=PYPI, name="other", version="1.0")
    found = find(
        tmp_path, [ONE, other],
        a_record("A", PYPI, "one-two", ALWAYS, ("fixed", "no version")),
        a_record("B", PYPI, "one-two", *BAD),
        a_record("C", PYPI, "absent", ALWAYS, ("fixed", "no version")),
        a_record("D", PYPI, "other", ALWAYS, ("fixed", "no version"), versions=["1.0"]),
    )  # fmt: skip
    assert told(found) == [("one-two", "B", "1.1"), ("other", "D", "")]  # a list that names the version is enough
    assert found.not_judged == []
    assert found.records_not_judged == [
        Unjudged(file=str(tmp_path / "osv/0.json"), id="A", package="one-two",
                 reason="PyPI knows no version 'no version'"),
    ]  # fmt: skip


def test_nothing_to_judge_by_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 cut")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for name in ("absent", "empty", "no.zip", "empty.zip"):
        with pytest.raises(ApplianceError) as error:
            advisories.load(tmp_path / name)
        assert error.value.code == codes.NO_ADVISORIES
        assert error.value.where == str(tmp_path / name)
