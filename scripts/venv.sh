#!/bin/sh
# Make a virtualenv at $1 with the newest Python in range that is found; PYTHON=... names one.
set -eu

in_range='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'

found=
for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
    # Run it, because a name on the PATH may be a launcher for a Python that is not there.
    if "$candidate" -c "$in_range" >/dev/null 2>&1; then
        found=$candidate
        break
    fi
done

if [ -z "$found" ]; then
    have=$("${PYTHON:-python3}" --version 2>&1) || have='none that runs'
    echo "Tiffin needs Python 3.11, 3.12 or 3.13; found: $have." >&2
    echo 'Install one, or name it: make PYTHON=/path/to/python3.12 ...' >&2
    exit 1
fi

echo "Making $1 with $("$found" --version)" >&2
# Debian's Python has these modules in part, so only trying tells. A half-made virtualenv goes, for
# it would look finished to make.
if ! why=$("$found" -m venv --clear "$1" 2>&1); then
    rm -rf "$1"
    echo "$why" >&2
    echo "$found can't make a virtualenv. On Debian and Ubuntu:" >&2
    "$found" -c 'import sys; print("  apt install python%d.%d-venv" % sys.version_info[:2])' >&2
    echo 'or name another Python: make PYTHON=/path/to/python3.12 ...' >&2
    exit 1
fi
