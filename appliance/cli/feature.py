"""``appliance feature``: the declared views, their values, and the online store."""

from __future__ import annotations

import click

from appliance.cli.command import Call, Result, command, noun


@command("feature", "list", example="appliance feature list --site ./site")
def list_features(call: Call) -> Result:
    """List the declared features with view, unit and expression."""
    rows = [
        {
            "feature": f"{view.name}.{feature.name}",
            "owner": view.owner,
            "unit": feature.contract.unit,
            "expression": feature.expression.text,
        }
        for view in call.parts.views
        for feature in view.features
    ]
    width = max((len(row["feature"]) for row in rows), default=0)
    lines = [f"{row['feature']:{width}}  {row['expression']}  [{row['unit']}]" for row in rows]
    return Result(data={"features": rows}, text="\n".join(lines) or "No feature view is declared.")


@command("feature", "show", example="appliance feature show thermal --site ./site")
@click.argument("view")
def show(call: Call, view: str) -> Result:
    """Show one view: axes, owner, features and their contracts."""
    from appliance.base.errors import ApplianceError
    from appliance.features import codes

    found = next((each for each in call.parts.views if each.name == view), None)
    if found is None:
        raise ApplianceError(codes.UNKNOWN_FEATURE, f"{view!r} is in no declared view")
    lines = [
        f"{found.name}: {found.description}",
        f"owner {found.owner}, event axis {found.axes.event}, arrival axis {found.axes.known}",
        f"declaration {found.digest}",
    ]
    for feature in found.features:
        contract = feature.contract
        policies = ", ".join(f"{name} -> {policy}" for name, policy in contract.as_json()["policies"].items())
        lines += [
            f"  {feature.name} = {feature.expression.text}",
            f"    {contract.type} in {contract.unit}, {contract.low:g} to {contract.high:g}; {policies}",
        ]
    data = {"view": found.declaration, "digest": found.digest}
    return Result(data=data, text="\n".join(lines))


@command("feature", "get", example="appliance feature get T001 --view thermal --site ./site")
@click.argument("entities", nargs=-1, required=True)
@click.option("--view", "names", multiple=True, help="View, or view.feature; may be repeated. Default: every view.")
@click.option("--at", default=None, metavar="INSTANT", help="RFC 3339 instant. Default: as far as the store reaches.")
@click.option("--historical", is_flag=True, help="Compute from the lake instead of the online store.")
def get(call: Call, entities: tuple[str, ...], names: tuple[str, ...], at: str | None, historical: bool) -> Result:
    """Compute feature values of entities at an instant, with ages and contract states."""
    import pyarrow as pa

    from appliance.base.clock import parse_rfc3339, rfc3339
    from appliance.features.contract import REASONS, STATES
    from appliance.features.store import INSTANT

    try:
        instant = parse_rfc3339(at) if at else call.clock.now()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--at") from error
    chosen = names or tuple(view.name for view in call.parts.views)
    store = call.parts.feature_store
    if historical:
        spine = pa.table({"entity": list(entities), "at": pa.array([instant] * len(entities), INSTANT)})
        vectors = store.get_historical(spine, chosen)
    else:
        vectors = store.get_online(entities, instant, chosen)
    rows = []
    for row, entity in enumerate(vectors.entities):
        for column, name in enumerate(vectors.names):
            value, age = float(vectors.values[row, column]), float(vectors.age_s[row, column])
            rows.append(
                {
                    "entity": entity,
                    "at": rfc3339(instant),
                    "feature": name,
                    "value": value if value == value else None,
                    "age_s": age if age == age else None,
                    "state": STATES[vectors.judged.states[row, column]],
                    "reason": REASONS[vectors.judged.reasons[row, column]],
                }
            )
    lines = [
        f"{row['entity']}  {row['feature']:24} {row['value']!s:>24}  age {row['age_s']!s:>10} s  {row['state']}"
        + ("" if row["reason"] == "ok" else f" ({row['reason']})")
        for row in rows
    ]
    return Result(data={"values": rows}, text="\n".join(lines))


@command(
    "feature",
    "materialize",
    changes="feature.materialize",
    roles=("operator", "data-engineer", "data-scientist"),
    example="appliance feature materialize --site ./site",
)
def materialize(call: Call) -> Result:
    """Bring the online store up to the newest readings in the lake."""
    from appliance.base.clock import from_us, rfc3339

    done = call.parts.feature_store.materialize()
    through = rfc3339(from_us(done.through_us))
    how = "anew" if done.anew else f"by {done.files} new files"
    return Result(
        data={"entities": done.entities, "files": done.files, "anew": done.anew, "through": through},
        text=f"Online store filled {how}: {done.entities} entities changed, arrivals up to {through}.",
    )


group = noun("feature", "List, compute and look up features", [list_features, show, get, materialize])
