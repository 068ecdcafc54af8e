"""Builds the parts of a site, each once and only when it is asked for.

A command asks for what it needs (``parts.audit``, ``parts.lake``) and imports no more than that: the heavy libraries
are behind the parts that use them. Everything else in the product receives its parts as arguments.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from appliance.base.clock import Clock
from appliance.config.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from appliance.features.store import FeatureStore
    from appliance.features.view import FeatureView
    from appliance.features.watch import Watch
    from appliance.governance.audit import Audit
    from appliance.governance.lineage import Lineage
    from appliance.governance.registry import Registry
    from appliance.governance.roles import RoleKeys
    from appliance.ingestion.changes.captures import Captures
    from appliance.ingestion.commit import Landing
    from appliance.ingestion.connectors.connectors import Connectors
    from appliance.ingestion.drop import Drops
    from appliance.ingestion.gates.gate import Gates
    from appliance.ingestion.letters import Letters
    from appliance.ingestion.purge import LetterPurge
    from appliance.ingestion.quarantine import Quarantine
    from appliance.ingestion.schemas.registry import SchemaRegistry
    from appliance.ingestion.sensitive.policy import TrainingTables
    from appliance.ingestion.sensitive.subjects import Subjects
    from appliance.ingestion.sink import Sink
    from appliance.ingestion.topics.connection import Connection
    from appliance.ingestion.topics.dead_letters import DeadLetterTopic
    from appliance.ingestion.topics.worker import TopicWorker
    from appliance.observability.alerts import Alerts
    from appliance.secrets.secret import Secret
    from appliance.secrets.settings import Secrets
    from appliance.storage.files import SiteFiles
    from appliance.storage.objects import ObjectStore
    from appliance.storage.tables import Lake
    from appliance.storage.upkeep.run import TableUpkeep
    from appliance.training.recipe import Recipe
    from appliance.training.reproduce import Reproducer
    from appliance.training.run import Trainer
    from appliance.trust.anchor import Anchor
    from appliance.trust.ceremony import Enclave
    from appliance.trust.data_keys import DataKeys
    from appliance.trust.keys import KeyStore
    from appliance.trust.signer import Signer
    from appliance.trust.tlog import TransparencyLog


@dataclass(kw_only=True)
class Parts:
    """The embedded profile of one site."""

    site: Site
    clock: Clock

    @cached_property
    def secrets(self) -> Secrets:
        from appliance.secrets.settings import secrets_of

        return secrets_of(self.site)

    def secrets_in_use(self) -> Mapping[str, Callable[[], Secret | None]]:
        """Setting or connector -> its secret, of all that the site declares; the calls raise APL-SECRETS-001.

        Raises:
            ApplianceError: APL-CONN-001.
        """
        from appliance.ingestion.connectors.declaration import load_all, secret_of
        from appliance.storage.catalog import database_of
        from appliance.storage.s3.site import server_of

        def of_catalog() -> Secret | None:
            database = database_of(storage, self.site.folder, self.secrets)
            return None if database is None else database.password

        settings, storage = self.site.settings, self.site.settings.storage
        found: dict[str, Callable[[], Secret | None]] = {"storage.catalog_password_file": of_catalog}
        if settings.kafka.servers:
            found["kafka.password_file"] = lambda: self.kafka.password
            if settings.kafka.predictions:
                found["kafka.predictions_password_file"] = lambda: self.kafka_of_serving.password
        if storage.store:
            found["storage.store_secret_file"] = lambda: server_of(storage, self.site.folder, self.secrets).secret
        if settings.schemas.registry:
            found["schemas.password_file"] = self._registry_password
        for name, declared in load_all(self.site.declarations / "connectors").items():
            if text := secret_of(declared):
                found[f"connector {name}"] = partial(self.secrets.named, text)
        return found

    def _registry_password(self) -> Secret | None:
        settings = self.site.settings.schemas
        if not settings.user and not settings.password_file:
            return None
        return self.secrets.password_of("registry", settings.user, settings.password_file)

    @cached_property
    def keys(self) -> RoleKeys:
        from appliance.governance.roles import RoleKeys

        return RoleKeys(self.site.keys)

    @cached_property
    def enclave(self) -> Enclave:
        from appliance.trust.ceremony import open_enclave

        return open_enclave(self.site.trust, self.key_store)

    @cached_property
    def key_store(self) -> KeyStore | None:
        """Where the enclave's keys are; none: in the trust folder."""
        from appliance.trust.keystores.address import open_store

        address = self.site.settings.trust.keys
        return open_store(address) if address else None

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
    def files(self) -> SiteFiles:
        from appliance.storage.files import files_of

        return files_of(self.site.settings.storage, self.site.folder, self.secrets)

    @cached_property
    def objects(self) -> ObjectStore:
        from appliance.storage.objects import objects_of

        return objects_of(self.site.settings.storage, self.site.folder, self.secrets)

    @cached_property
    def lake(self) -> Lake:
        from appliance.storage.catalog import database_of
        from appliance.storage.tables import Lake

        database = database_of(self.site.settings.storage, self.site.folder, self.secrets)
        return Lake(self.site.lake, self.files, self.lineage, database)

    @cached_property
    def table_upkeep(self) -> TableUpkeep:
        from appliance.storage.upkeep.run import TableUpkeep

        return TableUpkeep(
            lake=self.lake,
            lineage=self.lineage,
            state_folder=self.site.lake / "upkeep",
            alerts=self.alerts,
            clock=self.clock,
        )

    @cached_property
    def alerts(self) -> Alerts:
        from appliance.observability.alerts import Alerts

        return Alerts(self.site.alerts)

    @cached_property
    def landing(self) -> Landing:
        from appliance.ingestion.commit import Landing

        return Landing(
            lake=self.lake,
            objects=self.objects,
            lineage=self.lineage,
            alerts=self.alerts,
            data_keys=self.data_keys,
            settings=self.site.settings.ingest,
        )

    @cached_property
    def sink(self) -> Sink:
        from appliance.ingestion.sink import Sink

        return Sink(
            spool_folder=self.site.spool,
            declarations_folder=self.site.declarations,
            landing=self.landing,
            clock=self.clock,
        )

    @cached_property
    def kafka(self) -> Connection:
        from appliance.ingestion.topics.connection import Connection

        settings = self.site.settings.kafka
        return Connection(
            servers=tuple(filter(None, (each.strip() for each in settings.servers.split(",")))),
            user=settings.user,
            password=self.secrets.password_of("kafka", settings.user, settings.password_file),
            ca_file=self.site.folder / (settings.ca_file or "servers/certificates/ca.pem"),
        )

    @property
    def kafka_of_serving(self) -> Connection:
        """The way in of who writes predictions to a topic."""
        settings = self.site.settings.kafka
        user = settings.predictions_user
        password = self.secrets.password_of("kafka", user, settings.predictions_password_file)
        return dataclasses.replace(self.kafka, user=user, password=password)

    @cached_property
    def topic_worker(self) -> TopicWorker:
        from appliance.base.duration import parse_duration
        from appliance.ingestion import declarations
        from appliance.ingestion.topics.worker import TopicWorker

        settings = self.site.settings.kafka
        return TopicWorker(
            connection=self.kafka,
            topic=settings.topic,
            group=settings.group,
            landing=self.landing,
            schemas=self.schemas,
            declared=declarations.load(self.site.declarations),
            clock=self.clock,
            commit_after_s=parse_duration(settings.commit_after).total_seconds(),
            standing_folder=self.site.topics,
            refused=settings.refused_schema_ids,
            dead_letters=self.dead_letter_topic,
        )

    @cached_property
    def dead_letter_topic(self) -> DeadLetterTopic | None:
        """None: this site has none."""
        from appliance.ingestion.topics.dead_letters import DeadLetterTopic

        topic = self.site.settings.kafka.dead_letters
        if not topic:
            return None
        return DeadLetterTopic(connection=self.kafka, topic=topic, letters=self.letters, folder=self.site.topics)

    @cached_property
    def views(self) -> tuple[FeatureView, ...]:
        from appliance.features.view import load_views

        return load_views(self.site.declarations / "features")

    @cached_property
    def feature_store(self) -> FeatureStore:
        from appliance.features.store import FeatureStore

        return FeatureStore(lake=self.lake, online_folder=self.site.online, views=self.views, files=self.files)

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
            data_keys=self.data_keys,
            settings=self.site.settings.ingest,
            clock=self.clock,
        )

    @cached_property
    def schemas(self) -> SchemaRegistry:
        from appliance.ingestion.schemas.declared import levels_of

        settings = self.site.settings.schemas
        levels = levels_of(self.site.declarations / "schemas")
        if not settings.registry:
            from appliance.ingestion.schemas.folder import FolderRegistry

            return FolderRegistry(self.site.schemas, levels=levels, default_level=settings.compatibility)
        from appliance.base.duration import parse_duration
        from appliance.ingestion.schemas.confluent import ConfluentRegistry, Connection

        folder = self.site.folder
        connection = Connection(
            url=settings.registry,
            authority=folder / settings.ca_file if settings.ca_file else None,
            user=settings.user or None,
            password=self._registry_password(),
            limit_s=parse_duration(settings.timeout).total_seconds(),
        )
        return ConfluentRegistry(connection, levels=levels, default_level=settings.compatibility)

    @cached_property
    def data_keys(self) -> DataKeys:
        from appliance.trust.data_keys import DataKeys
        from appliance.trust.data_keys_wrap import open_wrapping
        from appliance.trust.keys import FileKeys

        return DataKeys(
            self.site.keys / "data", lambda: open_wrapping(self.key_store or FileKeys(self.site.keys)), self.clock
        )

    @cached_property
    def subjects(self) -> Subjects:
        from appliance.ingestion.sensitive.subjects import Subjects

        return Subjects(
            lake=self.lake,
            mappings=self.drops.mappings,
            data_keys=self.data_keys,
            audit=self.audit,
            role_keys=self.keys,
            clock=self.clock,
        )

    @cached_property
    def training_tables(self) -> TrainingTables:
        """The lake as training reads it."""
        from appliance.ingestion.sensitive.policy import TrainingTables

        return TrainingTables(self.lake)

    @cached_property
    def connectors(self) -> Connectors:
        from appliance.ingestion.connectors.connectors import Connectors

        return Connectors(
            site_folder=self.site.folder,
            state_folder=self.site.connectors,
            declarations_folder=self.site.declarations,
            captures=lambda: self.captures,
            drops=self.drops,
            secrets=self.secrets,
            max_file_bytes=self.site.settings.ingest.max_file_bytes,
            clock=self.clock,
        )

    @cached_property
    def captures(self) -> Captures:
        from appliance.base.duration import parse_duration
        from appliance.ingestion.changes import connect
        from appliance.ingestion.changes.captures import Captures

        settings, folder = self.site.settings.connect, self.site.folder
        certificates = "servers/certificates"
        return Captures(
            connect=lambda: connect.KafkaConnect(
                connect.Connection(
                    url=settings.url,
                    ca_file=folder / (settings.ca_file or f"{certificates}/ca.pem"),
                    certificate_file=folder / (settings.certificate_file or f"{certificates}/operator.pem"),
                    key_file=folder / (settings.key_file or f"{certificates}/operator.key"),
                )
            ),
            kafka=lambda: self.kafka,
            site_folder=folder,
            state_folder=self.site.connectors,
            standing_folder=self.site.topics,
            lake=self.lake,
            alerts=self.alerts,
            clock=self.clock,
            commit_after_s=parse_duration(self.site.settings.kafka.commit_after).total_seconds(),
        )

    @cached_property
    def quarantine(self) -> Quarantine:
        from appliance.ingestion.quarantine import Quarantine

        return Quarantine(landing=self.landing, sink=self.sink, declarations_folder=self.site.declarations)

    @cached_property
    def letters(self) -> Letters:
        from appliance.ingestion.letters import Letters

        return Letters(landing=self.landing, spool=self.sink.spool, clock=self.clock)

    @cached_property
    def letter_purge(self) -> LetterPurge:
        from appliance.ingestion.purge import PURGE, LetterPurge
        from appliance.ingestion.sensitive.erasure import Erasures

        erasures = Erasures(
            kind=PURGE, audit=self.audit, role_keys=self.keys, data_keys=self.data_keys, clock=self.clock
        )
        return LetterPurge(landing=self.landing, letters=self.letters, erasures=erasures, copies=self.dead_letter_topic)

    @cached_property
    def gates(self) -> Gates:
        from appliance.ingestion.gates.contract import load_contracts
        from appliance.ingestion.gates.gate import Gates

        contracts = load_contracts(self.site.declarations / "contracts")
        return Gates(lake=self.lake, contracts=contracts, clock=self.clock)

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
            tables=self.training_tables,
            python=self.training_python,
            environment=self.training_lock,
            site_folder=self.site.folder,
            timeout_s=self._training_timeout_s,
        )

    @cached_property
    def trainer(self) -> Trainer:
        from appliance.training.run import Trainer

        return Trainer(
            tables=self.training_tables,
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
