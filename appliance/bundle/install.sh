#!/bin/bash
# Installs the appliance on this host, a bare Debian 12, from the bundle in whose folder this file lies. No network.
# usage: bash install.sh ROOT_DIGEST [preflight|install|verify [ARGUMENTS of that verb of `appliance deploy`]]
# example: bash install.sh sha256:2a97... install --check
#
# Rules
# 1. Nothing on the host is changed before the bundle was verified against ROOT_DIGEST, which comes from paper.
# 2. The medium may change after that, or lie. So the whole bundle is copied first and the *copy* is verified, every
#    byte of it; from then on nothing of the medium is read. It gets its name when it holds. Digests of single files
#    would leave out what no manifest lists (signatures, trust/), and the host needs the whole bundle in any case.
# 3. A folder is made under another name, written to the disk, and renamed: a kill leaves nothing half, the same
#    command goes on. What is there already is left as it is.
# 4. The environment is made by uv from the bundle, as on every host by Ansible: apt is not needed before it.
#
# Exit codes: 0 done, 1 failed, 2 usage, 3 the bundle is refused, 4 the host is refused; else that of appliance deploy.
set -euo pipefail
umask 022
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
PATH=/usr/sbin:/usr/bin:/sbin:/bin

TOP=/opt/appliance
ENVIRONMENTS='["environment:runtime", "environment:ansible"]'

fail() { # CODE CAUSE FIX
    printf 'install: %s\n  do: %s\n' "$2" "$3" >&2
    exit "$1"
}

step() { printf '%s/5 %s\n' "$1" "$2" >&2; }

release_of() { # FOLDER: version and the first 12 hex digits of the manifest's digest
    local hex
    hex=$(sha256sum "$1/manifest.json" | cut -c 1-12)
    printf '%s-%s' "$(jq -r .version "$1/manifest.json")" "$hex"
}

verify() { # FOLDER: sets verdict
    # -I and -B: neither the caller's Python settings nor a file beside the verifier count, and nothing is written.
    verdict=$(python3 -IB "$verifier" release "$1" --root-digest "$root_digest")
}

# A function of the whole text: bash reads a script while it runs, and a medium may change meanwhile.
main() {
    root_digest=${1:-}
    [[ $root_digest =~ ^sha256:[0-9a-f]{64}$ ]] ||
        fail 2 "expected sha256: and 64 hex digits, got '$root_digest'" "bash install.sh ROOT_DIGEST, from paper."
    verb=${2:-install}
    case $verb in
    preflight | install | verify) ;;
    *) fail 2 "expected preflight, install or verify, got '$verb'" "bash install.sh ROOT_DIGEST install" ;;
    esac
    shift "$(($# < 2 ? $# : 2))"
    local here
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

    step 1 "look at this host"
    check_host
    step 2 "verify the bundle in $here"
    verifier=$(mktemp) # read once: the copy is not judged by what came with it
    trap 'rm -f "$verifier"' EXIT
    cp "$here/verify.pyz" "$verifier"
    if ! verify "$here"; then
        printf '%s\n' "$verdict" >&2
        fail 3 "the bundle is refused; nothing on this host was changed" \
            "Compare the digest with the paper. If it is right, ask for another medium and keep this one."
    fi
    grep -v '^ok ' <<<"$verdict" >&2
    local release
    release=$(release_of "$here")
    [[ $release =~ ^[0-9][0-9A-Za-z.+-]*-[0-9a-f]{12}$ ]] ||
        fail 3 "the medium changed after it was verified: release '$release'" "Ask for another medium."

    mkdir -p "$TOP/bundle" "$TOP/control"
    # Held by this process, which becomes `appliance deploy`, until that ends.
    exec 9>"$TOP/.install.lock"
    flock --nonblock 9 || fail 1 "another installation runs on this host" "Wait until it has ended."
    step 3 "bring the bundle to $TOP/bundle/$release"
    [ -d "$TOP/bundle/$release" ] || copy_bundle "$here" "$release"
    step 4 "make the control environment $TOP/control/$release"
    [ -d "$TOP/control/$release" ] || make_control "$TOP/bundle/$release" "$release"
    step 5 "appliance deploy $verb"
    rm -f "$verifier"
    exec "$TOP/control/$release/bin/python" -IB -m appliance deploy "$verb" \
        --bundle "$TOP/bundle/$release" --root-digest "$root_digest" "$@"
}

check_host() {
    local found tool
    # shellcheck disable=SC1091 # a file of the host
    found=$(. /etc/os-release && printf '%s %s' "${ID:-}" "${VERSION_ID:-}")
    [ "$found" = "debian 12" ] || fail 4 "expected debian 12, got '$found'" "Install on Debian 12."
    found=$(dpkg --print-architecture)
    [ "$found" = amd64 ] || fail 4 "expected amd64, got $found" "Install on a host with an x86-64 processor."
    [ "$(id -u)" = 0 ] || fail 4 "expected root, got $(id -un)" "Run it as root: sudo bash install.sh ..."
    for tool in python3 jq flock; do
        command -v "$tool" >/dev/null || fail 4 "$tool is missing" "Install it from Debian's own medium."
    done
    python3 -IBc 'import cryptography' 2>/dev/null ||
        fail 4 "python3-cryptography is missing" "Install it from Debian's own medium."
}

copy_bundle() { # FROM RELEASE
    local draft=$TOP/bundle/.draft wanted free
    rm -rf "$draft"
    wanted=$(jq '[.members[].size_bytes] | add' "$1/manifest.json")
    free=$(df --output=avail -B1 "$TOP/bundle" | tail -n 1)
    ((free > wanted)) || fail 4 "$TOP/bundle: $wanted bytes are needed, $((free)) are free" "Free space there."
    # Without the medium's modes and owners: FAT calls every file a program.
    cp -R --no-preserve=all "$1/." "$draft" ||
        fail 1 "the bundle cannot be copied" "Read the line above; on an error of the medium ask for another one."
    if ! verify "$draft" || [ "$(release_of "$draft")" != "$2" ]; then
        printf '%s\n' "$verdict" >&2
        rm -rf "$draft"
        fail 3 "the copy of the bundle is refused: the medium gives other bytes than before" \
            "Ask for another medium and keep this one."
    fi
    sync --file-system "$draft"
    mv -T "$draft" "$TOP/bundle/$2"
    sync --file-system "$TOP/bundle"
}

make_control() { # BUNDLE RELEASE
    local draft=$TOP/control/.draft bundle=$1 lock wheel missing
    lock=$bundle/$(jq -r .bundle "$bundle/manifest.json").lock.json
    rm -rf "$draft"
    mkdir "$draft"
    missing=$(jq -r --argjson wanted "$ENVIRONMENTS" \
        '($wanted + ["environment:uv"]) - [.inputs[].wanted_by[]] | join(" ")' "$lock")
    [ -z "$missing" ] || fail 4 "the bundle has no $missing" "Use a bundle that has them, such as core."
    jq -r --argjson wanted "$ENVIRONMENTS" '.inputs[]
        | select(.kind == "wheel" and any(.wanted_by[]; IN($wanted[])))
        | "\(.name)==\(.version) --hash=\(.digest)"' "$lock" >"$draft/requirements"
    # Our own wheel stands in no lock, but in the manifest.
    jq -r '.members[] | select(.path | startswith("wheels/appliance-"))
        | "appliance==\(.path | split("-")[1]) --hash=\(.digest)"' "$bundle/manifest.json" >>"$draft/requirements"
    wheel=$(jq -r '.inputs[] | select(.kind == "wheel" and .name == "uv").path' "$lock")
    python3 -IB - "$bundle/$wheel" "$draft/uv" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[2], "xb") as target:
    (name,) = [each for each in wheel.namelist() if each.endswith("/scripts/uv")]
    target.write(wheel.read(name))
PYTHON
    chmod 0700 "$draft/uv"
    local quiet=(--no-config --offline --quiet --cache-dir "$draft/cache")
    "$draft/uv" venv "${quiet[@]}" --relocatable --python /usr/bin/python3 "$draft/made"
    "$draft/uv" pip install "${quiet[@]}" --no-index --find-links "$bundle/wheels" --no-deps --require-hashes \
        --only-binary :all: --link-mode hardlink \
        --python "$draft/made/bin/python" --requirement "$draft/requirements" ||
        fail 1 "the control environment cannot be made" "Read the lines above; a full disk is the usual cause."
    # uv's notes on when a wheel came here: without them the environment is the same bytes on every host.
    find "$draft/made" -name uv_cache.json -delete
    find "$draft/made" -name RECORD -exec sed -i '/\/uv_cache\.json,/d' {} +
    sync --file-system "$draft"
    mv -T "$draft/made" "$TOP/control/$2"
    rm -rf "$draft"
    sync --file-system "$TOP/control"
}

main "$@"
