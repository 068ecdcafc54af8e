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
            pattern=r"^[a-z][a-z0-9-]{0,62}$",
            description="Name of the site; part of every identity that it signs with.",
        ),
    ] = "demo"
    profile: Annotated[
        Literal["embedded"],
        Meta(description="Which half of each role is built. The servers profile comes with the data plane."),
    ] = "embedded"


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
        int, Meta(ge=1024, description="A larger spool file is refused.", extra_json_schema=_unit("bytes"))
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


class LogSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logs of the programs."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="Least level that is written.")] = (
        "INFO"
    )


class SiteFile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole site file."""

    site: SiteSection = SiteSection()
    ingest: IngestSection = IngestSection()
    training: TrainingSection = TrainingSection()
    serving: ServingSection = ServingSection()
    monitoring: MonitoringSection = MonitoringSection()
    pipeline: PipelineSection = PipelineSection()
    portal: PortalSection = PortalSection()
    log: LogSection = LogSection()
