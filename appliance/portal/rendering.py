"""Templates and static files.

Rules
1. Autoescape is on for every template and an unknown name is an error: a page never shows an empty place for it.
2. A static file is named by its digest, so the browser may keep it for good; other names are not served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import jinja2

from appliance import __version__
from appliance.base.digest import digest_bytes, hex_of
from appliance.portal import status, wording
from appliance.portal.pages import metrics

MEDIA_TYPES = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a page function gives: a template, its context, and how to answer."""

    template: str
    context: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StaticFile:
    content: bytes
    media_type: str


def load_static() -> tuple[Mapping[str, StaticFile], Mapping[str, str]]:
    """Served name -> file, and plain name -> served name."""
    files: dict[str, StaticFile] = {}
    served: dict[str, str] = {}
    folder = resources.files("appliance.portal") / "static"
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        stem, _, ending = entry.name.rpartition(".")
        if ending not in MEDIA_TYPES:
            continue
        content = entry.read_bytes()
        served[entry.name] = f"{stem}-{hex_of(digest_bytes(content))[:16]}.{ending}"
        files[served[entry.name]] = StaticFile(content=content, media_type=MEDIA_TYPES[ending])
    return files, served


class Renderer:
    """Turns a `Page` into HTML; `files` are the static files by served name."""

    def __init__(self) -> None:
        self.files, served = load_static()
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("appliance.portal", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            release=__version__, static=lambda name: f"/static/{served[name]}", good=status.good, bad=status.bad
        )
        self._environment.filters["metric"] = metrics.title
        for name in (
            "number",
            "figure",
            "trimmed",
            "instant",
            "machine_instant",
            "age",
            "short",
            "size",
            "counted",
            "sentence",
        ):
            self._environment.filters[name] = getattr(wording, name)

    def html(self, page: Page, common: Mapping[str, Any]) -> str:
        return self._environment.get_template(page.template).render({**common, **page.context})
