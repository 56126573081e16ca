#!/bin/sh
# Removes every lab of this checkout, then all that was built beside the sources.
set -eu
cd "$(dirname "$0")/../.."

# Each folder of .lab is a lab or a group of virtual machines (vm-), but for those with their images. A lab that
# could not be removed may still have mounts: nothing is deleted under them.
for lab in .lab/*/; do
    name=$(basename "$lab")
    case $name in
        image | vm-image | '*') ;;
        vm-*) python3 -m tests.vm down --name "${name#vm-}" ;;
        *) python3 -m tests.lab down --name "$name" ;;
    esac
done
if grep -q " $PWD/.lab/" /proc/self/mounts; then
    echo "make: something is still mounted below .lab, so nothing was removed:" >&2
    grep " $PWD/.lab/" /proc/self/mounts >&2
    exit 1
fi
rm -rf .lab .venv .ansible .cache
find . -name __pycache__ -type d -prune -exec rm -rf {} +
