"""``appliance schema``: the wire schema of readings, the declared measures and the drop mappings."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from appliance.cli.command import Call, Result, command, noun
from appliance.cli.text import table

READINGS = "readings"


@command("schema", "list", example="appliance schema list")
def list_(call: Call) -> Result:
    """List what the spool takes: readings, and one drop mapping each."""
    mappings = call.parts.drops.mappings()
    found = [{"name": READINGS, "format": "avro", "table": "silver.readings", "description": "Reading batches"}]
    found += [
        {"name": name, "format": each.format, "table": each.table, "description": each.description}
        for name, each in mappings.items()
    ]
    rows = [tuple(each.values()) for each in found]
    return Result(data={"schemas": found}, text=table(("name", "format", "table", "description"), rows))


@command("schema", "show", example="appliance schema show")
def show(call: Call) -> Result:
    """Show the Avro schema of reading batches and the declared measures."""
    from appliance.ingestion import declarations, reading

    declared = declarations.load(call.site.declarations)
    measures = declared.measures.measure
    rows = [
        (name, each.unit, each.min, each.max, each.interval, "yes" if each.may_rest else "no", each.description)
        for name, each in measures.items()
    ]
    data: dict[str, Any] = {
        "schema": reading.SCHEMA,
        "measures": {name: msgspec.to_builtins(each) for name, each in measures.items()},
        "accepted_qualities": declared.measures.accepted_qualities,
        "decoders": [msgspec.to_builtins(each) for each in declared.decoders.decoder],
    }
    heads = ("measure", "unit", "min", "max", "interval", "may rest", "description")
    decoders = [(each.firmware, each.event_time_unit) for each in declared.decoders.decoder]
    text = "\n\n".join(
        (
            msgspec.json.format(reading.SCHEMA_JSON, indent=2),
            table(heads, rows),
            f"accepted qualities: {', '.join(declared.measures.accepted_qualities)}",
            table(("firmware", "event time unit"), decoders),
        )
    )
    return Result(data=data, text=text)


@command("schema", "mapping", example="appliance schema mapping ett")
@click.argument("name")
def mapping(call: Call, name: str) -> Result:
    """Show how files of a drop mapping become rows."""
    found = call.parts.drops.mapping(name)
    rows = [
        (each.origin, each.name, each.type, each.unit or None, "yes" if each.required else "no", each.min, each.max)
        for each in found.column
    ]
    time = found.time
    text = "\n".join(
        (
            f"{found.format} -> {found.table}; arrival: {found.arrival}",
            f"event_time from {time.column} ({time.format}, {time.zone} where no zone is given)",
            *(f"{key} = {value!r}" for key, value in found.constants.items()),
            "",
            table(("from", "name", "type", "unit", "required", "min", "max"), rows),
        )
    )
    return Result(data={"name": name, "mapping": msgspec.to_builtins(found)}, text=text)


group = noun("schema", "Show the wire schemas and drop mappings.", [list_, show, mapping])
