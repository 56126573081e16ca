#!/bin/sh
# Sees to .venv with what the named requirements files ask for, and to the collection path:
#   venv.sh requirements.txt [requirements-test.txt]
# What is there already is reused. A mark is written only after a whole install, and holds the sum of what
# was installed: an interrupted install, a changed file, another Python or a moved checkout is seen.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p .ansible/collections/ansible_collections/nodeward .cache

# nodeward.calico.* is this checkout
ln -sfn ../../../.. .ansible/collections/ansible_collections/nodeward/calico

# two makes in one checkout take turns
if command -v flock >/dev/null; then
    exec 9>.cache/venv.lock
    flock 9
fi

python=$(tests/setup/python.sh)
made_from="$PWD $python"

has_mark() { # NAME CONTENT
    [ -f ".venv/.$1" ] && [ "$(cat ".venv/.$1")" = "$2" ]
}

set_mark() { # NAME CONTENT
    printf '%s\n' "$2" >".venv/.$1.new"
    mv ".venv/.$1.new" ".venv/.$1"
}

sum_of() {
    sha256sum <"$1" | cut -d ' ' -f 1
}

whole=yes
has_mark made "$made_from" || whole=no
for file in "$@"; do
    has_mark "installed-$file" "$(sum_of "$file")" || whole=no
done
if [ $whole = yes ]; then
    echo ".venv: reused"
    exit 0
fi

if ! has_mark made "$made_from"; then
    echo ".venv: making it with $python"
    rm -rf .venv
    "$python" -m venv .venv
    set_mark made "$made_from"
fi
echo ".venv: installing $* (a minute or two)"
rm -f .venv/.installed-*
arguments=
for file in "$@"; do
    arguments="$arguments -r $file"
done
# shellcheck disable=SC2086 # a list of words
if ! PIP_USER=0 .venv/bin/python -m pip install -qq --no-input --disable-pip-version-check $arguments </dev/null; then
    echo "make: pip could not install $* into .venv; its message stands above." >&2
    echo "  It needs PyPI, or a mirror named in pip's own configuration. Then run make again." >&2
    exit 1
fi
for file in "$@"; do
    set_mark "installed-$file" "$(sum_of "$file")"
done
