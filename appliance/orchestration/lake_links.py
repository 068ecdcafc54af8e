"""Recomputes what follows from files whose digests hold: lake rows from raw bytes, content digests of training sets.

What rests on a broken file is not compared with it: the broken file is the finding, and it is reported already. When a
lineage document is broken it is not known what rests on what, and nothing is recomputed. In place of a file that upkeep
removed counts the one that stands in for it.
"""

from __future__ import annotations

from functools import partial

import pyarrow.parquet as pq

from appliance.features.training_set import open_training_set
from appliance.ingestion.decode import Limits
from appliance.orchestration.case import Case
from appliance.orchestration.rederive import compare_with_raw
from appliance.orchestration.removed_files import stands_in
from appliance.storage import names
from appliance.storage.objects import FolderStore


def check_lake(case: Case) -> None:
    """Every accepted reading of the chain against the raw object that it came from."""
    named = [file.path for document in case.chain.of_kind("commit", names.RAW) for file in document.files]
    records = list(dict.fromkeys(filter(None, (stands_in(path, case.chain.removed) for path in named))))
    if not case.chain.whole or not case.findings.sound(records):
        return
    raw = _raw_objects(case, records)
    settings = case.site.settings.ingest
    limits = Limits(max_file_bytes=settings.max_file_bytes, max_expansion=settings.max_expansion)
    name = f"commit {names.READINGS}"
    checked = whole = unseen = 0
    held = case.findings.held_files()
    usable = {key: name for key, name in raw.items() if name in held}
    broken = frozenset(raw) - frozenset(usable)
    for document in case.chain.of_kind("commit", names.READINGS):
        for file in document.files:
            gone = case.chain.removed.get(file.path)
            if gone is not None:
                # Where the compaction is below the subject too, its file is compared like any other.
                unseen += gone.compaction not in case.chain.documents
                continue
            whole += 1
            if file.path not in held:
                continue
            compare = partial(compare_with_raw, case.files, file.path, usable, limits, left_out=broken)
            difference = case.findings.attempt(name, compare, file.path)
            if difference is None:
                continue
            case.findings.note(
                "recomputed", name, file.path, not difference, difference or "every row stands in the raw bytes"
            )
            checked += not difference
    if unseen:
        case.findings.not_established.append(
            f"that the readings of {unseen} removed files stand in the raw bytes that came in"
        )
    elif checked == whole > 0 and not broken:
        case.findings.established.append(
            "every accepted reading below the subject stands in the raw bytes that came in"
        )


def check_training_sets(case: Case) -> None:
    """The content digest of every training set of the chain, recomputed from its rows."""
    for document in case.chain.of_kind("training-set"):
        if not case.findings.sound(file.path for file in document.files):
            continue
        folder = case.path(document.files[0].path).parent
        digest, name = str(document.facts["digest"]), f"training-set {document.name}"
        place = case.findings.inside(folder)
        if case.findings.attempt(name, partial(open_training_set, folder, digest), place) is not None:
            case.findings.note("recomputed", name, place, True, f"content digest {digest}")
            case.findings.established.append(
                f"the training set has the content digest {digest[:19]}… that the model names"
            )


def _raw_objects(case: Case, records: list[str]) -> dict[tuple[str, int], str]:
    """(source, position) -> name of the raw object."""
    objects = FolderStore(case.site.objects, case.site.folder)  # for its names alone
    raw: dict[tuple[str, int], str] = {}
    for path in records:
        rows = pq.read_table(path, filesystem=case.files.arrow, columns=["source", "position", "digest"])
        columns = (rows[column].to_pylist() for column in ("source", "position", "digest"))
        raw.update({(s, p): objects.site_name(d) for s, p, d in zip(*columns, strict=True)})
    return raw
