"""Where the gateway sends requests: one small JSON file, replaced atomically, read by the gateway when it changes.

Rules
1. Only `serving.deployment` writes it, for the serve, model and pipeline commands.
2. A route has at most one live and one candidate arm; the candidate is a shadow (copies only) or a canary (a share
   of entities).
3. A file that does not parse is refused as a whole (APL-SERVE-005).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.serving import codes

FILE_NAME = "routes.json"


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One running model service on loopback."""

    version: int
    artifact_id: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Candidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model on trial. `percent` counts only for a canary."""

    target: Target
    mode: Literal["shadow", "canary"]
    percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both may be None: then everything is answered by the fallback, which abstains."""

    model: str
    live: Target | None = None
    candidate: Candidate | None = None


class Routes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    routes: tuple[Route, ...] = ()

    def of(self, model: str) -> Route | None:
        return next((route for route in self.routes if route.model == model), None)

    def with_route(self, route: Route) -> Routes:
        """The same routes with this one added or replaced, ordered by name."""
        others = [other for other in self.routes if other.model != route.model]
        return Routes(routes=tuple(sorted([*others, route], key=lambda each: each.model)))


def load_routes(folder: Path) -> Routes:
    """The routes in `folder`; none when the file is missing.

    Raises:
        ApplianceError: APL-SERVE-005.
    """
    path = folder / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Routes)
    except FileNotFoundError:
        return Routes()
    except (msgspec.DecodeError, OSError) as error:
        raise ApplianceError(codes.BAD_ROUTES, str(error), where=str(path)) from error


def save_routes(folder: Path, routes: Routes) -> None:
    atomic.write_bytes(folder / FILE_NAME, msgspec.json.format(msgspec.json.encode(routes), indent=1))
