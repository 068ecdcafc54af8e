#!/bin/sh
# Makes or renews the Python environment .venv-NAME (.venv for "runtime") from offline_wheels/NAME.lock.
# When offline_wheels/wheels holds files, everything comes from there and no index is asked.
# usage: setup/environment.sh NAME
set -eu
cd "$(dirname "$0")/.."

name=$1
lock=offline_wheels/$name.lock
folder=.venv-$name
[ "$name" != runtime ] || folder=.venv
python=${APPLIANCE_PYTHON:-/usr/bin/python3}
stamp=$folder/.complete
wanted=$(cat "$lock" pyproject.toml setup/environment.sh | sha256sum | cut -d ' ' -f 1)
[ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ] || exit 0

if [ -n "$(find offline_wheels/wheels -name '*.whl' -print -quit 2>/dev/null)" ]; then
    set -- --no-index --find-links "$PWD/offline_wheels/wheels"
    echo "setup: $folder from offline_wheels/wheels, no index" >&2
else
    set --
    echo "setup: $folder from the package index" >&2
fi

# uv itself, by pip, so that a fresh machine needs nothing but Debian's python3-venv.
if [ ! -x .venv-uv/bin/uv ] || [ "$(cat .venv-uv/.complete 2>/dev/null || true)" != "$(sha256sum < offline_wheels/uv.lock)" ]; then
    "$python" -m venv --clear .venv-uv
    .venv-uv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: "$@" \
        --requirement offline_wheels/uv.lock
    sha256sum < offline_wheels/uv.lock > .venv-uv/.complete
fi

[ -x "$folder/bin/python" ] || .venv-uv/bin/uv venv --quiet --no-config --python "$python" "$folder"
rm -f "$stamp"
.venv-uv/bin/uv pip sync --quiet --no-config --compile-bytecode --require-hashes --only-binary :all: "$@" \
    --python "$folder/bin/python" "$lock"
case $name in
    airflow | ansible | servers) ;; # programs of others; they have none of ours
    *)
        # uv carries its own build backend, so the editable install asks no index.
        .venv-uv/bin/uv pip install --quiet --no-config --no-deps --no-index --python "$folder/bin/python" --editable .
        ;;
esac
echo "$wanted" > "$stamp"
