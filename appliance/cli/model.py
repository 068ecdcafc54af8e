"""``appliance model``: register, approve, promote, roll back and retire model versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from appliance.base.duration import parse_duration
from appliance.base.errors import ApplianceError
from appliance.cli.command import Call, Result, command, noun

if TYPE_CHECKING:
    from appliance.governance.registry import ModelVersion


@command("model", "list", example="appliance model list --site ./site")
@click.option("--name", help="Only versions of this model.")
def list_versions(call: Call, name: str | None) -> Result:
    """List registered versions and their stages."""
    versions = call.parts.registry.list(name)
    lines = [f"{'model':<32}  {'stage':<10}  {'metric':<24}  owner"]
    for each in versions:
        metric = each.manifest.primary_metric
        lines.append(f"{each.id:<32}  {each.stage:<10}  {metric.name + ' ' + metric.value:<24}  {each.manifest.owner}")
    return Result(data={"versions": [_shown(each) for each in versions]}, text="\n".join(lines))


@command("model", "show", example="appliance model show thermal/3")
@click.argument("model", metavar="NAME/VERSION")
def show(call: Call, model: str) -> Result:
    """Show a version: duties, metric, approval, and whether it may be loaded now."""
    registry = call.parts.registry
    version = registry.get(*_parse(model))
    try:
        refusal = ""
        approval = msgspec.to_builtins(registry.check_loadable(version.name, version.version).approval)
    except ApplianceError as error:
        refusal, approval = str(error), None
    manifest = version.manifest
    data = {
        **_shown(version),
        "manifest": msgspec.to_builtins(manifest),
        "approval": approval,
        "loadable": not refusal,
        "refusal": refusal,
        "registrar": version.standing.registrar,
        "registered_at": version.standing.registered_at,
        "moves": list(version.standing.moves),
    }
    lines = [
        f"{version.id} ({version.stage}), {manifest.kind}: {manifest.purpose}",
        f"artifact {manifest.artifact_id}",
        f"owner {manifest.owner}, retrain within {manifest.staleness}, p99 {manifest.slo.latency_p99_ms} ms,"
        f" available {manifest.slo.availability_percent} %, {manifest.slo.metric} at least {manifest.slo.minimum}",
        f"{manifest.primary_metric.name} {manifest.primary_metric.value} ({manifest.primary_metric.direction})",
        f"registered by {version.standing.registrar} at {version.standing.registered_at}",
        f"package {version.folder}",
        f"may be loaded: {'yes' if not refusal else 'no, ' + refusal}",
    ]
    if approval:
        lines.insert(5, f"approved at {approval['approved_at']} until {approval['expires']}: {approval['reason']}")
    return Result(data=data, text="\n".join(lines))


@command(
    "model",
    "register",
    changes="model.register",
    roles=("data-scientist", "operator"),
    example="appliance model register site/runs/thermal-1/package --site ./site",
)
@click.argument("package", type=click.Path(path_type=Path))
@click.option("--lineage", help="Id of the model's lineage document.")
def register(call: Call, package: Path, lineage: str | None) -> Result:
    """Check a model package, sign it and take it in as a candidate.

    Refused: no owner, SLO or staleness limit; registered already; not better than what is there.
    """
    version = call.parts.registry.register(package, lineage=lineage)
    return _done(version, f"{version.id} is a candidate. Next, as approver: appliance model approve {version.id}")


@command(
    "model",
    "approve",
    changes="model.approve",
    roles=("approver",),
    example="appliance model approve thermal/3 --reason 'Reviewed the model card'",
)
@click.argument("model", metavar="NAME/VERSION")
@click.option("--reason", required=True, help="Why; it is part of the signed statement.")
@click.option("--lifetime", default="365d", show_default=True, help="How long the approval holds.")
def approve(call: Call, model: str, reason: str, lifetime: str) -> Result:
    """Sign an approval; the key must be another than the registrar's."""
    name, number = _parse(model)
    version = call.parts.registry.approve(name, number, reason=reason, lifetime=parse_duration(lifetime))
    return _done(version, f"{version.id} is approved until its approval expires ({lifetime})")


@command(
    "model",
    "promote",
    changes="model.promote",
    roles=("operator", "approver"),
    example="appliance model promote thermal/3 --site ./site",
)
@click.argument("model", metavar="NAME/VERSION")
def promote(call: Call, model: str) -> Result:
    """Make an approved version live; the one before it stays ready for rollback."""
    version = call.parts.registry.promote(*_parse(model))
    return _done(version, f"{version.id} is live{_followed(call, version.name)}")


@command(
    "model",
    "rollback",
    changes="model.rollback",
    roles=("operator", "approver"),
    example="appliance model rollback thermal --reason 'Alarms doubled'",
)
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is recorded with the move.")
def rollback(call: Call, name: str, reason: str) -> Result:
    """Make the version live that was live before."""
    version = call.parts.registry.rollback(name, reason=reason)
    return _done(version, f"{version.id} is live again{_followed(call, version.name)}")


@command(
    "model",
    "retire",
    changes="model.retire",
    roles=("operator", "approver", "data-scientist"),
    example="appliance model retire thermal/1 --reason 'Replaced'",
)
@click.argument("model", metavar="NAME/VERSION")
@click.option("--reason", required=True, help="Why; it is recorded with the move.")
def retire(call: Call, model: str, reason: str) -> Result:
    """End a version for good; it is never loaded again."""
    name, number = _parse(model)
    version = call.parts.registry.retire(name, number, reason=reason)
    return _done(version, f"{version.id} is retired")


def _parse(model: str) -> tuple[str, int]:
    from appliance.governance import codes

    name, slash, number = model.rpartition("/")
    if not slash or not number.isascii() or not number.isdigit() or not name:
        raise ApplianceError(codes.MODEL_UNKNOWN, f"expected NAME/VERSION such as thermal/3, got {model!r}")
    return name, int(number)


def _shown(version: ModelVersion) -> dict[str, Any]:
    return {
        "id": version.id,
        "name": version.name,
        "version": version.version,
        "stage": version.stage,
        "artifact_id": version.manifest.artifact_id,
        "owner": version.manifest.owner,
        "metric": msgspec.to_builtins(version.manifest.primary_metric),
        "package": version.standing.package,
        "folder": str(version.folder),
        "statement": version.standing.statement,
        "approval_statement": version.standing.approval,
    }


def _followed(call: Call, name: str) -> str:
    """Let the running gateway follow the registry; says whether it does."""
    from appliance.serving.processes import GATEWAY, Processes

    if Processes(call.site).running(GATEWAY) is None:
        return "; the gateway does not run, it follows at its next start"
    from appliance.serving.deployment import Deployment

    return ", and answers now" if Deployment(call.parts).follow_if_served(name) else "; the gateway has no route for it"


def _done(version: ModelVersion, text: str) -> Result:
    return Result(data=_shown(version), text=text)


_COMMANDS = [list_versions, show, register, approve, promote, rollback, retire]
group = noun("model", "Register, approve, promote, retire and show models.", _COMMANDS)
