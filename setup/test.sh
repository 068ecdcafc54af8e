#!/bin/sh
# Everything that proves the project, in the order of cost. Prints how long each part took; stops at the first failure.
# The servers are built meanwhile (minutes when cold): only the last two parts need them.
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

mkdir -p build
built=build/servers.log
make -s airflow servers >"$built" 2>&1 &
building=$!
trap 'kill "$building" 2>/dev/null || true' EXIT

ready() {
    wait "$building" || {
        cat "$built" >&2
        return 1
    }
}

part lint make -s lint
part docs make -s docs
part "unit, property, fault, meta" .venv-dev/bin/python -m pytest -n 2 tests/unit tests/property tests/fault tests/meta
# Twenty seconds for each parser; `make fuzz` takes ten minutes. The sites that inputs are made from have new keys in each
# run, so it may find what no run before it did: the input is kept under tests/fuzz/corpus and belongs into the commit
# that mends it.
part fuzz .venv-dev/bin/python -m tests.fuzz --seed=2026 --seconds="${APPLIANCE_FUZZ_SECONDS:-20}"
part "wait for the servers" ready
part "integration, system" .venv-dev/bin/python -m pytest -n 2 tests/integration tests/system
part "benchmark gates" .venv-dev/bin/python -m benchmarks --small
