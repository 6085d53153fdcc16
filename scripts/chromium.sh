#!/bin/sh
# Prints the path of Debian's Chromium, which the pages' tests drive; installs it when it may.
set -eu

for name in chromium chromium-browser google-chrome; do
    if found=$(command -v "$name"); then
        echo "$found"
        exit 0
    fi
done

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo 'Installing Chromium (apt-get install chromium)' >&2
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } >&2
    command -v chromium
else
    echo 'The tests of the pages need Chromium. Install it: sudo apt-get install chromium' >&2
    exit 1
fi
