"""Feature views: what is declared in ``declarations/features/*.toml``, checked and compiled.

Rules
1. A view names one event axis and one arrival axis. A source or feature of the view that is dated on another axis
   makes the view refuse to compile, and the message names both (APL-FEATURES-002). So does a plan over views whose
   axes differ, and an arrival axis that is the event axis.
2. Every feature has one expression and one contract; there is no second implementation to register.
3. A view is pure declaration: compiling reads no table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from appliance.base.digest import digest_json
from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.config.declarations import load_toml, parse_toml
from appliance.features import codes
from appliance.features.contract import POLICIES, Contract
from appliance.features.expression import Expression, parse_expression

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}\Z")]
Policy = Literal["default", "abstain", "reject"]


class SourceFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[source]]``: a table of measurements, one value per row."""

    name: Name
    table: str
    entity: str
    event_axis: str
    known_axis: str
    measures: dict[str, str]  # measure -> unit
    measure_column: str = "measure"
    value_column: str = "value"
    unit_column: str = "unit"


class FeatureFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[feature]]``: one expression and its contract. `axis`, when given, must be the view's event axis."""

    name: Name
    expression: str
    unit: str
    description: str = ""
    type: Literal["double", "int"] = "double"
    axis: str | None = None
    range: tuple[float, float] | None = None
    max_age: str | None = None
    default: float | None = None
    on_null: Policy = "abstain"
    on_nan: Policy = "abstain"
    on_type: Policy = "reject"
    on_unit: Policy = "reject"
    on_range: Policy = "abstain"
    on_age: Policy = "abstain"


class ViewFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole declaration file."""

    name: Name
    owner: str
    description: str
    event_axis: str
    known_axis: str
    ttl: str
    source: Annotated[list[SourceFile], Meta(min_length=1)]
    feature: Annotated[list[FeatureFile], Meta(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The two times of a row: when it happened, and when we knew it."""

    event: str
    known: str


@dataclass(frozen=True, kw_only=True, order=True)
class Slot:
    """One measure of one source: the unit in which readings are loaded and kept."""

    table: str
    entity: str
    event_axis: str
    known_axis: str
    measure_column: str
    value_column: str
    unit_column: str
    measure: str
    unit: str

    @property
    def key(self) -> str:
        return f"{self.table}/{self.measure}"


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A compiled feature. `slots[i]` is what term i of the expression reads, `spans_us[i]` its window."""

    name: str
    view: str
    description: str
    expression: Expression
    slots: tuple[Slot, ...]
    spans_us: tuple[int, ...]
    contract: Contract


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """A compiled view. `digest` is that of its declaration."""

    name: str
    owner: str
    description: str
    axes: Axes
    ttl_us: int
    features: tuple[Feature, ...]
    digest: str
    declaration: dict[str, Any]


def load_views(folder: Path) -> tuple[FeatureView, ...]:
    """All views under `folder` (``*.toml``), in order of name.

    Raises:
        ApplianceError: APL-CONFIG-004, APL-FEATURES-001, -002 or -003, with the file.
    """
    views: dict[str, FeatureView] = {}
    for path in sorted(folder.glob("*.toml")):
        view = compile_view(load_toml(path, ViewFile), where=str(path))
        if view.name in views:
            raise ApplianceError(codes.VIEW_INVALID, f"view {view.name} is declared twice", where=str(path))
        views[view.name] = view
    return tuple(views[name] for name in sorted(views))


def parse_view(data: bytes, *, where: str) -> FeatureView:
    """The view of TOML bytes; errors as `load_views`."""
    return compile_view(parse_toml(data, ViewFile, where=where), where=where)


def compile_view(file: ViewFile, *, where: str) -> FeatureView:
    """Check a declaration and compile its expressions; errors as `load_views`."""
    axes = Axes(event=file.event_axis, known=file.known_axis)
    # 1. One pair of axes for the whole view.
    if axes.event == axes.known:
        raise ApplianceError(
            codes.MIXED_AXES, f"view {file.name}: {axes.event} is named as event axis and as arrival axis", where=where
        )
    for source in file.source:
        _check_axis(f"view {file.name}, source {source.name}", axes.event, source.event_axis, "event", where)
        _check_axis(f"view {file.name}, source {source.name}", axes.known, source.known_axis, "arrival", where)
    for feature in file.feature:
        if feature.axis is not None:
            _check_axis(f"view {file.name}, feature {feature.name}", axes.event, feature.axis, "event", where)
    # 2. Measures by plain and by qualified name; a plain name that two sources hold must be qualified.
    slots: dict[str, Slot] = {}
    ambiguous: set[str] = set()
    for source in file.source:
        for measure, unit in source.measures.items():
            slot = Slot(
                table=source.table,
                entity=source.entity,
                event_axis=source.event_axis,
                known_axis=source.known_axis,
                measure_column=source.measure_column,
                value_column=source.value_column,
                unit_column=source.unit_column,
                measure=measure,
                unit=unit,
            )
            if measure in slots:
                ambiguous.add(measure)
            slots[measure] = slots[f"{source.name}.{measure}"] = slot
    # 3. Features.
    ttl_us = duration_us(file.ttl)
    features: list[Feature] = []
    for declared in file.feature:
        if any(declared.name == other.name for other in features):
            raise ApplianceError(codes.VIEW_INVALID, f"feature {declared.name} is declared twice", where=where)
        features.append(_compile_feature(file.name, declared, slots, ambiguous, ttl_us, where))
    declaration = decimal_strings(msgspec.to_builtins(file))
    return FeatureView(
        name=file.name,
        owner=file.owner,
        description=file.description,
        axes=axes,
        ttl_us=ttl_us,
        features=tuple(features),
        digest=digest_json(declaration),
        declaration=declaration,
    )


def view_of_declaration(declaration: dict[str, Any]) -> FeatureView:
    """The view whose `declaration` stands in a model package."""
    file = msgspec.convert(declaration, ViewFile, strict=False)
    return compile_view(file, where=f"declaration of {file.name}")


def select_features(views: Iterable[FeatureView], names: Iterable[str]) -> tuple[Feature, ...]:
    """The features named ``view.feature`` or ``view`` (all of it), in the order of `names`.

    Raises:
        ApplianceError: APL-FEATURES-004 for a name that is not declared, APL-FEATURES-001 for one named twice,
            APL-FEATURES-002 when the views are dated on different axes.
    """
    by_name = {view.name: view for view in views}
    chosen: list[Feature] = []
    axes: dict[str, Axes] = {}
    for name in names:
        view_name, _, feature_name = name.partition(".")
        view = by_name.get(view_name)
        found = [f for f in view.features if feature_name in ("", f.name)] if view else []
        if view is None or not found:
            raise ApplianceError(codes.UNKNOWN_FEATURE, f"{name!r} is in no declared view")
        axes[view_name] = view.axes
        first, first_axes = next(iter(axes.items()))
        _check_axis(f"views {first} and {view_name}", first_axes.event, view.axes.event, "event", None)
        _check_axis(f"views {first} and {view_name}", first_axes.known, view.axes.known, "arrival", None)
        chosen += found
    seen: set[str] = set()
    for feature in chosen:
        if feature.name in seen:
            raise ApplianceError(codes.VIEW_INVALID, f"feature {feature.name} is chosen twice")
        seen.add(feature.name)
    return tuple(chosen)


def decimal_strings(value: Any) -> Any:
    """`value` with every float as its decimal text, which is how canonical JSON holds them."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {key: decimal_strings(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [decimal_strings(item) for item in value]
    return value


def _check_axis(what: str, expected: str, got: str, kind: str, where: str | None) -> None:
    if expected != got:
        raise ApplianceError(codes.MIXED_AXES, f"{what}: {kind} axis {expected} is mixed with {got}", where=where)


def _compile_feature(
    view: str, declared: FeatureFile, slots: dict[str, Slot], ambiguous: set[str], ttl_us: int, where: str
) -> Feature:
    expression = parse_expression(declared.expression)
    for term in expression.terms:
        if term.measure not in slots:
            raise ApplianceError(
                codes.VIEW_INVALID, f"feature {declared.name} reads {term.measure}, which no source holds", where=where
            )
        if term.measure in ambiguous:
            raise ApplianceError(
                codes.VIEW_INVALID,
                f"feature {declared.name}: {term.measure} is in two sources, qualify it",
                where=where,
            )
    policies = (
        declared.on_null,
        declared.on_nan,
        declared.on_type,
        declared.on_unit,
        declared.on_range,
        declared.on_age,
    )
    if "default" in policies and declared.default is None:
        raise ApplianceError(codes.VIEW_INVALID, f"feature {declared.name} names no default", where=where)
    low, high = declared.range if declared.range is not None else (-math.inf, math.inf)
    default = math.nan if declared.default is None else declared.default
    if not low < high or not (math.isnan(default) or low <= default <= high):
        raise ApplianceError(
            codes.VIEW_INVALID, f"feature {declared.name}: range [{low}, {high}] or default {default}", where=where
        )
    null, nan, type_, unit, range_, age = (POLICIES[policy] for policy in policies)
    return Feature(
        name=declared.name,
        view=view,
        description=declared.description,
        expression=expression,
        slots=tuple(slots[term.measure] for term in expression.terms),
        spans_us=tuple(term.span_us or ttl_us for term in expression.terms),
        contract=Contract(
            name=declared.name,
            type=declared.type,
            unit=declared.unit,
            low=low,
            high=high,
            max_age_s=math.inf if declared.max_age is None else duration_us(declared.max_age) / 1e6,
            default=default,
            policies=(null, nan, type_, unit, range_, age),
        ),
    )
