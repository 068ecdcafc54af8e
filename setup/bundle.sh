#!/bin/sh
# Builds and signs the bundle NAME into build/bundles/NAME. Who releases is a site; without RELEASES one is made for this
# machine in build/releases, whose root digest nobody has on paper: good for trying, not for giving away.
# usage: setup/bundle.sh NAME
set -eu
cd "$(dirname "$0")/.."

name=$1
releases=${RELEASES:-build/releases}
builder=${BUILDER:-builder/local}
target=build/bundles/$name
appliance=.venv-dev/bin/appliance # with the tools that make the documentation

if [ ! -e "$releases/site.toml" ]; then
    [ -z "${RELEASES:-}" ] || { echo "bundle: there is no site $RELEASES" >&2; exit 2; }
    "$appliance" site init --site "$releases" --set site.name=releases >&2
    "$appliance" trust enroll "$builder" --site "$releases" >&2
fi
rm -rf "$target"
"$appliance" bundle build "$name" --out "$target"
"$appliance" bundle sign "$target" --as "$builder" --site "$releases"
"$appliance" trust status --site "$releases" | grep 'root digest'
