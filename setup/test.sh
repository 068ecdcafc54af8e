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
# A minute for each parser; `make fuzz` takes ten. The sites that inputs are made from have new keys in each run, so it
# may find what no run before it did: the input is kept under tests/fuzz/corpus and belongs into the commit that mends it.
part fuzz .venv-dev/bin/python -m tests.fuzz --seed=2026 --seconds="${APPLIANCE_FUZZ_SECONDS:-60}"
# The trust chain's tests share nothing and run side by side; the others share one demo site and the machine's ports.
part "trust chain" .venv-dev/bin/python -m pytest -n 2 tests/integration/trust tests/integration/test_key_stores.py
part integration .venv-dev/bin/python -m pytest tests/integration \
    --ignore tests/integration/trust --ignore tests/integration/test_key_stores.py
part "benchmark gates" .venv-dev/bin/python -m benchmarks --small
