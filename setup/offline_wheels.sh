#!/bin/sh
# Fills offline_wheels/wheels from the locks; a wheel that is there and has the locked hash is not fetched again.
set -eu
cd "$(dirname "$0")/.."
mkdir -p offline_wheels/wheels
for name in uv runtime training dev airflow ansible servers; do
    echo "offline-wheels: $name" >&2
    .venv-uv/bin/pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
        --requirement "offline_wheels/$name.lock" --dest offline_wheels/wheels
done
find offline_wheels/wheels -name '*.whl' | wc -l | sed 's/$/ wheels in offline_wheels\/wheels/' >&2
