#!/bin/sh
# Sees to the Debian packages of requirements-debian.txt that one group needs:
#   packages.sh controller|lab|test|vm
# Nothing is done, and apt is not called, where all are there; else they are installed where this is root on
# Debian, and named where it is not.
set -eu
cd "$(dirname "$0")/../.."

group=$1

is_installed() {
    case $1 in
        # any Python that can make .venv will do, whoever installed it
        python3-venv) [ -x .venv/bin/python ] || tests/setup/python.sh >/dev/null 2>&1 ;;
        *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    esac
}

if ! command -v dpkg-query >/dev/null; then
    if [ "$group" != controller ]; then
        echo "make: the $group needs Debian, and there is no dpkg-query here." >&2
        echo "  For your own fleet: make harden INVENTORY=path" >&2
        exit 1
    fi
    echo "$group packages: not checked, this is not Debian (needed: ssh, and Python with venv)"
    exit 0
fi

missing=
reasons=
while read -r package reason; do
    if ! is_installed "$package"; then
        missing="$missing $package"
        reasons="$reasons
  $package: $reason"
    fi
done <<EOF
$(sed -n "s/^\([a-z0-9][^ ]*\) *# $group: /\1 /p" requirements-debian.txt)
EOF

if [ -z "$missing" ]; then
    echo "$group packages: all there"
    exit 0
fi
install="install --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
    echo "make: these Debian packages are missing, and only root can install them:$reasons" >&2
    echo "  Run: sudo apt-get update && sudo apt-get $install" >&2
    exit 1
fi
echo "$group packages: installing$missing"
export DEBIAN_FRONTEND=noninteractive
mkdir -p .cache
# shellcheck disable=SC2086 # a list of words; the lock: others may be using apt at this moment
{
    apt-get -qq -o DPkg::Lock::Timeout=300 update &&
    apt-get -qq -o DPkg::Lock::Timeout=300 --yes $install
} </dev/null >.cache/apt.log 2>&1 || {
    cat .cache/apt.log >&2
    echo "make: apt could not install what is missing:$reasons" >&2
    echo "  Its messages stand above. By hand: apt-get update && apt-get $install" >&2
    exit 1
}
