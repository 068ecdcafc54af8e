"""What the pages read of a site.

Rules
1. Nothing here writes, and nothing here needs a key: a portal can run as a user who may read what an auditor reads.
   The registry is therefore read from the signed log and the packages, not through its database.
2. A page costs metadata, not rows. What must count rows (the ledger, quarantine) is counted once per set of
   snapshots, and the log is replayed once per checkpoint; both are remembered until they change.
3. Errors go to the page: a part that cannot be read is named there, the others are still shown.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa

from appliance.base.clock import UTC, Clock, parse_rfc3339
from appliance.base.duration import parse_duration
from appliance.base.errors import ApplianceError
from appliance.config.site import Site
from appliance.governance import codes as governance_codes
from appliance.governance import stages
from appliance.governance.lineage import Lineage
from appliance.governance.package import MANIFEST, PackageManifest, parse_manifest
from appliance.governance.package_store import package_folder
from appliance.governance.stages import History, Standing
from appliance.ingestion import ledger, quarantine
from appliance.ingestion.commit import NEWEST_ARRIVAL
from appliance.ingestion.gates import results
from appliance.ingestion.gates.contract import load_contracts
from appliance.ingestion.ledger import Ledger
from appliance.observability.alerts import Alert, Alerts
from appliance.observability.staleness import Staleness, staleness
from appliance.orchestration.journal import Journal, Run
from appliance.secrets.settings import secrets_of
from appliance.storage import names
from appliance.storage.catalog import database_of
from appliance.storage.files import files_of
from appliance.storage.newest import newest
from appliance.storage.summaries import TableSummary, summarize
from appliance.storage.tables import Lake
from appliance.trust import notes
from appliance.trust.anchor import Anchor, open_anchor

T = TypeVar("T")
PREDICTION_COLUMNS = (
    "prediction_id", "entity", "served_at", "model", "version", "arm", "score", "outcome",
)  # fmt: skip


class ReadOnlyLog:
    """A log for parts that only read."""

    def append(self, entries: Sequence[bytes]) -> object:
        raise AssertionError(f"the portal tried to write {len(entries)} log entries")


class PortalData:
    """One site, as the pages see it. Safe to use from several threads."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self.site, self.clock = site, clock
        self.lineage = Lineage(site.lineage, ReadOnlyLog())
        self.alerts_store = Alerts(site.alerts)
        self._remembered: dict[str, tuple[Any, Any]] = {}
        self._guard = threading.Lock()

    # the log and what follows from it

    @cached_property
    def anchor(self) -> Anchor:
        return open_anchor(self.site.trust)

    def checkpoint(self) -> tuple[notes.Checkpoint, dt.datetime]:
        """The signed tree head, and when its file was written (the file system's word for it)."""
        path = self.site.trust / "log" / "checkpoint"
        try:
            note, written_s = path.read_bytes(), path.stat().st_mtime
        except OSError as error:
            raise ApplianceError(governance_codes.REGISTRY_ALTERED, str(error), where=str(path)) from error
        opened = notes.open_checkpoint(note, self.anchor.log_key, where=str(path))
        return opened, dt.datetime.fromtimestamp(written_s, UTC)

    def entries(self) -> list[bytes]:
        """All entries of the log, verified against its checkpoint."""
        return self._remember("entries", self.checkpoint()[0].note, self.anchor.entries)

    def models(self) -> History:
        """Every version and its stage, from signed moves."""
        return self._remember("models", self.checkpoint()[0].note, lambda: stages.replay(self.entries()))

    def manifest(self, standing: Standing) -> PackageManifest:
        """Raises:
        ApplianceError: APL-MODEL-010 it cannot be read, APL-MODEL-001 it is not valid.
        """
        path = package_folder(self.site.registry, standing.name, standing.version) / MANIFEST
        try:
            return parse_manifest(path.read_bytes(), where=str(path))
        except OSError as error:
            raise ApplianceError(
                governance_codes.MODEL_TAMPERED, f"{MANIFEST} cannot be read: {error.strerror}", where=str(path)
            ) from error

    def data_age(self, manifest: PackageManifest) -> Staleness:
        """Age of what the model knows: from the cut-off of its training set, against the recipe's limit."""
        cut_off = self._cut_offs().get(manifest.identity.data)
        limit = parse_duration(manifest.staleness)
        return staleness(manifest.name, cut_off, limit, now=self.clock.now())

    def _cut_offs(self) -> Mapping[str, dt.datetime]:
        """Knowledge cut-off by content digest of the training set."""

        def read() -> Mapping[str, dt.datetime]:
            found: dict[str, dt.datetime] = {}
            for entry in self.entries():
                if b'"kind":"lineage"' not in entry:
                    continue
                try:
                    document = self.lineage.load(json.loads(entry)["id"])
                except ApplianceError:
                    continue  # named by verification; here only the age is unknown
                if document.kind == "training-set" and "cutoff" in document.facts:
                    found[str(document.facts["digest"])] = parse_rfc3339(str(document.facts["cutoff"]))
            return found

        return self._remember("cut-offs", self.checkpoint()[0].note, read)

    # the lake

    @cached_property
    def lake(self) -> Lake:
        settings, secrets = self.site.settings.storage, secrets_of(self.site)
        database = database_of(settings, self.site.folder, secrets)
        return Lake(self.site.lake, files_of(settings, self.site.folder, secrets), self.lineage, database)

    def tables(self) -> tuple[TableSummary, ...]:
        return tuple(summarize(self.lake, name) for name in self.lake.tables())

    def rows(self, name: str) -> int | None:
        """Rows of a table, None when there is none of that name."""
        return summarize(self.lake, name).rows if name in self.lake.tables() else None

    def newest_arrival(self) -> dt.datetime | None:
        if names.RAW not in self.lake.tables():
            return None
        said = self.lake.head(names.RAW).properties.get(NEWEST_ARRIVAL)
        return parse_rfc3339(said) if said else None

    def books(self) -> Ledger:
        """The ledger, counted again when one of its tables has a new snapshot."""
        tables = (names.RAW, names.QUARANTINE, names.READINGS)
        return self._remember("books", self._heads(tables), lambda: ledger.balance(self.lake))

    def quarantined(self) -> tuple[quarantine.Group, ...]:
        return self._remember("quarantine", self._heads((names.QUARANTINE,)), lambda: quarantine.summarize(self.lake))

    def checks(self) -> list[results.Standing]:
        """Every declared check with its newest outcome: what stops something first, then by table as declared."""
        kept = self._remember("gates", self._heads((names.GATES,)), lambda: results.newest(self.lake))
        found = results.standings(load_contracts(self.site.declarations / "contracts"), kept)
        order = ("failed", "skipped", "warned", results.NEVER_RUN, "passed")
        return sorted(found, key=lambda each: order.index(each.outcome))

    def predictions(self, count: int, where: Mapping[str, str]) -> pa.Table:
        """The newest recorded predictions that have these values."""
        if names.PREDICTIONS not in self.lake.tables():
            return pa.table({name: [] for name in PREDICTION_COLUMNS})
        return newest(
            self.lake,
            names.PREDICTIONS,
            by="served_at",
            then="prediction_id",
            count=count,
            columns=PREDICTION_COLUMNS,
            where=where,
        )

    def prediction(self, prediction_id: str) -> Mapping[str, Any] | None:
        """One recorded prediction; the id must have its form, it becomes part of a filter."""
        if names.PREDICTIONS not in self.lake.tables():
            return None
        found = self.lake.scan(names.PREDICTIONS, where=f"prediction_id == '{prediction_id}'", limit=1).to_pylist()
        return found[0] if found else None

    def _heads(self, tables: Sequence[str]) -> tuple[int | None, ...]:
        there = set(self.lake.tables())
        return tuple(self.lake.head(name).snapshot_id if name in there else None for name in tables)

    # files

    def alerts(self) -> tuple[Alert, ...]:
        """Newest first."""
        return tuple(sorted(self.alerts_store.all(), key=lambda alert: alert.at, reverse=True))

    def newest_runs(self) -> tuple[Run, ...]:
        """The newest pipeline run of each recipe."""
        found: dict[str, Run] = {}
        for run in Journal(self.site.pipeline).runs():
            found.setdefault(run.recipe, run)
        return tuple(found.values())

    def _remember(self, name: str, key: Any, make: Callable[[], T]) -> T:
        """The value made for `key`, made again when the key has changed. Two threads may both make it; it is equal."""
        with self._guard:
            known = self._remembered.get(name)
        if known is not None and known[0] == key:
            value: T = known[1]
            return value
        value = make()
        with self._guard:
            self._remembered[name] = (key, value)
        return value
