"""Builds the parts of a site, each once and only when it is asked for.

A command asks for what it needs (``parts.audit``, ``parts.lake``) and imports no more than that: the heavy libraries
are behind the parts that use them. Everything else in the product receives its parts as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from appliance.base.clock import Clock
from appliance.config.site import Site

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.features.store import FeatureStore
    from appliance.features.view import FeatureView
    from appliance.features.watch import Watch
    from appliance.governance.audit import Audit
    from appliance.governance.lineage import Lineage
    from appliance.governance.registry import Registry
    from appliance.governance.roles import RoleKeys
    from appliance.ingestion.drop import Drops
    from appliance.ingestion.quarantine import Quarantine
    from appliance.ingestion.sink import Sink
    from appliance.observability.alerts import Alerts
    from appliance.storage.objects import FolderStore
    from appliance.storage.tables import Lake
    from appliance.training.recipe import Recipe
    from appliance.training.reproduce import Reproducer
    from appliance.training.run import Trainer
    from appliance.trust.anchor import Anchor
    from appliance.trust.ceremony import Enclave
    from appliance.trust.signer import Signer
    from appliance.trust.tlog import TransparencyLog


@dataclass(kw_only=True)
class Parts:
    """The embedded profile of one site."""

    site: Site
    clock: Clock

    @cached_property
    def keys(self) -> RoleKeys:
        from appliance.governance.roles import RoleKeys

        return RoleKeys(self.site.keys)

    @cached_property
    def enclave(self) -> Enclave:
        from appliance.trust.ceremony import open_enclave

        return open_enclave(self.site.trust)

    @cached_property
    def log(self) -> TransparencyLog:
        return self.enclave.log()

    @cached_property
    def audit(self) -> Audit:
        from appliance.governance.audit import Audit

        return Audit(self.log, self.keys, self.clock)

    @cached_property
    def signer(self) -> Signer:
        from appliance.trust.signer import Signer

        return Signer(self.enclave, self.log, self.keys, self.clock)

    @cached_property
    def anchor(self) -> Anchor:
        from appliance.trust.anchor import open_anchor

        return open_anchor(self.site.trust)

    @cached_property
    def registry(self) -> Registry:
        from appliance.governance.registry import Registry

        return Registry(
            folder=self.site.registry,
            log=self.log,
            keys=self.keys,
            signer=self.signer,
            audit=self.audit,
            anchor=self.anchor,
            clock=self.clock,
        )

    @cached_property
    def lineage(self) -> Lineage:
        from appliance.governance.lineage import Lineage

        return Lineage(self.site.lineage, self.log)

    @cached_property
    def objects(self) -> FolderStore:
        from appliance.storage.objects import FolderStore

        return FolderStore(self.site.objects, self.site.folder)

    @cached_property
    def lake(self) -> Lake:
        from appliance.storage.tables import Lake

        return Lake(self.site.lake, self.site.folder, self.lineage)

    @cached_property
    def alerts(self) -> Alerts:
        from appliance.observability.alerts import Alerts

        return Alerts(self.site.alerts)

    @cached_property
    def sink(self) -> Sink:
        from appliance.ingestion.sink import Sink

        return Sink(
            spool_folder=self.site.spool,
            declarations_folder=self.site.declarations,
            lake=self.lake,
            objects=self.objects,
            lineage=self.lineage,
            alerts=self.alerts,
            settings=self.site.settings.ingest,
            clock=self.clock,
        )

    @cached_property
    def views(self) -> tuple[FeatureView, ...]:
        from appliance.features.view import load_views

        return load_views(self.site.declarations / "features")

    @cached_property
    def feature_store(self) -> FeatureStore:
        from appliance.features.store import FeatureStore

        return FeatureStore(
            lake=self.lake, online_folder=self.site.online, views=self.views, site_folder=self.site.folder
        )

    @cached_property
    def drops(self) -> Drops:
        from appliance.ingestion.drop import Drops

        return Drops(
            spool_folder=self.site.spool,
            declarations_folder=self.site.declarations,
            lake=self.lake,
            objects=self.objects,
            lineage=self.lineage,
            alerts=self.alerts,
            settings=self.site.settings.ingest,
            clock=self.clock,
        )

    @cached_property
    def quarantine(self) -> Quarantine:
        from appliance.ingestion.quarantine import Quarantine

        return Quarantine(
            lake=self.lake,
            objects=self.objects,
            sink=self.sink,
            declarations_folder=self.site.declarations,
            settings=self.site.settings.ingest,
        )

    @cached_property
    def watch(self) -> Watch:
        from appliance.features.watch import Watch
        from appliance.observability.drift import Limits
        from appliance.storage import names

        settings = self.site.settings.monitoring
        return Watch(
            tables=self.lake,
            limits=Limits(psi=settings.psi_limit, false_discovery_rate=settings.false_discovery_rate),
            window_rows=settings.drift_window_rows,
            predictions=names.PREDICTIONS if names.PREDICTIONS in self.lake.tables() else "",
        )

    @cached_property
    def recipes(self) -> tuple[Recipe, ...]:
        from appliance.training.recipe import load_recipes

        return load_recipes(self.site.declarations / "recipes")

    @cached_property
    def reproducer(self) -> Reproducer:
        from appliance.training.reproduce import Reproducer

        return Reproducer(
            lineage=self.lineage,
            tables=self.lake,
            python=self.training_python,
            environment=self.training_lock,
            site_folder=self.site.folder,
            timeout_s=self._training_timeout_s,
        )

    @cached_property
    def trainer(self) -> Trainer:
        from appliance.training.run import Trainer

        return Trainer(
            tables=self.lake,
            views=self.views,
            lineage=self.lineage,
            python=self.training_python,
            environment=self.training_lock,
            runs_folder=self.site.runs,
            site_folder=self.site.folder,
            threads=self.site.settings.training.threads,
            timeout_s=self._training_timeout_s,
        )

    @property
    def installed(self) -> Path:
        """The folder that the product is installed in: environments, locks and the package stand side by side."""
        from pathlib import Path

        import appliance

        return Path(appliance.__file__).parent.parent

    @property
    def training_python(self) -> Path:
        from pathlib import Path

        chosen = self.site.settings.training.python
        return Path(chosen) if chosen else self.installed / ".venv-training" / "bin" / "python"

    @property
    def training_lock(self) -> str:
        """Digest of the lock of the training environment."""
        from appliance.base.digest import digest_file

        return digest_file(self.installed / "offline_wheels" / "training.lock")

    @property
    def _training_timeout_s(self) -> float:
        from appliance.base.duration import parse_duration

        return parse_duration(self.site.settings.training.timeout).total_seconds()
