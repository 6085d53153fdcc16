#!/bin/sh
# Prints the path of Debian's Chromium, which the pages' tests drive; installs it when it may.
set -eu

# The shell has no window to draw: the tests cost half the processor time with it.
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    if found=$(command -v "$name"); then
        echo "$found"
        exit 0
    fi
done

install() {
    echo "Installing Chromium (apt-get install $1)" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1" >&2
    command -v "$1"
}

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update >&2
    install chromium-headless-shell || install chromium # which has all, where the shell is not packaged
else
    echo 'The tests of the pages need Chromium. Install it: sudo apt-get install chromium-headless-shell' >&2
    exit 1
fi
