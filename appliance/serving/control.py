"""Asks the running gateway to close its open prediction segment."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from appliance.base.errors import ApplianceError
from appliance.serving import codes

TIMEOUT_S = 10.0


def rotate(port: int, token: str) -> int:
    """Close the open segment; gives the requests and shadow copies that are under way still.

    Raises:
        ApplianceError: APL-SERVE-003.
    """
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/-/rotate", data=b"", headers={"authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - as above
            waiting: int = json.loads(response.read())["under_way"]
            return waiting
    except (urllib.error.URLError, OSError) as error:
        raise ApplianceError(codes.NOT_RUNNING, str(error), where=f"127.0.0.1:{port}") from error
