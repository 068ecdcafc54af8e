#!/bin/sh
# Renews the locks: names, versions and hashes, wheels only, no address of any index.
set -eu
cd "$(dirname "$0")/../offline_wheels"
for name in uv runtime training dev airflow ansible servers; do
    ../.venv-uv/bin/uv pip compile --quiet --no-config --upgrade --python-version 3.11 --generate-hashes --no-annotate \
        --no-header --no-emit-index-url --no-emit-find-links --only-binary :all: "$name.in" --output-file "$name.lock"
done
