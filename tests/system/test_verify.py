"""`appliance verify` names exactly the file that was changed, whichever it is, and needs no network."""

import multiprocessing
import random
import shutil
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from appliance.base.canonical import canonical
from appliance.base.digest import digest_bytes, hex_of
from appliance.base.errors import ApplianceError
from tests.product import MODEL, OFFLINE, Product
from tests.system.flips import flipped, rewrite, verify, what_a_flip_leads_to

pytestmark = pytest.mark.integration

RAW_OBJECTS = 40  # flipped; all other files are flipped without exception
WORKERS = 2


def files_of(folder, verdict):
    return sorted({link.path for link in verdict.links if link.path and (Path(folder) / link.path).is_file()})


@pytest.fixture(scope="module")
def verdict(demo):
    found = verify(demo.folder, demo.prediction)
    assert found.ok, found.text()
    return found


def test_one_flipped_byte_in_any_file_is_found_and_only_that_file_is_named(demo, verdict, seed, tmp_path):
    files = files_of(demo.folder, verdict)
    objects = [path for path in files if path.startswith("objects/")]
    chosen = random.Random(seed).sample(objects, min(RAW_OBJECTS, len(objects)))
    paths = [path for path in files if path not in objects] + chosen
    kinds = {path.split("/")[0] for path in paths}
    assert kinds == {"lake", "lineage", "objects", "registry", "runs", "serving", "trust"}
    copies = [tmp_path / str(number) for number in range(WORKERS)]
    for copy in copies:
        shutil.copytree(demo.folder, copy)
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        parts = [
            pool.submit(what_a_flip_leads_to, str(copy), demo.prediction, paths[number::WORKERS], seed)
            for number, copy in enumerate(copies)
        ]
        found = [each for part in parts for each in part.result()]
    assert len(found) == len(paths) > 80
    # A changed trust config or policy is the cause of all that then fails to verify; others name themselves alone.
    causes = [each for each in found if each[0] in ("trust/trust-config.json", "trust/trust-policy.json")]
    assert all(path in broken for path, _, broken in causes)
    wrong = [each for each in found if each[2] != [each[0]] and each not in causes]
    assert wrong == [], f"seed {seed}"
    assert all(verify(copy, demo.prediction).ok for copy in copies), "every byte was put back"


def test_two_changed_files_are_both_named(copied, verdict, demo):
    paths = [path for path in files_of(demo.folder, verdict) if path.startswith(("objects/", "registry/"))]
    chosen = [paths[0], paths[-1]]
    for path in chosen:
        file = copied.folder / path
        rewrite(file, flipped(file.read_bytes(), 0, 0))
    assert sorted({link.path for link in verify(copied.folder, demo.prediction).broken}) == chosen


# The command itself, in a network namespace that has no interface


def test_offline_the_chain_of_a_prediction_holds(demo):
    ended = demo.product.run("verify", demo.prediction, role="auditor", prefix=OFFLINE)
    assert (ended.code, ended.printed["verified"]) == (0, True)
    assert {link["kind"] for link in ended.printed["links"]} >= {
        "log",
        "audit",
        "lineage",
        "file",
        "signature",
        "recomputed",
    }
    assert any("no other log" in sentence for sentence in ended.printed["not_established"])


@pytest.mark.parametrize("start", ["objects/", "trust/bundles/", "lake/silver/"])
def test_offline_a_flipped_byte_ends_with_code_3_and_the_file(copied, demo, verdict, start, seed):
    path = random.Random(seed).choice([each for each in files_of(demo.folder, verdict) if each.startswith(start)])
    file = copied.folder / path
    data = file.read_bytes()
    rewrite(file, flipped(data, len(data) // 2, 3))
    ended = copied.run("verify", demo.prediction, role="auditor", prefix=OFFLINE)
    assert (ended.code, ended.printed["verified"]) == (3, False)
    assert {link["path"] for link in ended.printed["links"] if not link["ok"]} == {path}


# Other damage than a flipped byte


def cut(path):
    rewrite(path, path.read_bytes()[:-1])


def empty(path):
    rewrite(path, b"")


def longer(path):
    rewrite(path, path.read_bytes() + b"\n")


def link(path):
    """The same bytes, but somewhere else."""
    target = path.with_name(path.name + ".elsewhere")
    path.rename(target)
    path.symlink_to(target)


def folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = {"missing": Path.unlink, "cut": cut, "empty": empty, "longer": longer, "link": link, "folder": folder}
PLACES = (
    "objects/",
    "lake/silver/",
    "lake/predictions/",
    "lineage/",
    "registry/models/incident_risk/1/model.onnx",
    "registry/models/incident_risk/1/package.json",
    "runs/training-sets/",
    "serving/predictions/log/",
    "trust/bundles/",
    "trust/certificates/",
    "trust/log/tile/entries/",
    "trust/log/checkpoint",
    "trust/trust-config.json",
)


@pytest.mark.parametrize("place", PLACES)
def test_damage_is_named(copied, demo, verdict, place, seed):
    random_ = random.Random(f"{seed}{place}")
    for damage, change in DAMAGE.items():
        path = random_.choice([each for each in files_of(demo.folder, verdict) if each.startswith(place)])
        change(copied.folder / path)
        found = verify(copied.folder, demo.prediction)
        assert path in {link.path for link in found.broken}, f"seed {seed}: {path} {damage}"
        shutil.rmtree(copied.folder)
        shutil.copytree(demo.folder, copied.folder)


def test_a_file_added_to_a_package_is_named(copied, demo):
    added = copied.folder / "registry/models/incident_risk/1/extra.py"
    added.parent.chmod(0o755)
    added.write_bytes(b"pass\n")
    found = verify(copied.folder, demo.prediction)
    assert [link.path for link in found.broken] == ["registry/models/incident_risk/1/extra.py"]


def test_a_forged_lineage_document_is_not_in_the_log(copied):
    """Its digests may be right; what the log does not name was not made here."""
    data = canonical({"kind": "raw", "name": "spool:readings", "files": [], "inputs": [], "facts": {}})
    id = digest_bytes(data)
    (copied.folder / "lineage" / f"{hex_of(id)}.json").write_bytes(data)
    (broken,) = verify(copied.folder, id).broken
    assert broken.path == f"lineage/{hex_of(id)}.json"
    assert broken.detail == f"{id} is not in the log"


def test_a_deleted_lineage_document_that_the_log_names_is_missed(copied, demo, verdict):
    path = next(path for path in files_of(demo.folder, verdict) if path.startswith("lineage/"))
    (copied.folder / path).unlink()
    found = verify(copied.folder, f"sha256:{Path(path).stem}")
    assert path in {link.path for link in found.broken}


# What must not matter


def edit_registry(folder):
    with sqlite3.connect(folder / "registry" / "registry.db") as database:
        assert database.execute("UPDATE versions SET stage = 'candidate'").rowcount > 0


def extra_bundle(folder):
    some = next((folder / "trust" / "bundles").iterdir())
    shutil.copy(some, some.with_name(f"{'0' * 64}.sigstore.json"))


def no_catalog(folder):
    for path in (folder / "lake").rglob("*"):
        if path.is_file() and path.suffix != ".parquet":
            path.unlink()


def no_processes_and_spool(folder):
    shutil.rmtree(folder / "spool")
    shutil.rmtree(folder / "serving" / "bentoml")


HARMLESS = {
    "a stage edited in registry.db": edit_registry,
    "a bundle that nothing names": extra_bundle,
    "the lake without catalog and metadata": no_catalog,
    "no spool and no Bento": no_processes_and_spool,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_verification_rests_on_signed_bytes_alone(copied, demo, verdict, name):
    HARMLESS[name](copied.folder)
    found = verify(copied.folder, demo.prediction)
    assert found.ok, found.text()
    assert len(found.links) == len(verdict.links)


# Subjects


def test_every_way_to_name_a_subject(demo, verdict):
    artifact = demo.printed["models"][0]["artifact_id"]
    lineage = next(path for path in files_of(demo.folder, verdict) if path.startswith("lineage/"))
    subjects = {
        "a model version": f"{MODEL}/1",
        "an artifact id": artifact,
        "a lineage id": f"sha256:{Path(lineage).stem}",
        "a lineage document": lineage,
        "a raw object": next(path for path in files_of(demo.folder, verdict) if path.startswith("objects/")),
        "a file of the lake": next(path for path in files_of(demo.folder, verdict) if path.startswith("lake/silver/")),
        "a file of a package": f"registry/models/{MODEL}/1/model.onnx",
        "a file of the log": "trust/log/checkpoint",
        "an absolute path": str(demo.folder / "trust" / "trust-config.json"),
    }
    for name, subject in subjects.items():
        found = verify(demo.folder, subject)
        assert found.ok, f"{name}: {found.text()}"
        assert any("log of" in sentence for sentence in found.established), name


UNKNOWN = (
    "pr-00000000000000000000000000000000",
    "pr-0",
    "incident_risk/99",
    "nothing/1",
    "sha256:" + "0" * 64,
    "sha256:xyz",
    "lake/nothing.parquet",
    "../outside",
    "/etc/passwd",
    "",
)


@pytest.mark.parametrize("subject", UNKNOWN)
def test_unknown_subjects(demo, subject):
    with pytest.raises(ApplianceError, match="APL-VERIFY-001"):
        verify(demo.folder, subject)


def test_an_unknown_subject_ends_with_code_3(demo):
    ended = demo.product.run("verify", UNKNOWN[0], role="auditor")
    assert (ended.code, ended.error["code"]) == (3, "APL-VERIFY-001")


def test_a_prediction_whose_file_no_longer_says_so_is_not_unknown(copied, demo):
    """Its row is gone from the table; the altered file is the answer, not 'nothing by that id'."""
    files = sorted((demo.folder / "lake/predictions/served/data").glob("*.parquet"))
    holds = [file for file in files if demo.prediction in pq.read_table(file)["prediction_id"].to_pylist()]
    assert len(holds) == 1
    (held,) = holds
    without = next(file for file in files if file != held)
    path = held.relative_to(demo.folder).as_posix()
    rewrite(copied.folder / path, without.read_bytes())
    found = verify(copied.folder, demo.prediction)
    assert {path} == {link.path for link in found.broken}


def test_a_prediction_that_stands_in_an_altered_file_is_not_believed(copied, demo):
    """The copy is found first or last; either way the file that holds it is named, and nothing else."""
    files = sorted((demo.folder / "lake/predictions/served/data").glob("*.parquet"))
    holds = next(file for file in files if demo.prediction in pq.read_table(file)["prediction_id"].to_pylist())
    paths = [file.relative_to(demo.folder).as_posix() for file in files if file != holds]
    for path in paths:
        rewrite(copied.folder / path, holds.read_bytes())
    rewrite(copied.folder / holds.relative_to(demo.folder), (demo.folder / paths[0]).read_bytes())
    found = verify(copied.folder, demo.prediction)
    assert len(found.broken) == 1
    assert found.broken[0].path in paths


def test_a_moved_site_verifies(copied, demo):
    moved = copied.folder.with_name("elsewhere")
    copied.folder.rename(moved)
    assert Product(moved).do("verify", demo.prediction, role="auditor")["verified"]
