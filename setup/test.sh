#!/bin/sh
# Everything that proves the project, in the order of cost. Prints how long each part took; stops at the first failure.
set -eu
cd "$(dirname "$0")/.."

export APPLIANCE_REQUIRE_TOOLS=1

part() {
    name=$1
    shift
    echo "== $name" >&2
    begin=$(date +%s)
    "$@"
    echo "== $name: $(($(date +%s) - begin)) s" >&2
}

part lint make -s lint
part docs make -s docs
part "unit, property, fault, meta" .venv-dev/bin/python -m pytest -n 2 tests/unit tests/property tests/fault tests/meta
part integration .venv-dev/bin/python -m pytest tests/integration
part "benchmark gates" .venv-dev/bin/python -m benchmarks --small
