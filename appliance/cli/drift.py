"""``appliance drift``: compare the newest window with the reference in a model's package."""

from __future__ import annotations

import click

from appliance.cli.command import Call, Result, command, noun


@command("drift", "report", example="appliance drift report --model incident_risk --site ./site")
@click.option("--model", required=True, help="Registered model whose package holds the reference.")
def report(call: Call, model: str) -> Result:
    """Report drift of features, codes and predictions, with effect sizes and false-alarm control."""
    found = call.parts.watch.drift(call.parts.registry.find(model).folder)
    rows = [
        {
            "column": finding.column,
            "kind": finding.kind,
            "state": finding.state,
            "rows": finding.rows,
            "missing": finding.missing,
            "effective_rows": round(finding.effective_rows, 1),
            "effect": round(finding.effect, 6),
            "distance": round(finding.distance, 6),
            "p_value": finding.p_value,
            "reason": finding.reason,
            "unseen": list(finding.unseen),
        }
        for finding in found.findings
    ]
    lines = [f"{'column':24} {'state':12} {'effect':>8} {'distance':>9} {'p':>9}  reason"]
    lines += [
        f"{row['column']:24} {row['state']:12} {row['effect']:8.3f} {row['distance']:9.3f} {row['p_value']:9.2g}  "
        f"{row['reason']}"
        for row in rows
    ]
    alarms = len(found.alarms)
    lines.append(f"{alarms} of {len(rows)} columns in alarm." if alarms else "No drift.")
    return Result(data={"model": model, "alarms": alarms, "columns": rows}, text="\n".join(lines))


@command("drift", "accuracy", example="appliance drift accuracy --model incident_risk --site ./site")
@click.option("--model", required=True, help="Registered model, NAME or NAME/VERSION.")
def accuracy(call: Call, model: str) -> Result:
    """Judge a model's recorded answers on labels that are complete by now.

    Ends with code 1 when it is worse than it promised.
    """
    from appliance.orchestration.watching import live_accuracy

    version = call.parts.registry.find(model)
    found = live_accuracy(call.parts, version)
    metrics = {name: estimate.as_json() for name, estimate in found.metrics.items()}
    lines = [f"{version.id}: {found.state}; {found.rows} answers with complete labels, {found.positives} positive"]
    lines.append(f"{found.waiting} answers wait for their labels")
    lines += [f"  {name:<18} {each['value']} ({each['low']} to {each['high']})" for name, each in metrics.items()]
    lines += [f"  {reason}" for reason in found.reasons]
    data = {
        "model": version.id,
        "state": found.state,
        "rows": found.rows,
        "positives": found.positives,
        "waiting": found.waiting,
        "metrics": metrics,
        "reasons": list(found.reasons),
    }
    return Result(data=data, text="\n".join(lines), exit_code=1 if found.state == "alarm" else 0)


group = noun("drift", "Compare the newest window with the reference", [report, accuracy])
