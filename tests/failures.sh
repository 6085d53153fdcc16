#!/bin/sh
# Say at the end of `make test` which parts failed and how: what each printed may be far above.
# Usage: failures.sh FOLDER, of NAME.log and NAME.status (pytest's exit status) for each part.

for status in "$1"/*.status; do
    code=$(cat "$status")
    [ "$code" = 0 ] && continue
    log="${status%.status}.log"
    echo "tests/$(basename "$log" .log) failed with exit status $code; all of it is in $log"
    # A process that ended in the middle of a test has no summary: its last lines tell which.
    grep -E '^(FAILED|ERROR) ' "$log" | cut -c 1-300 | grep . || tail -n 8 "$log"
done
