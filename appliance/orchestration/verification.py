"""``appliance verify``: recomputes everything that an artifact rests on, from bytes, with no network and no catalog.

Order of checks
1. The log: every tile and the signed checkpoint, recomputed (`trust.log_check`).
2. The audit records: chain and signatures (`governance.audit`).
3. The trust anchor and the subject: their lineage documents and all below, file by file (`chain`).
4. Rows of the lake against the raw bytes (`rederive`).
5. Training sets: the content digest, recomputed from the rows.
6. Models: signed statement, package and approval by another key, verified by the unmodified sigstore verifier.
7. Predictions: the record in the raw segment, features recomputed from the readings that were there, the score
   recomputed with the signed model.

Nothing here changes the site. Every failure becomes a broken link; the walk goes on, so that all of them are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from appliance.base.canonical import parse_canonical
from appliance.base.clock import Clock, rfc3339
from appliance.base.digest import PREFIX
from appliance.base.errors import ApplianceError
from appliance.config.site import Site
from appliance.features.training_set import open_training_set
from appliance.governance import approvals, audit, loading, roles, stages
from appliance.governance.lineage import Document, Lineage
from appliance.governance.package_store import package_folder
from appliance.governance.stages import Standing
from appliance.ingestion.decode import Limits
from appliance.orchestration import codes
from appliance.orchestration.chain import Chain
from appliance.orchestration.recompute import recompute_prediction
from appliance.orchestration.rederive import compare_with_raw
from appliance.orchestration.verdict import Link, Verdict
from appliance.storage import names
from appliance.storage.objects import FolderStore
from appliance.trust import log_check
from appliance.trust.anchor import open_anchor
from appliance.trust.signer import bundle_path

T = TypeVar("T")
ANCHOR = "trust-anchor"  # kind of the lineage document that names the trust config
_PREDICTION = re.compile(r"pr-[0-9a-f]{32}")
_VERSION = re.compile(r"([a-z][a-z0-9_-]{0,62})/(\d{1,9})")


class _NoLog:
    """Verification writes nothing."""

    def append(self, entries: object) -> object:
        raise AssertionError(f"verification tried to write {entries!r}")


class Verifier:
    """Verifies artifacts of one site. One instance per verification: it remembers what it has checked."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self._site, self._clock = site, clock
        self._links: list[Link] = []
        self._lineage = Lineage(site.lineage, _NoLog())
        self._objects = FolderStore(site.objects, site.folder)
        self._established: list[str] = []

    def verify(self, subject: str) -> Verdict:
        """Verify a prediction id, a model version (``name/version``), a lineage id, or a file of the site.

        Raises:
            ApplianceError: APL-VERIFY-001, nothing of that name is known and nothing that was read is broken.
        """
        try:
            entries = self._check_log()
        except ApplianceError as error:
            self._broken("trust", "trust anchor", error)
            return self._verdict(subject)
        chain = Chain(site_folder=self._site.folder, lineage=self._lineage, log_entries=entries)
        self._chain = chain
        self._history = stages.replay(entries)
        self._enrolled = roles.enrolled(entries)
        anchors = [id for id in self._lineage_ids(entries) if self._kind(id) == ANCHOR]
        for id in anchors:
            chain.add(id)
        self._note(
            "trust",
            "trust anchor",
            "",
            bool(anchors),
            "named in the log" if anchors else "the log names no trust anchor",
        )
        found = self._resolve(subject, entries)
        links = [*self._links, *chain.links]
        if not found and all(link.ok for link in links):
            raise ApplianceError(codes.UNKNOWN_SUBJECT, f"{subject!r} is not known here", where=str(self._site.folder))
        self._check_lake()
        self._check_training_sets()
        return self._verdict(subject)

    # 1, 2: log and audit

    def _check_log(self) -> list[bytes]:
        anchor = open_anchor(self._site.trust)
        self._anchor = anchor
        folder = self._site.trust / "log"
        found = log_check.check_log(folder, anchor.log_key)
        for file in found.files:
            path = self._inside(Path(file.path) if Path(file.path).is_absolute() else folder / file.path)
            self._note("log", "transparency log", path, file.ok, file.reason or "hashes to the signed root")
        if not all(file.ok for file in found.files):
            raise ApplianceError(codes.LINK_BROKEN, "the log does not hash to its checkpoint", where=str(folder))
        self._established.append(f"the log of {found.size} entries hashes to its signed checkpoint")
        entries = anchor.entries()
        checked = audit.check_entries(entries, str(folder))
        self._note(
            "audit",
            "audit records",
            self._inside(folder),
            checked.ok,
            f"{checked.records} records, chained and signed"
            if checked.ok
            else f"{checked.fault} (entry {checked.index})",
        )
        if checked.ok:
            self._established.append(f"{checked.records} audit records are chained and signed by enrolled role keys")
        return entries

    # 3: the subject

    def _resolve(self, subject: str, entries: list[bytes]) -> bool:
        if _PREDICTION.fullmatch(subject):
            return self._verify_prediction(subject, entries)
        if match := _VERSION.fullmatch(subject):
            standing = self._history.versions.get((match[1], int(match[2])))
            return standing is not None and self._verify_model(standing)
        if subject.startswith(PREFIX):
            return self._verify_lineage(subject)
        return self._verify_path(subject, entries)

    def _verify_lineage(self, id: str) -> bool:
        for standing in self._history.versions.values():
            if standing.artifact_id == id:
                return self._verify_model(standing)
        if not self._lineage.path_of(id).is_file():
            return False
        self._chain.add(id)
        return True

    def _verify_path(self, subject: str, entries: list[bytes]) -> bool:
        path = Path(subject) if Path(subject).is_absolute() else self._site.folder / subject
        wanted = self._inside(path)
        found = False
        for id in self._lineage_ids(entries):
            document = self._load(id)
            if document is not None and any(file.path == wanted for file in document.files):
                self._chain.add(id)
                found = True
        return found

    def _verify_prediction(self, prediction_id: str, entries: list[bytes]) -> bool:
        for id in self._lineage_ids(entries):
            document = self._load(id)
            if document is None:
                continue
            if (document.kind, document.name) != ("commit", names.PREDICTIONS):
                continue
            for file in document.files:
                row = self._row(self._site.folder / file.path, prediction_id)
                if row is None:
                    continue
                self._chain.add(id)
                self._check_prediction(row, document)
                return True
        return False

    def _row(self, path: Path, prediction_id: str) -> pa.Table | None:
        try:
            table = pq.read_table(path, filters=[("prediction_id", "=", prediction_id)])
        except (OSError, pa.ArrowException) as error:
            self._note("file", names.PREDICTIONS, self._inside(path), False, f"cannot be read: {error}")
            return None
        return table if table.num_rows else None

    # 7: predictions

    def _check_prediction(self, row: pa.Table, document: Document) -> None:
        record = row.to_pylist()[0]
        name = f"prediction {record['prediction_id']}"
        segments = [self._site.folder / file.path for raw in self._chain.of_kind("raw") for file in raw.files]
        needle = record["prediction_id"].encode()
        holding = [
            path for path in segments if path.suffix == ".jsonl" and path.is_file() and needle in path.read_bytes()
        ]
        place = self._inside(holding[0]) if holding else ""
        self._note("recomputed", name, place, bool(holding), "stands in the raw segment that the gateway wrote")
        if not record["artifact_id"]:
            self._established.append("no model answered: the fallback abstained, and the record of it is intact")
            return
        standing = self._history.versions.get((record["model"], record["version"]))
        if standing is None or standing.artifact_id != record["artifact_id"]:
            self._note(
                "model", name, "", False, f"the log knows no {record['model']}/{record['version']} of that artifact"
            )
            return
        if not self._verify_model(standing):
            return
        if record["data"]:
            self._chain.add(record["data"])
        readings = [
            self._site.folder / file.path
            for each in self._chain.of_kind("commit", names.READINGS)
            if not record["data"] or self._is_below(each.id, record["data"])
            for file in each.files
        ]
        package = package_folder(self._site.registry, standing.name, standing.version)
        difference = self._try(name, lambda: recompute_prediction(record, package=package, readings=readings))
        if difference is None:
            return
        self._note(
            "recomputed",
            name,
            self._inside(package / "model.onnx"),
            not difference,
            difference or "features recomputed from the readings, score recomputed with the signed model: equal",
        )
        if not difference:
            self._established.append(
                "every feature value and the score of the prediction follow from the raw readings and the signed model"
            )

    def _is_below(self, id: str, top: str) -> bool:
        if not hasattr(self, "_below"):
            self._below: dict[str, set[str]] = {}
        if top not in self._below:
            seen, waiting = {top}, [top]
            for each in waiting:
                document = self._chain.documents.get(each)
                fresh = [other for other in document.inputs if other not in seen] if document else []
                seen.update(fresh)
                waiting += fresh
            self._below[top] = seen
        return id in self._below[top]

    # 6: models

    def _verify_model(self, standing: Standing) -> bool:
        name = f"model {standing.name}/{standing.version}"
        folder = package_folder(self._site.registry, standing.name, standing.version)
        bundles = self._site.trust / "bundles"
        statement = self._inside(bundle_path(bundles, standing.statement))
        verified = self._try(name, lambda: loading.verify_model(standing, self._anchor), statement)
        if verified is None:
            return True
        self._note("signature", name, statement, True, f"model statement, signed by the role {standing.registrar}")
        manifest = self._try(name, lambda: loading.check_package(folder, standing, verified))
        if manifest is None:
            return True
        for file in ("package.json", *sorted(manifest.files)):
            digest = manifest.files.get(file, standing.package)
            self._note("file", name, self._inside(folder / file), True, digest)
        self._established.append(f"{standing.name}/{standing.version} is byte for byte what was signed and registered")
        self._check_approval(standing, name)
        lineage = verified.statement.predicate.get("lineage")
        if isinstance(lineage, str):
            self._chain.add(lineage)
        return True

    def _check_approval(self, standing: Standing, name: str) -> None:
        if standing.approval is None:
            self._established.append(f"{standing.name}/{standing.version} has no approval yet")
            return
        path = self._inside(bundle_path(self._site.trust / "bundles", standing.approval))
        approval = self._try(
            name,
            lambda: approvals.require_approval(standing, self._anchor, enrolled=self._enrolled, now=self._clock.now()),
            path,
        )
        if approval is not None:
            self._note("signature", name, path, True, f"approved by another key: {approval.reason}")
            self._established.append(
                f"it was approved at {approval.approved_at} by a key other than the one that registered it"
            )

    # 4: rows of the lake, 5: training sets

    def _check_lake(self) -> None:
        raw: dict[tuple[str, int], Path] = {}
        for document in self._chain.of_kind("commit", names.RAW):
            for file in document.files:
                rows = self._read(self._site.folder / file.path, ("source", "position", "digest"))
                if rows is not None:
                    columns = (rows[column].to_pylist() for column in ("source", "position", "digest"))
                    raw.update({(s, p): self._objects.path_of(d) for s, p, d in zip(*columns, strict=True)})
        checked = 0
        settings = self._site.settings.ingest
        limits = Limits(max_file_bytes=settings.max_file_bytes, max_expansion=settings.max_expansion)
        for document in self._chain.of_kind("commit", names.READINGS):
            for file in document.files:
                path = self._site.folder / file.path
                difference = self._try(names.READINGS, partial(compare_with_raw, path, raw, limits), file.path)
                if difference is None:
                    continue
                self._note(
                    "recomputed",
                    f"commit {names.READINGS}",
                    file.path,
                    not difference,
                    difference or "every row stands in the raw bytes",
                )
                checked += not difference
        if checked:
            self._established.append("every accepted reading below the subject stands in the raw bytes that came in")

    def _check_training_sets(self) -> None:
        for document in self._chain.of_kind("training-set"):
            folder = (self._site.folder / document.files[0].path).parent
            digest = str(document.facts["digest"])
            name = f"training-set {document.name}"
            table = self._try(name, partial(open_training_set, folder, digest), self._inside(folder))
            if table is not None:
                self._note("recomputed", name, self._inside(folder), True, f"content digest {digest}")
                self._established.append(f"the training set has the content digest {digest[:19]}… that the model names")

    # small parts

    def _lineage_ids(self, entries: list[bytes]) -> Iterator[str]:
        for entry in entries:
            if b'"kind":"lineage"' in entry:
                yield str(parse_canonical(entry)["id"])

    def _load(self, id: str) -> Document | None:
        """A document that the log names. One that was never written (a crash before the log) cannot be in the log."""
        try:
            return self._lineage.load(id)
        except ApplianceError as error:
            self._broken("lineage", id, error)
            return None

    def _kind(self, id: str) -> str:
        document = self._load(id)
        return document.kind if document else ""

    def _read(self, path: Path, columns: tuple[str, ...]) -> pa.Table | None:
        try:
            return pq.read_table(path, columns=list(columns))
        except (OSError, pa.ArrowException) as error:
            self._note("file", path.name, self._inside(path), False, f"cannot be read: {error}")
            return None

    def _try(self, name: str, check: Callable[[], T], path: str = "") -> T | None:
        """The result of a check, or None after noting why it did not pass."""
        try:
            return check()
        except ApplianceError as error:
            self._note("check", name, self._inside(Path(error.where)) if error.where else path, False, str(error))
        except (OSError, pa.ArrowException, ValueError, KeyError) as error:
            self._note("check", name, path, False, f"{type(error).__name__}: {error}")
        return None

    def _broken(self, kind: str, name: str, error: ApplianceError) -> None:
        self._note(kind, name, self._inside(Path(error.where)) if error.where else "", False, error.message)

    def _note(self, kind: str, name: str, path: str, ok: bool, detail: str) -> None:
        self._links.append(Link(kind=kind, name=name, path=path, ok=ok, detail=detail))

    def _inside(self, path: Path) -> str:
        try:
            return path.resolve().relative_to(self._site.folder).as_posix()
        except ValueError:
            return str(path)

    def _verdict(self, subject: str) -> Verdict:
        chain = self._chain.links if hasattr(self, "_chain") else []
        links = tuple(dict.fromkeys([*self._links, *chain]))
        documents = len(self._chain.documents) if hasattr(self, "_chain") else 0
        established = [*self._established]
        if documents and all(link.ok for link in links):
            files = len({link.path for link in links if link.kind == "file"})
            established.append(f"{files} files named by {documents} logged documents are unchanged")
        return Verdict(
            subject=subject,
            links=links,
            established=tuple(dict.fromkeys(established)),
            not_established=(
                "that no other log was shown to somebody else: no witness has cosigned this one",
                f"that nothing happened after the checkpoint; the host's clock says {rfc3339(self._clock.now())}",
                "that the sensors told the truth",
            ),
        )
