"""`appliance bundle flaws`, and flaws beside a renewal: told to people and programs, and never a verdict."""

import json

import pytest

from appliance.bundle import lock as locks
from appliance.cli.main import run
from tests.bundle_checkout import a_lock, an_input, make_checkout
from tests.bundles import write as write_bundle


def record(id, *events, **more):
    return {
        "id": id, "modified": "2026-03-01T10:00:00Z", **more,
        "affected": [{"package": {"ecosystem": "PyPI", "name": "one"},
                      "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}],
    }  # fmt: skip


@pytest.fixture
def osv(tmp_path):
    folder = tmp_path / "osv"
    folder.mkdir()
    for each in (
        record("GHSA-1", {"introduced": "0"}, {"fixed": "1.1"}, aliases=["CVE-1"]),
        record("GHSA-2", {"introduced": "1.1"}, database_specific={"severity": "LOW"}),
        record("GHSA-3", {"introduced": "0"}),
        record("GHSA-4", {"introduced": "0"}, withdrawn="2026-03-02T10:00:00Z"),
    ):
        (folder / f"{each['id']}.json").write_text(json.dumps(each))
    return folder


def a_lock_file(path, version):
    lock = a_lock(
        an_input("wheels/one.whl", b"one", name="one", version=version),
        an_input("apt/pool/a.deb", b"a", kind="deb", name="a"),
    )
    path.write_bytes(locks.render(lock))
    return path


def ask(capsys, *words):
    code = run(["bundle", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_flaws_of_a_lock(tmp_path, osv, capsys):
    path = a_lock_file(tmp_path / "x.lock.json", "1.0")
    code, told = ask(capsys, "flaws", path, "--advisories", osv)
    assert code == 0
    assert told["flaws"] == [
        {"ecosystem": "PyPI", "name": "one", "version": "1.0", "files": ["wheels/one.whl"], "id": name,
         "aliases": aliases, "upstream": [], "severity": "", "fixed": fixed}
        for name, aliases, fixed in (("GHSA-1", ["CVE-1"], "1.1"), ("GHSA-3", [], ""))
    ]  # fmt: skip
    assert {name: told[name] for name in ("packages", "advisories", "withdrawn", "newest")} == {
        "packages": 2, "advisories": 3, "withdrawn": 1, "newest": "2026-03-01T10:00:00Z",
    }  # fmt: skip
    assert told["without_advisories"] == ["Debian:12"]
    assert run(["bundle", "flaws", str(path), "--advisories", str(osv)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["PyPI", "one", "1.0", "GHSA-1", "CVE-1", "none", "told", "1.1"]
    assert any(line.startswith("the newest advisory is of 2026-03-01T10:00:00Z, ") for line in lines)
    assert "not judged, for there is no advisory of: Debian:12" in lines


@pytest.mark.parametrize("against", [False, True])
def test_a_record_with_an_odd_version_is_told_and_counted(tmp_path, osv, capsys, against):
    path = a_lock_file(tmp_path / "x.lock.json", "1.0")
    odd = osv / "PYSEC-9.json"
    odd.write_text(json.dumps(record("PYSEC-9", {"introduced": "0"}, {"fixed": "1.x.y"})))
    words = ("flaws", path, "--advisories", osv, *(("--against", path) if against else ()))
    code, told = ask(capsys, *words)
    assert code == 0
    assert [each["id"] for each in told["stay" if against else "flaws"]] == ["GHSA-1", "GHSA-3"]
    assert (told["advisories"], told["records_not_judged"]) == (4, 1)
    assert told["records_not_judged_details"] == [
        {"file": str(odd), "id": "PYSEC-9", "package": "one", "reason": "PyPI knows no version '1.x.y'"}
    ]
    assert run(["bundle", *map(str, words)]) == 0
    out = capsys.readouterr().out
    assert "2 flaws in 2 packages, by 4 advisories (1 withdrawn, 1 not judged)\n" in out
    assert f"not judged, PYSEC-9 about one: PyPI knows no version '1.x.y'; {odd}\n" in out
    odd.write_text("{}")
    code, told = ask(capsys, *words)
    assert (code, told["error"]["code"], told["error"]["where"]) == (2, "APL-BUNDLE-019", str(odd))


def test_what_a_renewal_mends_and_brings_in(tmp_path, osv, capsys):
    before, after = (a_lock_file(tmp_path / f"{each}.json", each) for each in ("1.0", "1.1"))
    code, told = ask(capsys, "flaws", after, "--against", before, "--advisories", osv)
    assert code == 0
    assert {name: [each["id"] for each in told[name]] for name in ("mended", "brought", "stay")} == {
        "mended": ["GHSA-1"], "brought": ["GHSA-2"], "stay": ["GHSA-3"],
    }  # fmt: skip
    assert told["brought"][0]["severity"] == "low"
    run(["bundle", "flaws", str(after), "--against", str(before), "--advisories", str(osv)])
    out = capsys.readouterr().out
    assert all(line in out for line in ("flaws mended: 1\n", "flaws brought in: 1\n", "flaws stay: 1\n"))


def test_a_bundle_is_judged_by_its_bill_of_materials(tmp_path, osv, capsys):
    write_bundle(tmp_path / "demo")
    code, told = ask(capsys, "flaws", tmp_path / "demo", "--advisories", osv)
    assert (code, told["error"]["code"]) == (2, "APL-BUNDLE-031")
    bill = {"components": [{"name": "one", "purl": "pkg:pypi/one@1.0"}]}
    (tmp_path / "demo/sbom/bundle.cdx.json").write_text(json.dumps(bill))
    assert [each["id"] for each in ask(capsys, "flaws", tmp_path / "demo", "--advisories", osv)[1]["flaws"]] == [
        "GHSA-1", "GHSA-3",
    ]  # fmt: skip


@pytest.mark.parametrize("verb", ["lock", "outdated"])
def test_advisories_that_are_not_there_are_told_before_a_source_is_asked(tmp_path, capsys, verb):
    checkout = make_checkout(tmp_path, 'name = "small"\nenvironments = ["tools"]\n')
    words = (verb, "small", "--checkout", checkout.root, "--advisories", tmp_path / "absent")
    code, told = ask(capsys, *words)
    assert (code, told["error"]["code"]) == (2, "APL-BUNDLE-018")
    assert not (tmp_path / "build").exists()
