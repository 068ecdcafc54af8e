"""What `appliance verify` says of files that upkeep removed: not broken, not established, and with evidence.

The site is real: made, filled and kept up by the commands. Whatever is not told by documents of the log is broken.
"""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from appliance.base.canonical import canonical
from appliance.base.clock import FixedClock, SystemClock
from appliance.base.digest import digest_bytes, digest_file, hex_of
from appliance.cli.main import run
from appliance.config.site import open_site
from appliance.governance.lineage import FileRecord
from appliance.orchestration.chain import Chain
from appliance.orchestration.findings import Findings
from appliance.orchestration.prediction_links import _readings
from appliance.orchestration.removed_files import RemovedFile, standing, stands_in
from appliance.orchestration.verification import Verifier
from appliance.storage.files import SiteFiles
from appliance.storage.upkeep.documents import Removal, Removed, Rewrite, removal_facts
from appliance.wiring.parts import Parts
from tests.small_site import MEASURES, NOW, avro, readings, record
from tests.system.trust import opinions

READINGS, RAW = "silver.readings", "raw.records"
RUNS = 5


def fill(folder, number):
    incoming = folder / "spool" / "readings" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    (incoming / f"{number}.avro").write_bytes(avro(record("tx-1", number, readings(4, first=4 * number))))
    assert run(["ingest", "run", "--site", str(folder)]) == 0


@pytest.fixture(scope="module")
def kept_up(tmp_path_factory):
    """A site whose files of five commits are removed, and one more commit; with the commits as they were."""
    folder = tmp_path_factory.mktemp("removed") / "site"
    assert run(["site", "init", "--site", str(folder), "--set", "storage.retain_files=1us"]) == 0
    (folder / "declarations").mkdir(exist_ok=True)
    (folder / "declarations" / "measures.toml").write_text(MEASURES)
    for number in range(RUNS):
        fill(folder, number)
    lake = Parts(site=open_site(folder), clock=SystemClock()).lake
    commits = {name: lake.commits(name) for name in (READINGS, RAW)}
    for keep in ("20", "1"):
        assert run(["table", "upkeep", "--keep", keep, "--site", str(folder)]) == 0
    fill(folder, RUNS)
    return folder, commits


@pytest.fixture
def site(kept_up, tmp_path):
    folder = tmp_path / "site"
    shutil.copytree(kept_up[0], folder)
    return folder


@pytest.fixture
def commits(kept_up):
    return kept_up[1]


def verify(folder, subject):
    return Verifier(open_site(Path(folder)), SystemClock()).verify(subject)


def documents(folder, kind):
    found = [json.loads(path.read_bytes()) for path in (folder / "lineage").glob("*.json")]
    return [each for each in found if each["kind"] == kind]


def parts_of(folder):
    return Parts(site=open_site(folder), clock=FixedClock(NOW))


def document_of(folder, id):
    return json.loads((folder / "lineage" / f"{hex_of(id)}.json").read_bytes())


def newest(folder):
    """Lineage id and document of the newest commit of the readings, which came after the compaction."""
    id = parts_of(folder).lake.head(READINGS).properties["appliance.lineage"]
    return id, document_of(folder, id)


def standing_file(folder, name=READINGS):
    (compaction,) = (
        each for each in documents(folder, "commit") if each["facts"].get("upkeep") and each["name"] == name
    )
    return compaction["files"][0]["path"]


def test_the_files_are_gone_and_the_removal_names_them(site, commits):
    for name in (READINGS, RAW):
        (removal,) = (each for each in documents(site, "removal") if each["name"] == name)
        paths = [path for each in commits[name] for path in each.files]
        assert sorted(each["path"] for each in removal["facts"]["removed"]) == sorted(paths)
        assert not any((site / path).exists() for path in paths)


@pytest.mark.parametrize("number", [0, RUNS - 1])
def test_a_commit_whose_files_were_removed_is_neither_broken_nor_established(site, commits, number):
    verdict = verify(site, commits[READINGS][number].lineage_id)
    assert verdict.ok, verdict.text()
    (removal,) = (each for each in documents(site, "removal") if each["name"] == READINGS)
    (said,) = (each for each in verdict.not_established if "removed on" in each and READINGS in each)
    assert removal["facts"]["at"] in said
    assert f"rows stand in {standing_file(site)}" in said
    paths = {path for each in commits[READINGS][: number + 1] for path in each.files}
    assert {path for path in paths if path in said} == paths
    assert not paths & {link.path for link in verdict.links}
    assert any("removed files stand in the raw bytes" in each for each in verdict.not_established)
    assert not any("every accepted reading" in each for each in verdict.established)


def test_the_evidence_is_part_of_the_chain(site, commits):
    links = {link.path: link for link in verify(site, commits[READINGS][0].lineage_id).links}
    for kind in ("removal", "commit"):
        for each in documents(site, kind):
            if each["name"] == READINGS and (kind == "removal" or each["facts"].get("upkeep")):
                path = f"lineage/{hex_of(digest_bytes(canonical(each)))}.json"
                assert (links[path].kind, links[path].ok) == ("lineage", True)
    assert (links[standing_file(site)].kind, links[standing_file(site)].ok) == ("file", True)


def test_a_removed_file_can_be_asked_for(site, commits):
    (path,) = commits[READINGS][0].files
    assert run(["verify", path, "--site", str(site)]) == 0
    assert any(path in sentence for sentence in verify(site, path).not_established)


def test_what_rests_on_the_compaction_is_recomputed_from_its_file(site):
    """The rows that stand in are compared with the raw bytes, found by the records that stand in."""
    lineage_id, document = newest(site)
    assert document_of(site, document["inputs"][0])["facts"]["upkeep"] == "compaction"
    verdict = verify(site, lineage_id)
    assert verdict.ok, verdict.text()
    assert "every accepted reading below the subject stands in the raw bytes that came in" in verdict.established
    assert any(link.kind == "recomputed" and link.path == standing_file(site) for link in verdict.links)


@pytest.mark.parametrize(
    ("of", "expected"),
    [("first", None), ("last before the rewrite", ["rewrite"]), ("after the rewrite", ["newest", "rewrite"])],
)
def test_readings_of_a_prediction_by_what_its_online_store_held(site, commits, of, expected):
    """Each row once: those that a rewrite replaced do not count beside it, and rows that came later do not count."""
    newest_id, document = newest(site)
    ids = {"first": commits[READINGS][0].lineage_id, "last before the rewrite": commits[READINGS][-1].lineage_id}
    id = ids.get(of, newest_id)
    parts = parts_of(site)
    chain = Chain(
        files=SiteFiles(site), lineage=parts.lineage, log_entries=parts.anchor.entries(), findings=Findings(site)
    )
    chain.add(newest_id)
    files = {"rewrite": standing_file(site), "newest": document["files"][0]["path"]}
    found = _readings(SimpleNamespace(chain=chain), id)
    assert found == (None if expected is None else sorted(files[each] for each in expected))
    if of == "after the rewrite":
        rows = sum(pq.read_metadata(site / each).num_rows for each in found)
        assert rows == parts.lake.scan(READINGS, columns=("device_id",)).num_rows


def test_a_file_of_no_commit_is_told_of_as_such(site):
    """Its writer was ended between the document and the swap; upkeep removed it as an orphan."""
    path = site / "lake/silver/readings/data/00000000000000000007-00112233.parquet"
    path.write_bytes(b"rows of a commit that never was")
    file = FileRecord(path=path.relative_to(site).as_posix(), digest=digest_file(path), size=path.stat().st_size)
    lineage_id = parts_of(site).lineage.write(kind="commit", name=READINGS, files=[file], inputs=[], facts={"rows": 1})
    log_removal(site, file.as_json(), "")
    path.unlink()
    verdict = verify(site, lineage_id)
    assert verdict.ok, verdict.text()
    (said,) = (each for each in verdict.not_established if "removed on" in each)
    assert "no commit held it" in said
    assert file.path in said


def test_a_pack_of_the_site_is_verified_by_every_verifier(kept_up, tmp_path, capsys):
    """A pack carries the log and not the lake: removals are entries like others, and nobody misses a file."""
    site, pack = ("--site", str(kept_up[0])), str(tmp_path / "pack")
    assert run(["trust", "status", *site, "--json"]) == 0
    pin = json.loads(capsys.readouterr().out.splitlines()[-1])["root_digest"]
    assert run(["audit", "export", pack, *site]) == 0
    assert run(["audit", "verify", pack, "--root-digest", pin, *site]) == 0
    opinions.write_builds(tmp_path)
    for name in opinions.BUILDS:
        assert opinions.ask(opinions.command(str(tmp_path / name), pack, pin)) is None, name


# Whatever is not told by documents of the log is broken


def missing_without_removal(site, commits):
    """Nothing ever removed the file of the newest commit."""
    lineage_id, document = newest(site)
    (site / document["files"][0]["path"]).unlink()
    return lineage_id, document["files"][0]["path"], "No such file"


def forged_removal(site, commits):
    """Its digests are right; but the log does not name it."""
    lineage_id, document = newest(site)
    (file,) = document["files"]
    facts = removal_facts([Removed(file=FileRecord(**file), replaced_by="")], NOW)
    data = canonical({"kind": "removal", "name": READINGS, "files": [], "inputs": [], "facts": facts})
    (site / "lineage" / f"{hex_of(digest_bytes(data))}.json").write_bytes(data)
    (site / file["path"]).unlink()
    return lineage_id, file["path"], "No such file"


def log_removal(site, file, replaced_by):
    return parts_of(site).lineage.write(
        kind="removal",
        name=READINGS,
        files=[],
        inputs=[],
        facts=removal_facts([Removed(file=FileRecord(**file), replaced_by=replaced_by)], NOW),
    )


def of_no_commit(site, commits):
    """A commit that others rest on held the file."""
    lineage_id, document = newest(site)
    (file,) = document_of(site, document["inputs"][0])["files"]
    log_removal(site, file, "")
    (site / file["path"]).unlink()
    return lineage_id, file["path"], "that no commit held it, but commit silver.readings did"


def by_a_commit_that_does_not_name_it(site, commits):
    lineage_id, document = newest(site)
    (file,) = document["files"]
    other = commits[READINGS][0].lineage_id
    log_removal(site, file, other)
    (site / file["path"]).unlink()
    return lineage_id, file["path"], f"{other} replaced it, and that does not name it"


def of_another_digest(site, commits):
    lineage_id, document = newest(site)
    (file,) = document["files"]
    log_removal(site, {**file, "digest": "sha256:" + "0" * 64}, "")
    (site / file["path"]).unlink()
    return lineage_id, file["path"], "No such file"


def stand_in_missing(site, commits):
    path = standing_file(site)
    (site / path).unlink()
    return commits[READINGS][0].lineage_id, path, "No such file"


def stand_in_altered(site, commits):
    path = standing_file(site)
    (site / path).chmod(0o644)
    (site / path).write_bytes(b"other rows")
    return commits[READINGS][0].lineage_id, path, "expected sha256"


def removal_altered(site, commits):
    (path,) = (each for each in (site / "lineage").glob("*.json")
               if b'"kind":"removal"' in each.read_bytes() and READINGS.encode() in each.read_bytes())  # fmt: skip
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"2026", b"2027", 1) + b" ")
    return commits[READINGS][0].lineage_id, path.relative_to(site).as_posix(), "the bytes have"


def put_back_with_other_bytes(site, commits):
    (path,) = commits[READINGS][0].files
    (site / path).write_bytes(b"other rows")
    return commits[READINGS][0].lineage_id, path, "expected sha256"


BROKEN = {each.__name__: each for each in (
    missing_without_removal, forged_removal, of_no_commit, by_a_commit_that_does_not_name_it, of_another_digest,
    stand_in_missing, stand_in_altered, removal_altered, put_back_with_other_bytes,
)}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_as_ever(site, commits, name):
    subject, path, detail = BROKEN[name](site, commits)
    verdict = verify(site, subject)
    assert path in {link.path for link in verdict.broken}, verdict.text()
    assert any(detail in link.detail for link in verdict.broken if link.path == path), verdict.text()
    assert run(["verify", subject, "--site", str(site)]) == 3


def test_a_file_that_a_removal_names_and_that_is_there_is_established(site):
    """Upkeep was ended between the two."""
    lineage_id, document = newest(site)
    (file,) = document["files"]
    log_removal(site, file, "")
    verdict = verify(site, lineage_id)
    assert verdict.ok
    assert any(link.path == file["path"] and link.kind == "file" for link in verdict.links)
    assert not any(file["path"] in sentence for sentence in verdict.not_established)


# Which files hold the rows of removed ones: pure


def removed_by(*rewrites):
    """`rewrites` are (new file, files that it replaced, which are all gone)."""
    found = {}
    for new, old in rewrites:
        rewrite = Rewrite(
            file=new, rows=1, content="", replaced=tuple(FileRecord(path=each, digest="", size=1) for each in old)
        )
        for file in rewrite.replaced:
            removal = Removal(id="r", table="t", at=NOW, removed=())
            found[file.path] = RemovedFile(of="t", file=file, removal=removal, compaction=new, rewrite=rewrite)
    return found


STANDING = {
    "nothing was removed": ("ab", (), "ab"),
    "all of a rewrite": ("abc", [("n", "ab")], "nc"),
    "a rewrite that took in others": ("ac", [("n", "ab")], None),
    "a rewrite of a rewrite": ("abc", [("n", "ab"), ("m", "nc")], "m"),
    "a rewrite of a rewrite with others": ("ab", [("n", "ab"), ("m", "nc")], None),
    "two rewrites": ("abcd", [("n", "ab"), ("m", "cd")], "nm"),
}


@pytest.mark.parametrize("name", STANDING)
def test_which_files_hold_exactly_the_rows(name):
    paths, rewrites, expected = STANDING[name]
    assert standing(paths, removed_by(*rewrites)) == (None if expected is None else set(expected))


def test_which_file_has_the_rows():
    removed = removed_by(("n", "ab"), ("m", "nc"))
    assert [stands_in(path, removed) for path in "abcnmz"] == ["m", "m", "m", "m", "m", "z"]
