"""Runs every benchmark and prints one table; ends with 1 when a goal is missed.

usage: python -m benchmarks [--small] [--json] [NAME ...]
"""

import argparse
import json
import sys
from pathlib import Path

from appliance.base import process

NAMES = (
    "ingest",
    "asof",
    "drift",
    "ett",
    "log_append",
    "log_replay",
    "verify",
    "hashing",
    "bundle_hashing",
    "volumes",
    "rules",
    "table_commits",
    "topic",
)
IN_TRAINING = ("ett",)  # needs onnx and torch
ROOT = Path(__file__).parents[1]
LIMIT_S = 3600.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--small", action="store_true", help="sizes for CI, with a gate at about 60 %% of the goal")
    parser.add_argument("--json", action="store_true", help="one JSON object per benchmark")
    options = parser.parse_args()
    missed = False
    for name in options.names or NAMES:
        python = ROOT / ".venv-training" / "bin" / "python" if name in IN_TRAINING else Path(sys.executable)
        words = [python, ROOT / "benchmarks" / f"{name}.py", "--json", *(["--small"] if options.small else [])]
        done = process.run(words, timeout_s=LIMIT_S, check=False)
        lines = done.stdout.decode().splitlines()
        if done.returncode not in (0, 1) or not lines:
            sys.stderr.write(done.stderr.decode())
            return 1
        found = json.loads(lines[-1])
        missed |= not found["holds"]
        verdict = "holds" if found["holds"] else "MISSED"
        if options.json:
            print(lines[-1])
        else:
            print(
                f"{found['name']:<10} ours {found['ours']}, peer {found['peer']} ({found['unit']}): "
                f"ratio {found['ratio']:.1f}, goal {found['goal']:g}: {verdict}",
                flush=True,
            )
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
