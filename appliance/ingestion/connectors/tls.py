"""TLS of connectors: the declared authorities, or the system's; names and dates are always checked."""

from __future__ import annotations

import ssl
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.ingestion.connectors import codes


def context(ca_file: Path | None) -> ssl.SSLContext:
    """Raises APL-CONN-001 when the file holds no certificates."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    except OSError as error:  # SSLError is one
        raise ApplianceError(
            codes.INVALID, f"ca_file holds no certificates: {error.strerror or error}", where=str(ca_file)
        ) from error
