"""How often tests kill what they kill: a few times in CI, many times in `make proof-data`."""

import json
import os

USUAL = {"sink": 10, "kafka": 3, "minio": 2, "postgresql": 2, "connect": 2, "flush": 5}
KILLS = {**USUAL, **json.loads(os.environ.get("APPLIANCE_KILLS", "{}"))}
LONG = sum(KILLS.values()) > 2 * sum(USUAL.values())
