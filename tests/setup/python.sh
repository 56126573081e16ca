#!/bin/sh
# Prints the path of the Python that .venv is made from: the first of $PYTHON, or of the names below, that
# ansible-core takes (3.11 or newer) and that can make a virtual environment with pip in it.
set -eu

for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    "$candidate" -c '
import ensurepip, os, sys, venv
if sys.version_info < (3, 11):
    sys.exit(1)
print(os.path.realpath(sys.executable))' 2>/dev/null && exit 0
done

cat >&2 <<EOF
make: no usable Python among: ${PYTHON:-python3.13 python3.12 python3.11 python3}
  Needed is Python 3.11 or newer with the modules venv and ensurepip (on Debian: the package python3-venv).
  Another one can be named: make PYTHON=/path/to/python3 ...
EOF
exit 1
