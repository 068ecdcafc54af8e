"""JSON schemas: whether one takes every document that another takes. No kept library judges it, so this is ours.

Rules
1. A schema names its dialect in ``$schema`` (registries tell by it that it is one): draft 7, 2019-09 or 2020-12.
   Apicurio 3.3.3 registers all three, and judges changes of draft 7 alone.
2. Equal subschemas are compatible. Otherwise a reader may hold only the keywords of `_JUDGED`; each must follow from
   the writer's schema. What follows by deeper reasoning is refused too.
3. References (``$ref``, ``$dynamicRef``) are compatible only where both whole documents are equal.
4. Annotations (``title``, ``default`` and so on) do not count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema
import jsonschema.validators

from appliance.base.errors import ApplianceError
from appliance.ingestion.schemas import codes
from appliance.ingestion.schemas.registry import Reference, RegisteredSchema

DIALECTS = {
    "http://json-schema.org/draft-07/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
}
_ANNOTATIONS = {
    *("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly"),
    *("writeOnly", "contentMediaType", "contentEncoding", "contentSchema"),
}
_LOWER = {"minimum": "number", "exclusiveMinimum": "number", "minLength": "string", "minItems": "array"}
_UPPER = {"maximum": "number", "exclusiveMaximum": "number", "maxLength": "string", "maxItems": "array"}
_EQUAL = {"pattern": "string", "format": "string", "multipleOf": "number"}
_OTHER = {"type", "enum", "const", "properties", "required", "additionalProperties", "items", "uniqueItems"}
_JUDGED = {*_LOWER, *_UPPER, *_EQUAL, *_OTHER}
_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_UNJUDGED_NEIGHBOURS = {"patternProperties", "unevaluatedProperties", "prefixItems", "additionalItems"}
MAX_DEPTH = 64


def normal(text: str, references: Sequence[Reference] = ()) -> str:
    """The text without white space, its keys in order.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    return _plain(parse(text, references))


def parse(text: str, references: Sequence[Reference] = ()) -> Mapping[str, Any]:
    """Raises ApplianceError APL-SCHEMA-001."""
    if references:
        raise ApplianceError(codes.INVALID, "references between JSON schemas are not taken; put them into one document")
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict) or str(schema.get("$schema", "")).removesuffix("#") not in DIALECTS:
            raise ApplianceError(codes.INVALID, f"$schema is none of {', '.join(sorted(DIALECTS))}")
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ApplianceError(codes.INVALID, f"no JSON schema: {error.message[:200]} at {error.json_path}") from error
    except (ValueError, RecursionError) as error:
        raise ApplianceError(codes.INVALID, f"no JSON schema: {error}") from error
    return schema


def read_by(reader: RegisteredSchema, writer: RegisteredSchema) -> tuple[str, ...]:
    """Reasons why `reader` may refuse a document that `writer` takes; empty: it takes all.

    Raises:
        ApplianceError: APL-SCHEMA-001.
    """
    ours, theirs = parse(reader.text, reader.references), parse(writer.text, writer.references)
    if _plain(_bare(ours)) == _plain(_bare(theirs)):
        return ()
    if any('"$ref"' in text or '"$dynamicRef"' in text for text in (_plain(ours), _plain(theirs))):
        return ("it uses references, and the documents are not equal: this is not judged",)
    if str(ours["$schema"]).removesuffix("#") != str(theirs["$schema"]).removesuffix("#"):
        return (f"the dialect was {theirs['$schema']}, it is {ours['$schema']}",)
    return tuple(_against(ours, theirs, "$", jsonschema.validators.validator_for(ours)))


def _plain(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


def _bare(schema: Any) -> Any:
    """Without annotations at the top; those deeper are left out on the way down."""
    return {key: value for key, value in schema.items() if key not in _ANNOTATIONS} if _is_map(schema) else schema


def _is_map(schema: Any) -> bool:
    return isinstance(schema, dict)


def _against(reader: Any, writer: Any, at: str, dialect: Any) -> Iterator[str]:
    if at.count(".") + at.count("[") > MAX_DEPTH:
        yield f"{at}: more than {MAX_DEPTH} deep, not judged"
        return
    ours, theirs = _bare(reader), _bare(writer)
    if ours in ({}, True) or theirs is False or _plain(ours) == _plain(theirs):
        return
    if ours is False:
        yield f"{at}: nothing is taken any more"
        return
    if theirs is True:
        theirs = {}
    values = theirs.get("enum") if "enum" in theirs else [theirs["const"]] if "const" in theirs else None
    if values is not None:
        taken = dialect(ours)
        lost = [value for value in values if not taken.is_valid(value)]
        yield from (f"{at}: the value {value!r} is not taken any more" for value in lost)
        return
    for unknown in sorted(set(ours) - _JUDGED):
        yield f"{at}: {unknown} differs or stands beside what differs; this is not judged"
    for unknown in sorted(set(theirs) & _UNJUDGED_NEIGHBOURS):
        yield f"{at}: it had {unknown}; this is not judged"
    if "enum" in ours or "const" in ours:
        yield f"{at}: only certain values are taken now"
    types = _types(theirs)
    yield from (f"{at}: {each} is not taken any more" for each in sorted(types - _types(ours)))
    yield from _bounds(ours, theirs, types, at)
    if "array" in types:
        if ours.get("uniqueItems", False) and not theirs.get("uniqueItems", False):
            yield f"{at}: items must be different now"
        if isinstance(ours.get("items"), list) or isinstance(theirs.get("items"), list):
            yield f"{at}: items by position differ; this is not judged"
        else:
            yield from _against(ours.get("items", True), theirs.get("items", True), f"{at}[]", dialect)
    if "object" in types:
        yield from _objects(ours, theirs, at, dialect)


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    named = schema.get("type", _TYPES)
    types = frozenset([named] if isinstance(named, str) else named)
    return types | {"integer"} if "number" in types else types


def _bounds(ours: Mapping[str, Any], theirs: Mapping[str, Any], types: frozenset[str], at: str) -> Iterator[str]:
    for keyword, kind in {**_LOWER, **_UPPER, **_EQUAL}.items():
        if keyword not in ours or not types & ({kind, "integer"} if kind == "number" else {kind}):
            continue
        new, old = ours[keyword], theirs.get(keyword)
        if keyword in ("minLength", "minItems") and new == 0:
            continue
        holds = old is not None and (
            old >= new if keyword in _LOWER else old <= new if keyword in _UPPER else _plain(old) == _plain(new)
        )
        if not holds:
            yield f"{at}: {keyword} was {'not there' if old is None else old}, it is {new}"


def _objects(ours: Mapping[str, Any], theirs: Mapping[str, Any], at: str, dialect: Any) -> Iterator[str]:
    for name in sorted(set(ours.get("required", ())) - set(theirs.get("required", ()))):
        yield f"{at}.{name} is required now"
    new, old = ours.get("properties", {}), theirs.get("properties", {})
    new_rest, old_rest = ours.get("additionalProperties", True), theirs.get("additionalProperties", True)
    for name in sorted({*new, *old}):
        yield from _against(new.get(name, new_rest), old.get(name, old_rest), f"{at}.{name}", dialect)
    yield from _against(new_rest, old_rest, f"{at}.*", dialect)
