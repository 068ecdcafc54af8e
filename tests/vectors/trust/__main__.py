"""Writes what the verifiers say now into expected.toml: ``python -m tests.vectors.trust``. Read the difference."""

from __future__ import annotations

import sys

from tests.vectors.trust import expected

sys.exit(expected.write())
