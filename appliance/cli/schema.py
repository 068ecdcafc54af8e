"""``appliance schema``: registered schemas, columns of tables, the wire schema of readings, the drop mappings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from appliance.base.errors import EXIT_FAILED, ApplianceError
from appliance.cli.command import Call, Result, command, noun
from appliance.cli.text import table

if TYPE_CHECKING:
    from appliance.ingestion.schemas.registry import Kind, RegisteredSchema

READINGS = "readings"


@command("schema", "list", example="appliance schema list")
def list_(call: Call) -> Result:
    """List what the spool takes (readings, and one drop mapping each), and the subjects of the schema registry."""
    mappings = call.parts.drops.mappings()
    found = [{"name": READINGS, "format": "avro", "table": "silver.readings", "description": "Reading batches"}]
    found += [
        {"name": name, "format": each.format, "table": each.table, "description": each.description}
        for name, each in mappings.items()
    ]
    subjects = []
    for name in call.parts.schemas.subjects():
        versions = call.parts.schemas.versions(name)
        if versions:  # none: deleted meanwhile
            newest = versions[-1]
            subjects.append(
                {"subject": name, "kind": newest.schema.kind, "version": newest.version, "id": newest.schema.id}
            )
    rows = [tuple(each.values()) for each in found]
    text = table(("name", "format", "table", "description"), rows)
    if subjects:
        heads = ("subject", "kind", "newest version", "id")
        text += "\n\n" + table(heads, [tuple(each.values()) for each in subjects])
    return Result(data={"schemas": found, "subjects": subjects}, text=text)


@command("schema", "show", example="appliance schema show plant-value --version 1")
@click.argument("subject", required=False)
@click.option("--version", type=click.IntRange(min=1), default=None, help="Of the subject; the newest when left out.")
@click.option(
    "--id", "id", type=click.IntRange(min=1), default=None, help="The schema with this id, in place of a subject."
)
def show(call: Call, subject: str | None, version: int | None, id: int | None) -> Result:
    """Show a registered schema, or the Avro schema of reading batches and the declared measures."""
    if subject is not None and id is not None:
        raise click.UsageError("SUBJECT and --id exclude each other.")
    if version is not None and subject is None:
        raise click.UsageError("--version needs SUBJECT.")
    if subject is not None:
        return _registered(*_version_of(call, subject, version))
    if id is not None:
        found = call.parts.schemas.by_id(id)
        if found is None:
            raise _unknown(f"the registry knows no id {id}")
        return _registered(found, {})
    return _readings(call)


def _version_of(call: Call, subject: str, number: int | None) -> tuple[RegisteredSchema, dict[str, Any]]:
    versions = call.parts.schemas.versions(subject)
    chosen = [each for each in versions if number is None or each.version == number]
    if not chosen:
        there = (
            f"it has {', '.join(str(each.version) for each in versions)}" if versions else "there is no such subject"
        )
        raise _unknown(f"{subject!r}{'' if number is None else f' version {number}'}: {there}")
    return chosen[-1].schema, {"subject": subject, "version": chosen[-1].version}


def _unknown(message: str) -> ApplianceError:
    from appliance.ingestion.schemas import codes

    return ApplianceError(codes.SUBJECT_UNKNOWN, message)


def _registered(schema: RegisteredSchema, place: dict[str, Any]) -> Result:
    data = {
        **place,
        "id": schema.id,
        "kind": schema.kind,
        "text": schema.text,
        "references": [
            {"name": each.name, "subject": each.subject, "version": each.version} for each in schema.references
        ],
    }
    head = ", ".join(f"{name} {data[name]}" for name in ("subject", "version", "id", "kind") if name in data)
    refers = [f"refers to {each.name}: {each.subject} version {each.version}" for each in schema.references]
    return Result(data=data, text="\n".join((head, *refers, "", schema.text)))


def _readings(call: Call) -> Result:
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
        (
            each.origin,
            each.name,
            each.type,
            each.unit or None,
            "yes" if each.required else "no",
            each.min,
            each.max,
            each.sensitive or None,
        )
        for each in found.column
    ]
    time = found.time
    text = "\n".join(
        (
            f"{found.format} -> {found.table}; arrival: {found.arrival}",
            f"event_time from {time.column} ({time.format}, {time.zone} where no zone is given)",
            *(f"{key} = {value!r}" for key, value in found.constants.items()),
            "",
            table(("from", "name", "type", "unit", "required", "min", "max", "sensitive"), rows),
        )
    )
    return Result(data={"name": name, "mapping": msgspec.to_builtins(found)}, text=text)


@command(
    "schema",
    "register",
    changes="schema.register",
    roles=("data-engineer", "operator"),
    example="appliance schema register plant-value declarations/schemas/plant-value/1.avsc",
)
@click.argument("subject")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--kind", type=click.Choice(("AVRO", "PROTOBUF", "JSON")), default=None, help="By the file's suffix when left out."
)
def register(call: Call, subject: str, file: Path, kind: Kind | None) -> Result:
    """Register a schema as the next version of a subject; refused where readers would break.

    A schema that the subject has already gives its id again.
    """
    from appliance.ingestion.schemas.declared import read_text

    id = call.parts.schemas.register(subject, kind or _kind_of(file), read_text(file))
    return Result(data={"subject": subject, "id": id}, text=f"{subject}: id {id}")


@command("schema", "check", example="appliance schema check --all declarations/schemas --against folder")
@click.argument("subject", required=False)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--kind", type=click.Choice(("AVRO", "PROTOBUF", "JSON")), default=None, help="By the file's suffix when left out."
)
@click.option(
    "--all",
    "folder",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FOLDER",
    help="Every version of every subject in this folder.",
)
@click.option(
    "--against",
    type=click.Choice(("registry", "folder")),
    default="registry",
    show_default=True,
    help="With --all: what versions are compared with. Against the folder alone, no site is needed.",
)
def check(
    call: Call, subject: str | None, file: Path | None, kind: Kind | None, folder: Path | None, against: str
) -> Result:
    """Say whether schemas could be registered, and why not; nothing is changed.

    Ends with 1 when one could not. With --all it is the check of contracts before a change is merged.
    """
    if (folder is None) == (subject is None) or (subject is None) != (file is None):
        raise click.UsageError("Give SUBJECT and FILE, or --all FOLDER.")
    found = (
        _check_one(call, subject, file, kind)
        if subject is not None and file is not None
        else _check_all(call, folder or Path(), against == "registry")
    )
    broken = [each for each in found if each["reasons"]]
    lines = [f"{each['subject']} {each['file']}: {reason}" for each in broken for reason in each["reasons"]]
    summary = f"{len(found)} checked, {len(broken)} that cannot be registered"
    return Result(
        data={"passed": not broken, "checked": found},
        text="\n".join((*lines, summary)),
        exit_code=EXIT_FAILED if broken else 0,
    )


def _check_one(call: Call, subject: str, file: Path, kind: Kind | None) -> list[dict[str, Any]]:
    from appliance.ingestion.schemas.declared import read_text

    reasons = call.parts.schemas.check(subject, kind or _kind_of(file), read_text(file))
    return [{"subject": subject, "file": str(file), "reasons": list(reasons)}]


def _check_all(call: Call, folder: Path, registered: bool) -> list[dict[str, Any]]:
    from appliance.ingestion.schemas import codes, declared
    from appliance.ingestion.schemas.registry import DEFAULT_LEVEL

    if not folder.is_dir():
        raise ApplianceError(codes.DECLARATION_INVALID, "there is no such folder", where=str(folder))
    level = call.site.settings.schemas.compatibility if registered else DEFAULT_LEVEL
    found = []
    for subject in declared.load_subjects(folder):
        before = [each.schema for each in call.parts.schemas.versions(subject.name)] if registered else []
        for each in declared.judge(subject, before=before, default_level=level):
            name = str(each.version.path.relative_to(folder))
            found.append({"subject": subject.name, "file": name, "reasons": list(each.reasons)})
    return found


@command("schema", "columns", example="appliance schema columns silver.plant")
@click.argument("name", metavar="TABLE")
def columns(call: Call, name: str) -> Result:
    """Print a table's columns with their ids, as a declaration that appliance schema evolve takes."""
    from appliance.storage.evolution import columns_of

    found = columns_of(call.parts.lake, name)
    text = "\n".join(
        f"[[column]]\nid = {each.id}\nname = {json.dumps(each.name)}\ntype = {json.dumps(each.type)}\n"
        + ("required = true\n" if each.required else "")
        for each in found
    )
    return Result(data={"table": name, "columns": [msgspec.to_builtins(each) for each in found]}, text=text)


@command(
    "schema",
    "evolve",
    changes="schema.evolve",
    unless="plan",
    roles=("data-engineer", "operator"),
    example="appliance schema evolve silver.plant declarations/tables/silver.plant.toml --plan",
)
@click.argument("name", metavar="TABLE")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--plan", is_flag=True, help="Say what would change, and change nothing.")
def evolve(call: Call, name: str, file: Path, plan: bool) -> Result:
    """Make a table's columns those that FILE declares, without rewriting its data.

    Columns are added, widened and renamed by their ids; what would lose or change rows is refused as a whole.
    """
    from appliance.storage import evolution

    declared = evolution.load_columns(file)
    features = [feature for view in call.parts.views for feature in view.features]
    slots = [slot for feature in features for slot in feature.slots if slot.table == name]
    fixed = {
        column
        for each in slots
        for column in (
            *(each.entity, each.event_axis, each.known_axis),
            *(each.measure_column, each.value_column, each.unit_column),
        )
    }
    if plan:
        done = evolution.Evolution(
            table=name, changes=evolution.plan_for(call.parts.lake, name, declared, fixed=fixed), commit=None
        )
    else:
        done = evolution.evolve(call.parts.lake, name, declared, fixed=fixed)
    rows = [(each.id, each.column, each.kind, each.was, each.is_now) for each in done.changes]
    text = table(("id", "column", "change", "was", "is"), rows) if rows else "nothing to change"
    data = {
        "table": name,
        "changes": [asdict(each) for each in done.changes],
        "snapshot_id": str(done.commit.snapshot_id) if done.commit else "",
    }
    return Result(data=data, text=text)


def _kind_of(file: Path) -> Kind:
    from appliance.ingestion.schemas.declared import KIND_OF

    if file.suffix not in KIND_OF:
        raise click.UsageError(f"{file}: the suffix is none of {', '.join(KIND_OF)}; give --kind.")
    return KIND_OF[file.suffix]


group = noun(
    "schema",
    "Registered schemas, wire schemas and drop mappings.",
    [list_, show, mapping, register, check, columns, evolve],
)
