#!/bin/sh
# Prints the path of Prometheus' promtool, which checks metrics, rules and their tests; fetches it when it may.
# Only this one file of Debian's package is kept: nothing is installed, and no Prometheus is started.
set -eu

tools=$(cd "$(dirname "$0")/.." && pwd)/.sandbox/tools
if found=$(command -v promtool || command -v "$tools/promtool"); then
    echo "$found"
elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    echo 'Fetching promtool (apt-get download prometheus)' >&2
    mkdir -p "$tools"
    folder=$(mktemp -d "$tools/promtool.XXXXXX")
    trap 'rm -rf "$folder"' EXIT
    # apt drops root's rights while it downloads, and may not write there; it says so and goes on.
    cd "$folder"
    { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } >/dev/null 2>&1
    dpkg-deb --extract prometheus_*.deb .
    mv usr/bin/promtool "$tools/promtool"
    echo "$tools/promtool"
else
    echo 'Some tests of metrics and alerts need promtool: https://prometheus.io/download' >&2
    exit 1
fi
