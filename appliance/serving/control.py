"""The control paths of the running gateway."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from appliance.base.errors import ApplianceError
from appliance.serving import codes

TIMEOUT_S = 10.0


def rotate(port: int, token: str) -> None:
    """Close the open prediction segment.

    Raises:
        ApplianceError: APL-SERVE-003.
    """
    _ask(port, token, "rotate")


def under_way(port: int, token: str) -> int:
    """Requests and shadow copies that are not answered yet.

    Raises:
        ApplianceError: APL-SERVE-003.
    """
    return _ask(port, token, "under-way")


def _ask(port: int, token: str, what: str) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/-/{what}", data=b"", headers={"authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - as above
            waiting: int = json.loads(response.read())["under_way"]
            return waiting
    except (urllib.error.URLError, OSError) as error:
        raise ApplianceError(codes.NOT_RUNNING, str(error), where=f"127.0.0.1:{port}") from error
