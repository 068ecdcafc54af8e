"""Every setting of the product, each declared once: type, range, unit, default and help.

The site file (TOML), ``appliance site show`` and the generated page ``docs/reference/settings.md`` all come from
these classes. A section is a class, a setting is a field; `Meta.description` is the help, ``extra_json_schema`` may
carry the unit. Unknown keys are refused. Durations are text such as ``24h`` (see `appliance.base.duration`).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


def _unit(name: str) -> dict[str, str]:
    return {"unit": name}


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the site file."""


class SiteSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who and what this site is."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9-]{0,62}\Z",
            description="Name of the site; part of every identity that it signs with.",
        ),
    ] = "demo"
    profile: Annotated[
        Literal["embedded"],
        Meta(description="Which half of each role is built. The servers profile comes with the data plane."),
    ] = "embedded"


class TrustSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the keys are that the site signs with."""

    keys: Annotated[
        str,
        Meta(
            description="Address of the key store (file:, pkcs11: or openbao:), chosen before the ceremony; "
            "empty: files in trust/enclave. It names files with secrets and never holds one.",
        ),
    ] = ""


class SecretsSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where passwords are read: files of the site, or OpenBao. Files are relative to the site's folder."""

    openbao: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s/@:?#]+:[0-9]{1,5})?\Z",
            description="OpenBao server, https://host:port. With it a password that no setting names is read from the "
            "entry of that user, as kafka/ingest; empty: passwords are files.",
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(description="Certificates that the server's must be issued by; empty: those of the servers here."),
    ] = ""
    role_id_file: Annotated[
        str,
        Meta(
            description="File with the role id of our AppRole, mode 600; "
            "empty: that of the role ingest of the servers on this machine."
        ),
    ] = ""
    secret_id_file: Annotated[
        str,
        Meta(
            description="File with the secret id of our AppRole, mode 600; "
            "empty: that of the role ingest of the servers on this machine."
        ),
    ] = ""
    mount: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\Z", description="Path of the KV engine (version 2).")
    ] = "site"


class IngestSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spool, limits of hostile input, and commits."""

    commit_rows: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="A commit is made when so many readings are waiting.",
            extra_json_schema=_unit("rows"),
        ),
    ] = 500_000
    max_file_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=2_000_000_000,  # what a column of Parquet holds of one value, and what is sealed at once
            description="A larger spool file is refused.",
            extra_json_schema=_unit("bytes"),
        ),
    ] = 256 * 1024 * 1024
    max_expansion: Annotated[
        int,
        Meta(
            ge=2,
            le=1000,
            description="A file that decompresses to more than so many times its size is refused.",
            extra_json_schema=_unit("ratio"),
        ),
    ] = 50
    trust_received_at: Annotated[
        bool,
        Meta(description="Believe the collector's stamp of arrival (history import); else the claim counts."),
    ] = False
    late_after: Annotated[str, Meta(description="A reading that arrives so long after its event counts as late.")] = (
        "24h"
    )


class KafkaSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Readings from a topic, and predictions through one. Files are relative to the site's folder."""

    servers: Annotated[
        str, Meta(description="Brokers to begin with, as host:port with commas between them; empty: no Kafka.")
    ] = ""
    topic: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,200}\Z", description="Topic of reading batches.")] = (
        "readings"
    )
    group: Annotated[
        str, Meta(min_length=1, description="Consumer group of the workers that share the topic's partitions.")
    ] = "sink"
    user: Annotated[str, Meta(description="User of the role ingest at the brokers (SCRAM-SHA-512).")] = "ingest"
    password_file: Annotated[
        str,
        Meta(
            description="The user's password: a file with one line, mode 600, or openbao:PATH#FIELD; "
            "empty: that of the servers on this machine."
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(
            description="Certificates that the brokers' must be issued by; empty: those of the servers on this machine."
        ),
    ] = ""
    commit_after: Annotated[
        str, Meta(description="What was read is committed after so long, or when commit_rows are waiting.")
    ] = "10s"
    refused_schema_ids: Annotated[
        tuple[int, ...],
        Meta(description="Schema ids that the registry does not know and that are not waited for any more."),
    ] = ()
    dead_letters: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{0,200}\Z",
            description="Topic of one partition that records which cannot be decoded are copied to; empty: none. "
            "The tables keep them in any case.",
        ),
    ] = ""
    predictions: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{0,200}\Z",
            description="Topic of this site alone, of one partition, that predictions go through into the lake; empty: "
            "they go there from the gateway's files.",
        ),
    ] = ""
    predictions_user: Annotated[
        str, Meta(description="User of the role serving at the brokers, who writes that topic (SCRAM-SHA-512).")
    ] = "serving"
    predictions_password_file: Annotated[
        str,
        Meta(
            description="Its password: a file with one line, mode 600, or openbao:PATH#FIELD; "
            "empty: that of the servers on this machine."
        ),
    ] = ""


class StorageSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the lake and the raw bytes are, and upkeep of the tables. Files are relative to the site's folder."""

    store: Annotated[
        str,
        Meta(
            pattern=r"^([^\s/@:]+:[0-9]{1,5})?\Z",
            description="S3 server that keeps raw bytes and the lake's files, host:port; empty: folders of the site.",
        ),
    ] = ""
    store_access_key: Annotated[str, Meta(description="Who the site is to that server.")] = "site"
    store_secret_file: Annotated[
        str,
        Meta(
            description="The secret of that key: a file, mode 600, or openbao:PATH#FIELD; "
            "empty: that of the servers on this machine."
        ),
    ] = ""
    store_ca_file: Annotated[
        str,
        Meta(description="Certificates that the server's must be issued by; empty: those of the servers here."),
    ] = ""
    store_buckets: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9][a-z0-9-]{1,40}\Z",
            description="What the names of the buckets begin with: NAME-objects, NAME-lake.",
        ),
    ] = "site"
    lock_days: Annotated[
        int,
        Meta(
            ge=1,
            le=36_500,
            description="For so long nobody can delete raw bytes from their bucket, the site itself included.",
            extra_json_schema=_unit("days"),
        ),
    ] = 90

    catalog: Annotated[
        str,
        Meta(
            pattern=r"^(postgresql://[a-z_][a-z0-9_]{0,62}@[^\s/@:]+:[0-9]{1,5}/[a-z_][a-z0-9_]{0,62})?\Z",
            description="Database of the lake's catalog, postgresql://role@host:port/name; empty: a file in the lake.",
        ),
    ] = ""
    catalog_password_file: Annotated[
        str,
        Meta(
            description="The role's password: a file, mode 600, or openbao:PATH#FIELD; "
            "empty: that of the servers on this machine."
        ),
    ] = ""
    catalog_ca_file: Annotated[
        str,
        Meta(description="Certificates that the database's must be issued by; empty: those of the servers here."),
    ] = ""
    target_file_bytes: Annotated[
        int,
        Meta(
            ge=4096,
            le=1 << 30,
            description="Small data files are rewritten into files of at most this size.",
            extra_json_schema=_unit("bytes"),
        ),
    ] = 64 * 1024 * 1024
    retain_files: Annotated[
        str,
        Meta(
            description="How long a data file stays after a compaction replaced it. Until then every artifact that "
            "rests on it is verified on its own bytes."
        ),
    ] = "90d"
    orphans_after: Annotated[
        str,
        Meta(description="A file below a table that was never in it is removed when it is so old; 1h or more."),
    ] = "24h"
    max_small_files: Annotated[
        int,
        Meta(
            ge=1,
            description="With more small files than this, a table raises an alert.",
            extra_json_schema=_unit("files"),
        ),
    ] = 200


class MonitoringSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Drift and staleness."""

    drift_window_rows: Annotated[
        int,
        Meta(
            ge=100,
            description="Rows of the newest window that is compared with the reference.",
            extra_json_schema=_unit("rows"),
        ),
    ] = 5_000
    psi_limit: Annotated[
        float, Meta(gt=0, description="Population stability index from which a drift is an alarm.")
    ] = 0.25
    false_discovery_rate: Annotated[
        float, Meta(gt=0, lt=1, description="Expected share of false alarms among drift alarms (Benjamini-Hochberg).")
    ] = 0.01


class ServingSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gateway and prediction service, on loopback."""

    gateway_port: Annotated[
        int, Meta(ge=1, le=65535, description="The gateway listens here.", extra_json_schema=_unit("port"))
    ] = 8400
    service_port: Annotated[
        int,
        Meta(
            ge=1,
            le=65535,
            description="The first prediction service listens here, its neighbours on the next ports.",
            extra_json_schema=_unit("port"),
        ),
    ] = 8410
    shadow_queue: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Requests that may wait for the shadow; beyond it they are dropped and counted.",
            extra_json_schema=_unit("requests"),
        ),
    ] = 1_000
    breaker_failures: Annotated[
        int,
        Meta(ge=1, description="Failures in a row that open the circuit breaker.", extra_json_schema=_unit("requests")),
    ] = 5
    breaker_open_for: Annotated[str, Meta(description="How long an open breaker sends everything to the fallback.")] = (
        "5s"
    )
    request_timeout_ms: Annotated[
        int, Meta(ge=1, description="Limit of one prediction request.", extra_json_schema=_unit("ms"))
    ] = 2_000


class PipelineSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gates of the retrain pipeline."""

    replay_requests: Annotated[
        int,
        Meta(
            ge=1,
            description="Recorded requests that shadow and canary each replay through the gateway.",
            extra_json_schema=_unit("requests"),
        ),
    ] = 2_000
    max_quarantined_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="A run stops when a greater share of readings is in quarantine.",
            extra_json_schema=_unit("percent"),
        ),
    ] = 10.0
    canary_percent: Annotated[
        int,
        Meta(ge=1, le=99, description="Share of entities that the canary answers.", extra_json_schema=_unit("percent")),
    ] = 10
    max_error_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="A canary or shadow with more failed requests is rolled back.",
            extra_json_schema=_unit("percent"),
        ),
    ] = 1.0
    max_score_shift: Annotated[
        float,
        Meta(
            gt=0, le=1, description="Greatest allowed distance (Kolmogorov-Smirnov) between live and candidate scores."
        ),
    ] = 0.5


class PortalSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Local web pages."""

    port: Annotated[
        int, Meta(ge=1, le=65535, description="The portal listens here, on loopback.", extra_json_schema=_unit("port"))
    ] = 8480


class ConnectSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kafka Connect, which captures the changes of databases. Files are relative to the site's folder."""

    url: Annotated[str, Meta(description="Address of its interface, https://host:port; empty: none.")] = ""
    ca_file: Annotated[
        str,
        Meta(
            description="Certificates that its own must be issued by; empty: those of the servers on this machine.",
        ),
    ] = ""
    certificate_file: Annotated[
        str, Meta(description="The certificate that it asks for; empty: the operator's of the servers on this machine.")
    ] = ""
    key_file: Annotated[
        str, Meta(description="The key of that certificate, mode 600; empty: the operator's on this machine.")
    ] = ""


class ServersSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Third-party servers that run on this machine, on loopback."""

    first_port: Annotated[
        int,
        Meta(
            ge=1024,
            le=65_500,
            description="The servers listen on consecutive ports from here.",
            extra_json_schema=_unit("port"),
        ),
    ] = 8500
    folder: Annotated[
        str,
        Meta(description="Where make servers put the servers; empty: .servers beside the product."),
    ] = ""


class SchemasSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where schemas are registered. Files are relative to the site's folder."""

    registry: Annotated[
        str,
        Meta(
            description="Address of a registry with the Confluent API, up to where /subjects begins; "
            "empty: files in the folder schemas of the site.",
        ),
    ] = ""
    ca_file: Annotated[
        str, Meta(description="Certificates that the registry's must be issued by; empty: the system's.")
    ] = ""
    user: Annotated[str, Meta(description="User at the registry; empty: none is asked for.")] = ""
    password_file: Annotated[
        str,
        Meta(
            description="The user's password: a file with one line, mode 600, or openbao:PATH#FIELD; "
            "empty: that of the servers on this machine."
        ),
    ] = ""
    timeout: Annotated[str, Meta(description="Limit of one question to the registry, attempts included.")] = "4s"
    compatibility: Annotated[
        Literal["NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"],
        Meta(description="What a new version must keep, for subjects that declare nothing else."),
    ] = "BACKWARD"


class TrainingSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where training jobs run."""

    python: Annotated[
        str,
        Meta(description="Interpreter of the training environment; empty: .venv-training beside the product."),
    ] = ""
    timeout: Annotated[str, Meta(description="Limit of one training job.")] = "2h"
    threads: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Threads of a training job; part of its identity.",
            extra_json_schema=_unit("threads"),
        ),
    ] = 2


class AirlockSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How bundles come in."""

    scanner: Annotated[
        str,
        Meta(
            description="Command of the malware scanner, as clamscan -r; the folder is added as its last word, and any "
            "exit code but 0 rejects the bundle. Empty: it has to be given with each import."
        ),
    ] = ""
    scan_timeout: Annotated[str, Meta(description="Limit of one scan.")] = "12h"


class LogSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logs of the programs."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="Least level that is written.")] = (
        "INFO"
    )


class SiteFile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole site file."""

    site: SiteSection = SiteSection()
    trust: TrustSection = TrustSection()
    secrets: SecretsSection = SecretsSection()
    ingest: IngestSection = IngestSection()
    kafka: KafkaSection = KafkaSection()
    connect: ConnectSection = ConnectSection()
    schemas: SchemasSection = SchemasSection()
    storage: StorageSection = StorageSection()
    training: TrainingSection = TrainingSection()
    serving: ServingSection = ServingSection()
    monitoring: MonitoringSection = MonitoringSection()
    pipeline: PipelineSection = PipelineSection()
    portal: PortalSection = PortalSection()
    servers: ServersSection = ServersSection()
    airlock: AirlockSection = AirlockSection()
    log: LogSection = LogSection()
