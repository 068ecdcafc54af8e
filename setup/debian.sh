#!/bin/sh
# Installs the Debian packages named on the command line that are missing. Does nothing, and needs neither root nor a
# network, when all are there. With APPLIANCE_NO_START=1 the services of the packages are neither started nor enabled:
# Debian starts a database or a web server as soon as it is installed, some of them on all addresses.
set -eu

missing=
for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: needs root or sudo to install:$missing" >&2; exit 4; }
    as_root=sudo
fi
echo "setup: installing Debian packages:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
if [ -n "${APPLIANCE_NO_START:-}" ] && [ ! -e /usr/sbin/policy-rc.d ]; then
    trap '$as_root rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root install -m 0755 /dev/stdin /usr/sbin/policy-rc.d
fi
# shellcheck disable=SC2086 # a list of words is meant
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
if [ -n "${APPLIANCE_NO_START:-}" ] && [ -d /run/systemd/system ]; then
    for package in $missing; do
        for unit in $(dpkg -L "$package" | sed -n 's#^/lib/systemd/system/\([a-z@-]*\.service\)$#\1#p'); do
            $as_root systemctl disable --quiet "$unit"
        done
    done
fi
